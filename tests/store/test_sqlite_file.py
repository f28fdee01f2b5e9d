"""The file itself: who may read it, what is refused, what costs how much."""

import os
import stat
import subprocess
import sys

import pytest

from kiribi_cli.core.settle import Complete
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store import connect
from kiribi_cli.store.sqlite import SqliteStore
from tests.store.hand import Hand, job


def open_(path, *, create=False, **options):
    return SqliteStore.open(path, create=create, **options)


def refusal(path, **options):
    with pytest.raises(KiribiError) as raised:
        open_(path, **options)
    assert raised.value.code is Code.STORE
    assert raised.value.hint
    return raised.value.message


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_files_and_folder_are_for_their_owner_only_under_any_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        store = open_(tmp_path / "new" / "kiribi.db", create=True)
        store.insert([job()], now=1)
        lock = Hand(store).lock
        bell = store.listen(1)
    finally:
        os.umask(before)

    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    bell.close()
    lock.close()
    store.close()
    assert files.pop("new") == files.pop("run") == 0o700
    assert {"kiribi.db", "kiribi.db-wal", "kiribi.db-shm", "worker-1.bell"} <= set(files)
    assert {name: mode for name, mode in files.items() if mode & 0o077} == {}


@pytest.mark.parametrize(
    ("name", "run"), [("kiribi.db", "run"), ("other.db", "other.db-run"), ("a b?#%.db", "a b?#%.db-run")]
)
def test_every_name_of_a_file_works_and_has_its_own_run_folder(tmp_path, name, run):
    store = open_(tmp_path / name, create=True)
    store.insert([job()], now=1)
    store.close()

    assert connect.run_dir(str(tmp_path / name)) == str(tmp_path / run)
    assert {path.name for path in tmp_path.iterdir()} == {name}


def test_a_missing_database_is_refused_and_not_made(tmp_path):
    message = refusal(tmp_path / "kiribi.db")

    assert message == f"there is no database {tmp_path}/kiribi.db"
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "kiribi.db"
    path.write_bytes(b"hello, this is text\n" * 500)

    assert "is not an SQLite file" in refusal(path, create=True)
    assert path.read_bytes() == b"hello, this is text\n" * 500


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "kiribi.db"
    other = connect.driver.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.execute("PRAGMA user_version = 1")
    other.commit()
    other.close()
    before = path.read_bytes()

    assert "not one of kiribi" in refusal(path, create=True)
    assert "not one of kiribi" in refusal(path)
    assert path.read_bytes() == before


def test_a_newer_database_is_refused_with_one_sentence_and_not_a_byte_is_changed(tmp_path):
    path = tmp_path / "kiribi.db"
    open_(path, create=True).close()
    newer = connect.driver.connect(path)
    newer.execute(f"PRAGMA user_version = {connect.SCHEMA_VERSION + 1}")
    newer.commit()
    newer.close()
    before = path.read_bytes()

    assert "is of a newer kiribi" in refusal(path, create=True)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["kiribi.db"]


def test_a_folder_in_its_place_is_refused(tmp_path):
    (tmp_path / "kiribi.db").mkdir()

    assert "is a folder" in refusal(tmp_path / "kiribi.db", create=True)


def test_an_empty_file_becomes_a_database(tmp_path):
    (tmp_path / "kiribi.db").touch()
    store = open_(tmp_path / "kiribi.db", create=True)

    assert store.insert([job()], now=1)[0].id == 1
    store.close()


def test_a_database_that_was_deleted_or_replaced_is_not_written_to(tmp_path):
    path = tmp_path / "kiribi.db"
    store = open_(path, create=True)
    store.insert([job()], now=1)
    for file in tmp_path.glob("kiribi.db*"):
        file.unlink()
    with pytest.raises(KiribiError, match="deleted or replaced"):
        store.insert([job()], now=2)
    open_(path, create=True).close()

    with pytest.raises(KiribiError, match="deleted or replaced"):
        store.insert([job()], now=3)
    store.close()


def test_a_busy_database_is_waited_for_and_then_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(connect, "BUSY_S", 0.05)
    store, other = (
        open_(tmp_path / "kiribi.db", create=True),
        connect.driver.connect(str(tmp_path / "kiribi.db"), isolation_level=None),
    )
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(KiribiError, match="is busy") as raised:
        store.insert([job()], now=1)
    other.close()
    assert raised.value.code is Code.STORE
    assert store.insert([job()], now=1)[0].id == 1
    store.close()


def test_a_full_disk_refuses_and_loses_nothing(tmp_path):
    store = open_(tmp_path / "kiribi.db", create=True)
    store.insert([job()], now=1)
    store._db.connection.execute("PRAGMA max_page_count = 40")

    with pytest.raises(KiribiError, match="no space is left"):
        store.insert([job(payload='"' + "x" * 9000 + '"') for _ in range(100)], now=2)
    assert store.insert([job()], now=3)[0].id == 2
    assert list(store.verify()) == []
    store.close()


def test_a_damaged_database_is_said_to_be_damaged(tmp_path):
    path = tmp_path / "kiribi.db"
    store = open_(path, create=True)
    store.insert([job(payload='"' + "x" * 5000 + '"') for _ in range(50)], now=2)
    store.close()
    with path.open("r+b") as file:
        file.seek(-4096 * 5, os.SEEK_END)
        file.write(b"\xff" * 4096 * 5)
    store = open_(path)

    assert any(store.verify())
    store.close()


def test_a_database_opened_for_reading_only_is_not_written(tmp_path):
    open_(tmp_path / "kiribi.db", create=True).close()
    store = open_(tmp_path / "kiribi.db", read_only=True)

    assert store.job(1, now=1) is None
    with pytest.raises(KiribiError, match="cannot be written"):
        store.insert([job()], now=1)
    store.close()


def test_a_mistake_of_ours_is_not_put_into_words(tmp_path):
    store = open_(tmp_path / "kiribi.db", create=True)

    with pytest.raises(connect.driver.IntegrityError):
        store.insert([{"job": "", "kind": "command", "created_at": 1}], now=1)
    store.close()


def test_twenty_processes_enqueue_at_once_into_a_database_that_is_not_there_yet(tmp_path):
    code = (
        "import sys; from kiribi_cli.store.sqlite import SqliteStore; s = SqliteStore.open(sys.argv[1], create=True);"
        "[s.insert([{'job': 'J', 'kind': 'command', 'created_at': 1, 'payload': sys.argv[2]}], now=1) for _ in range(20)]"
    )
    path = tmp_path / "x" / "kiribi.db"
    processes = [subprocess.Popen([sys.executable, "-c", code, path, str(n)]) for n in range(20)]
    codes = [process.wait() for process in processes]

    store = open_(path)
    (counts,) = store._db.connection.execute("SELECT count(*) || ' ' || count(DISTINCT payload) FROM jobs").fetchall()
    assert codes == [0] * 20
    assert counts == ("400 20",)
    assert list(store.verify()) == []
    store.close()


def test_an_insert_that_was_answered_survives_sigkill(tmp_path):
    code = (
        "import sys, os; from kiribi_cli.store.sqlite import SqliteStore; s = SqliteStore.open(sys.argv[1], create=True);"
        "[print(s.insert([{'job': 'J', 'kind': 'command', 'created_at': 1}], now=1)[0].id, flush=True) for _ in range(10**6)]"
    )
    path = tmp_path / "kiribi.db"
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) as process:
        answered = [int(process.stdout.readline()) for _ in range(50)]
        process.kill()
        answered += [int(line) for line in process.stdout if line.endswith("\n")]
    store = open_(path)

    assert store.job(answered[-1], now=1) is not None
    assert list(store.verify()) == []
    store.close()


@pytest.mark.needs("strace")
def test_one_insert_into_an_open_database_costs_one_fsync(tmp_path):
    """Full durability is one fsync of the WAL per transaction, and nothing else."""
    code = (
        "import os, sys; from kiribi_cli.store.sqlite import SqliteStore; s = SqliteStore.open(sys.argv[1], create=False);"
        "new = {'job': 'J', 'kind': 'command', 'created_at': 1}; s.insert([new], now=1);"
        "os.stat('/begin'); [s.insert([new], now=1) for _ in range(10)]; os.stat('/end')"
    ).replace("os.stat(", "os.path.exists(")
    path = tmp_path / "kiribi.db"
    kept = open_(path, create=True)
    trace = tmp_path / "trace"
    # A start of Python traced in full would be all noise.
    subprocess.run(
        ["strace", "-f", "-o", trace, "-e", "trace=fsync,fdatasync,%file", sys.executable, "-c", code, path], check=True
    )
    kept.close()

    lines = trace.read_text().splitlines()
    begin, end = (next(n for n, line in enumerate(lines) if f'"{mark}"' in line) for mark in ("/begin", "/end"))
    syncs = [line for line in lines[begin:end] if "sync(" in line]
    assert len(syncs) == 10


def test_the_hot_modules_load_nothing_heavy(tmp_path):
    code = (
        "import sys; before = set(sys.modules)\n"
        "from kiribi_cli.store import bell, connect, insert, statements\n"
        "c = connect.connect(sys.argv[1]); connect.begin(c); assert connect.is_current(c)\n"
        "insert.insert_jobs(c, [{'job': 'J', 'kind': 'command', 'created_at': 1}], 1); connect.commit(c)\n"
        "bell.ring(connect.run_dir(sys.argv[1]))\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    path = tmp_path / "kiribi.db"
    open_(path, create=True).close()
    done = subprocess.run([sys.executable, "-S", "-c", code, path], capture_output=True, text=True, check=True, env={
        "PYTHONPATH": os.pathsep.join(sys.path)
    })  # fmt: skip

    loaded = set(done.stdout.split())
    assert "kiribi_cli.store.insert" in loaded
    heavy = {"re", "json", "dataclasses", "enum", "typing", "pathlib", "contextlib", "socket", "random", "inspect"}
    assert loaded & heavy == set()


def test_a_checkpoint_with_an_old_sqlite_keeps_writers_out_and_shortens_the_wal(tmp_path, monkeypatch):
    monkeypatch.setattr(connect, "SAFE", False)
    monkeypatch.setattr(connect, "WAL_BYTES", 100_000)
    store = open_(tmp_path / "kiribi.db", create=True)
    for _ in range(300):
        store.insert([job()], now=1)

    assert store._db.connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    assert (tmp_path / "kiribi.db-wal").stat().st_size < 400_000
    assert list(store.verify()) == []
    store.close()


def test_synchronous_is_full_unless_asked_otherwise(tmp_path):
    full = open_(tmp_path / "kiribi.db", create=True)
    normal = open_(tmp_path / "kiribi.db", durability="normal")

    assert full._db.pragma("synchronous") == 2
    assert normal._db.pragma("synchronous") == 1
    assert full._db.pragma("journal_mode") == "wal"
    full.close()
    normal.close()


def test_the_views_tell_times_as_text_and_due_as_pending(tmp_path):
    store = open_(tmp_path / "kiribi.db", create=True)
    hand = Hand(store)
    store.insert([job(tags='["x"]', payload="[1]"), job(run_at=5000, created_at=1000)], now=1123)
    hand.run(Complete(), now=3_600_123, result="7")
    rows = store._db.connection.execute(
        "SELECT id, status, tags, created_at, finished_at, payload, result, origin FROM v_jobs ORDER BY id"
    ).fetchall()
    stats = store._db.connection.execute("SELECT job, queue, hour, completed FROM v_stats").fetchall()
    attempts = store._db.connection.execute("SELECT id, outcome, finished_at, error FROM v_attempts").fetchall()
    store.close()

    assert rows == [
        (1, "completed", '["x"]', "1970-01-01T00:00:01.000Z", "1970-01-01T01:00:00.123Z", "[1]", "7", '{"kind":"cli","by":""}'),
        (2, "pending", "[]", "1970-01-01T00:00:01.000Z", None, None, None, '{"kind":"cli","by":""}'),
    ]  # fmt: skip
    assert stats == [("Import", "default", "1970-01-01T01:00:00.000Z", 1)]
    assert attempts == [(1, "completed", "1970-01-01T01:00:00.123Z", None)]
