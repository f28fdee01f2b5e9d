"""Writers wait in line: first come, first served, and a line that stands still holds up nobody for long."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kiribi_cli.store import connect, line
from kiribi_cli.store.sqlite import SqliteStore
from tests.conftest import eventually
from tests.store.hand import job

WRITER = """
import sys
from kiribi_cli.store.sqlite import SqliteStore
store = SqliteStore.open(sys.argv[1], create=False)
print(store.insert([{"job": sys.argv[2], "kind": "command", "run_at": 1}], now=1)[0].id)
"""
# Takes the head of the line, says so, and stays.
HOLDER = """
import sys, time
from kiribi_cli.store import line
assert line.enter(sys.argv[1], make=True) is not None
print("in", flush=True)
time.sleep(600)
"""


@pytest.fixture
def db(tmp_path: Path) -> str:
    SqliteStore.open(tmp_path / "kiribi.db", create=True).close()
    return str(tmp_path / "kiribi.db")


@pytest.fixture
def started():
    processes = []

    def start(code, *arguments):
        argv = [sys.executable, "-c", code, *arguments]
        processes.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def standing(run_dir: str) -> int:
    """How many hold the line or wait in it, by the kernel's own list."""
    try:
        inode = Path(run_dir, line.FILE).stat().st_ino
    except FileNotFoundError:
        return 0
    return sum(f":{inode} " in each for each in Path("/proc/locks").read_text().splitlines())


def test_who_comes_first_writes_first(db, started):
    run_dir = connect.run_dir(db)
    blocker = connect.connect(db)
    blocker.execute("BEGIN IMMEDIATE")
    writers = []
    for n in range(6):
        writers.append(started(WRITER, db, f"W{n}"))
        eventually(lambda n=n: standing(run_dir) == n + 1)
    blocker.execute("ROLLBACK")
    blocker.close()

    assert [int(writer.communicate()[0]) for writer in writers] == [1, 2, 3, 4, 5, 6]


def test_a_line_begins_where_there_is_a_crowd_and_not_before(db, started):
    run_dir = connect.run_dir(db)
    with_nobody = SqliteStore.open(db, create=False)
    with_nobody.insert([job()], now=1)
    before = Path(run_dir).exists()
    blocker = connect.connect(db)
    blocker.execute("BEGIN IMMEDIATE")
    writer = started(WRITER, db, "W")
    eventually(lambda: standing(run_dir) == 1)
    blocker.execute("ROLLBACK")
    blocker.close()
    writer.wait()
    with_nobody.close()

    assert not before
    assert Path(run_dir, line.FILE).stat().st_mode & 0o777 == 0o600
    assert Path(run_dir).stat().st_mode & 0o777 == 0o700


def test_a_line_that_stands_still_is_left_and_not_joined_again_at_once(db, started, monkeypatch):
    monkeypatch.setattr(line, "PATIENCE_S", 0.05)
    monkeypatch.setattr(line, "_distrusted_until", 0.0)
    holder = started(HOLDER, connect.run_dir(db))
    holder.stdout.readline()
    os.kill(holder.pid, signal.SIGSTOP)
    store = SqliteStore.open(db, create=False)
    first = store.insert([job()], now=1)
    monkeypatch.setattr(line, "PATIENCE_S", 3600)
    second = store.insert([job()], now=1)
    store.close()

    assert (first[0].id, second[0].id) == (1, 2)


def test_the_death_of_the_first_lets_the_next_in(db, started):
    run_dir = connect.run_dir(db)
    holder = started(HOLDER, run_dir)
    holder.stdout.readline()
    writer = started(WRITER, db, "W")
    eventually(lambda: standing(run_dir) == 2)
    holder.kill()

    assert writer.communicate()[0] == "1\n"


def test_who_is_in_the_database_has_left_the_line(db):
    connection = connect.connect(db)
    line.leave(line.enter(connect.run_dir(db), make=True))
    connect.begin(connection, connect.run_dir(db))
    left = standing(connect.run_dir(db))
    connection.close()

    assert left == 0
