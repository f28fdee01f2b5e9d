"""The WAL: how long it gets, and what makes it begin anew."""

from contextlib import closing
from pathlib import Path

import pytest

from kiribi_cli.store import connect
from kiribi_cli.store.sqlite import SqliteStore
from tests.store.hand import job


@pytest.fixture(params=["fixed", "old"])
def store(request, tmp_path, monkeypatch):
    """On a SQLite free of the WAL-reset bug, and on one that is taken for an old one."""
    monkeypatch.setattr(connect, "SAFE", request.param == "fixed")
    with closing(SqliteStore.open(tmp_path / "kiribi.db", create=True, durability="normal")) as opened:
        yield opened


def test_a_reader_who_stays_lets_the_wal_grow_only_as_long_as_he_stays(store):
    wal = Path(store.path + "-wal")

    def write():
        for _ in range(400):
            store.insert([job(payload='"' + "x" * 300 + '"')] * 10, now=1)
        return wal.stat().st_size

    before = write()
    with closing(connect.connect(store.path, read_only=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT max(id) FROM jobs").fetchall()
        while_he_read = write()
    after = [write() for _ in range(3)]

    assert before < 2 * connect.WAL_BYTES < while_he_read
    assert max(after) < while_he_read + connect.WAL_BYTES
    # Else each commit would take it for a long one, and checkpoint.
    assert connect.SAFE or max(after[1:]) < 2 * connect.WAL_BYTES
    assert list(store.verify()) == []
