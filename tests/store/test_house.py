"""Keeping house: copies, checks, space, the way out and the way in."""

import json
import os
import subprocess
import sys

import pytest

from kiribi_cli.core.settle import Complete, Retry
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Filter
from kiribi_cli.store.sqlite import SqliteStore
from tests.store.hand import Hand, begun, job


@pytest.fixture
def busy(store, hand: Hand):
    """A bit of everything."""
    store.insert(
        [job(key="7", payload='{"ä": "\\u0041"}', tags='["x"]'), job(), job("Mailer"), job(run_at=9000)], now=1000
    )
    hand.run(Complete(), now=2000)
    hand.run(Retry(9000), now=2000)
    claim = hand.claim_one(now=2500)
    store.turn(hand.id, now=2600, began=[begun(claim, 2550)])
    return store


def everything(store):
    return [
        list(store.find(Filter(), now=0)),
        [store.attempts(one.id) for one in store.find(Filter(), now=0)],
        list(store.events()),
        store.hours("job", since=0, until=10_000),
        store.histogram("job", since=0, until=10_000),
        [(worker.id, worker.name) for worker in store.workers()],
    ]


def test_a_backup_is_the_database_at_that_moment(busy, tmp_path):
    before = everything(busy)
    busy.backup(tmp_path / "copy.db")
    busy.insert([job()], now=3000)

    copy = SqliteStore.open(tmp_path / "copy.db", create=False)
    assert everything(copy)[:5] == before[:5]
    assert list(copy.verify()) == []
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    copy.close()
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy.db"]


def test_a_backup_onto_the_database_itself_is_refused(busy):
    from pathlib import Path

    with pytest.raises(KiribiError, match="is the database itself"):
        busy.backup(Path(busy.path))
    assert list(busy.verify()) == []


def test_a_backup_into_nowhere_is_refused(busy, tmp_path):
    with pytest.raises(KiribiError) as raised:
        busy.backup(tmp_path / "no" / "such" / "folder.db")
    assert raised.value.code is Code.STORE


def test_what_is_exported_can_be_imported_and_is_the_same(busy, tmp_path):
    lines = [json.dumps(record) for record in busy.export()]
    other = SqliteStore.open(tmp_path / "other.db", create=True)
    rows = other.import_(json.loads(line) for line in lines)

    assert rows == len(lines) - 1
    assert everything(other) == everything(busy)
    assert list(other.verify()) == []
    assert other.insert([job(key="7")], now=5000)[0].id == busy.insert([job(key="7")], now=5000)[0].id
    assert [path.name for path in tmp_path.glob("*export*")] == []
    other.close()


def test_an_imported_database_does_not_give_away_ids_that_were_used(busy, tmp_path, hand: Hand):
    busy.cancel([4], by="ann", now=3000)
    busy.delete([4], by="ann", now=3000)
    other = SqliteStore.open(tmp_path / "other.db", create=True)
    other.import_(busy.export())

    assert other.insert([job()], now=5000)[0].id == 5
    other.close()


def test_import_goes_into_an_empty_database_only(busy, tmp_path):
    other = SqliteStore.open(tmp_path / "other.db", create=True)
    other.insert([job()], now=1)

    with pytest.raises(KiribiError) as raised:
        other.import_(busy.export())
    assert raised.value.code is Code.REFUSED
    assert other.count(Filter(), now=1) == 1
    other.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda records: records[1:],
        lambda _: [],
        lambda records: [records[0] | {"schema": 99}, *records[1:]],
        lambda records: [*records, {"table": "sqlite_master", "x": 1}],
        lambda records: [*records, {"table": "jobs", "id": 1}],
        lambda records: [*records[:-1], records[-1] | {"n": "many"}],
        lambda records: [*records, records[1]],
        lambda records: [records[0], records[1] | {"unique_hash": "zz"}],
    ],
)
def test_a_spoilt_export_is_refused_and_nothing_of_it_is_kept(busy, tmp_path, spoil):
    other = SqliteStore.open(tmp_path / "other.db", create=True)

    with pytest.raises(KiribiError) as raised:
        other.import_(spoil(list(busy.export())))
    assert raised.value.code is Code.STORE
    assert other.count(Filter(), now=1) == 0
    other.close()


def test_space_of_deleted_jobs_is_given_back(store):
    store.insert([job(payload='"' + "x" * 4000 + '"') for _ in range(500)], now=1000)
    store.cancel(range(1, 501), by="ann", now=1000)
    store.delete(range(1, 501), by="ann", now=1000)
    before = store.info()
    freed = store.vacuum()

    after = store.info()
    assert freed > 1_500_000
    assert after["size_bytes"] == before["size_bytes"] - freed
    assert after["free_bytes"] < before["free_bytes"]
    assert list(store.verify()) == []


def test_info_tells_sizes_versions_and_the_verdict(busy):
    info = busy.info()

    assert info["rows"] == {"jobs": 4, "attempts": 3, "events": 7}
    assert info["oldest_job"] == {"id": 1, "created_at": 1000}
    assert info["schema_version"] == info["schema_known"]
    assert info["journal_mode"] == "wal"
    assert info["verdict"]


def test_what_a_killed_copy_left_goes_with_the_next_one(store, tmp_path):
    to = tmp_path / "copy.db"
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = [tmp_path / f"copy.db.part-{int(gone.stdout)}{ending}" for ending in ("", "-journal")]
    somebody_elses = tmp_path / f"copy.db.part-{os.getppid()}"
    for path in (*left, somebody_elses):
        path.write_text("half")

    store.backup(to)

    assert sorted(path.name for path in tmp_path.glob("copy.db*")) == ["copy.db", somebody_elses.name]
