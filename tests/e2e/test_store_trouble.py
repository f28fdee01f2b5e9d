"""Trouble with the store under running workers: locked, full, failing, slow, deleted. Each ends clean: jobs once, no traceback."""

import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.faults import strace

DEFINITIONS = """
[worker]
lease = "10s"
min_free = "64KB"
[defaults]
backoff = "100ms"
kill_after = "500ms"
[jobs.Any]
command = ["true"]
[jobs.Gate]
shell = 'echo $$ >> starts; while [ ! -e go ]; do sleep 0.05; done; echo $$ >> ends'
max_attempts = 2
[jobs.Timed]
shell = 'echo $$ >> starts; exec sleep 974'
timeout = "1s"
max_attempts = 1
[jobs.Long]
shell = 'echo $$ >> starts; exec sleep 974'
max_attempts = 1
"""
HOLDER = """
import sys
from kiribi_cli.store.connect import driver
connection = driver.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


class Place:
    """A worker in a folder, its log, and the jobs that have said their pid."""

    def __init__(self, kiribi, eventually) -> None:
        kiribi.define(DEFINITIONS)
        self.kiribi = kiribi
        self.eventually = eventually
        self.log = kiribi.folder / "worker.log"

    @property
    def db(self) -> Path:
        return Path(self.kiribi.environment.get("KIRIBI_DB", self.kiribi.folder / ".kiribi" / "kiribi.db"))

    def worker(self, *arguments, **options):
        with self.log.open("ab") as log:
            return self.kiribi.worker("-j", "4", *arguments, stdout=log, stderr=log, **options)

    def pids(self, count: int, name: str = "starts") -> list[int]:
        path = self.kiribi.folder / name
        return self.eventually(
            lambda: path.exists() and len(found := path.read_text().split()) >= count and [*map(int, found)]
        )

    def go(self) -> None:
        (self.kiribi.folder / "go").touch()

    def says(self, words: str) -> None:
        self.eventually(lambda: words in self.log.read_text())

    def counts(self, status: str, count: int) -> None:
        self.eventually(lambda: self.kiribi.ok("ls", "--status", status, "--count") == str(count), within=60)

    def hold(self) -> subprocess.Popen[bytes]:
        """A process that keeps every writer out until its stdin is closed."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(self.db)], **pipes)
        assert holder.stdout.readline() == b"held\n"
        return holder


@pytest.fixture
def place(kiribi, eventually):
    made = Place(kiribi, eventually)
    yield made
    assert not made.log.exists() or "Traceback" not in made.log.read_text()


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def release(holder: subprocess.Popen[bytes]) -> None:
    holder.communicate()


@pytest.mark.slow
def test_while_somebody_holds_the_write_lock_time_outs_and_signals_are_heard_and_ends_are_kept(place):
    kiribi = place.kiribi
    for name in ("Gate", "Timed", "Long"):
        kiribi.ok("enqueue", name)
    worker = place.worker("--drain-timeout", "1h")
    _, timed, long = sorted(
        place.pids(3), key=lambda pid: Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00974\x00"
    )
    place.eventually(lambda: [len(kiribi.json("show", job)["attempt_list"]) for job in (1, 2, 3)] == [1, 1, 1])
    holder = place.hold()
    waiting = kiribi.start("enqueue", "Any", stdout=subprocess.PIPE)
    place.go()
    place.pids(1, "ends")
    place.eventually(lambda: sum(map(lives, (timed, long))) == 1)
    place.says(f"is busy: process {holder.pid} has been writing to it")
    worker.terminate()
    place.says("stopping: 1 running")
    worker.terminate()
    place.eventually(lambda: not lives(timed) and not lives(long))
    held_until = time.time()
    release(holder)

    assert worker.wait(30) == 0
    assert waiting.communicate(timeout=30)[0] == b"4\n"
    gate, timed_out, put_back = (kiribi.json("show", job) for job in (1, 2, 3))
    assert [gate["status"], timed_out["status"], put_back["status"]] == ["completed", "failed", "pending"]
    assert [gate["attempts"], timed_out["attempts"], put_back["attempts"]] == [1, 1, 0]
    assert timed_out["attempt_list"][0]["outcome"] == "timed_out"
    # When it ended, not when that could be written.
    assert datetime.fromisoformat(timed_out["attempt_list"][0]["finished_at"]).timestamp() < held_until
    assert "the database can be written again, after" in place.log.read_text()


@pytest.mark.slow
def test_a_worker_told_twice_to_stop_goes_although_the_store_cannot_be_written_and_the_next_one_runs_the_job_again(
    place,
):
    kiribi = place.kiribi
    kiribi.ok("enqueue", "Gate")
    worker = place.worker()
    place.pids(1)
    place.eventually(lambda: kiribi.json("show", 1)["attempt_list"])
    holder = place.hold()
    place.go()
    place.pids(1, "ends")
    place.says("is busy")
    worker.terminate()
    time.sleep(1)
    waits = worker.poll()
    worker.terminate()

    assert worker.wait(30) == 7
    assert waits is None
    assert "stopped before the ends of 1 job (1) could be written to" in place.log.read_text()
    release(holder)
    place.worker()
    place.counts("completed", 1)
    assert [one["outcome"] for one in kiribi.json("show", 1)["attempt_list"]] == ["worker_lost", "completed"]


@pytest.mark.slow
@pytest.mark.needs("root")
def test_on_a_full_disk_a_stopping_worker_keeps_the_ends_until_there_is_room(place, small_disk):
    kiribi = place.kiribi
    kiribi.environment["KIRIBI_DB"] = str(small_disk.path / "q" / "kiribi.db")
    for name in ("Gate", "Gate", "Any"):
        kiribi.ok("enqueue", name)
    worker = place.worker()
    place.counts("completed", 1)
    place.pids(2)
    small_disk.fill()
    refused = kiribi("enqueue", "Any")
    place.go()
    place.pids(2, "ends")
    place.says("no space is left on the disk")
    worker.terminate()
    time.sleep(2)
    waits = worker.poll()
    small_disk.empty()
    since = time.monotonic()

    assert worker.wait(30) == 0
    # Five seconds are promised; this machine may be busy.
    assert time.monotonic() - since < 15
    assert waits is None
    assert (refused.returncode, "Error: " in refused.stderr) == (7, True)
    place.counts("completed", 3)
    assert [kiribi.json("show", job)["attempts"] for job in (1, 2)] == [1, 1]
    assert "the database can be written again, after" in place.log.read_text()
    assert place.log.read_text().count("trying again until it works") == 1
    kiribi.ok("db", "verify")


@pytest.mark.needs("strace")
def test_a_worker_whose_disk_fails_to_sync_for_a_while_runs_every_job_once(place):
    kiribi = place.kiribi
    for _ in range(3):
        kiribi.ok("enqueue", "Any")
    trace = kiribi.folder / "trace"
    # Some of its own: registering, publishing, beating; then it claims.
    worker = place.worker(under=strace(trace, "fsync,fdatasync:error=EIO:when=5..9", trace="fsync,fdatasync"))
    place.counts("completed", 3)
    worker.terminate()

    assert worker.wait(30) == 0
    assert trace.read_text().count("INJECTED") >= 1
    assert "trying again until it works: reading or writing the database" in place.log.read_text()
    assert "the database can be written again, after" in place.log.read_text()
    assert [len(kiribi.json("show", job)["attempt_list"]) for job in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.needs("strace")
def test_an_enqueue_whose_sync_fails_prints_no_id(place):
    kiribi = place.kiribi
    kiribi.ok("enqueue", "Any")
    failing = strace(kiribi.folder / "trace", "fsync,fdatasync:error=EIO", trace="fsync,fdatasync")
    # The quick way and the other one.
    for command in (["enqueue", "Any"], ["enqueue", "Any", "--in", "1h"]):
        done = kiribi(*command, under=failing)
        assert (done.returncode, done.stdout) == (7, ""), done
        assert "failed (SQLITE_IOERR" in done.stderr

    # What was refused is not there, and takes no id from what is enqueued again.
    assert kiribi.ok("ls", "--count") == "1"
    assert kiribi.ok("enqueue", "Any") == "2"


@pytest.mark.slow
@pytest.mark.needs("strace")
def test_where_a_sync_takes_700_ms_time_outs_and_cancels_come_in_time_and_nobody_is_told_busy(place):
    kiribi = place.kiribi
    slow = strace(kiribi.folder / "trace", "fsync,fdatasync:delay_enter=700000", trace="fsync,fdatasync")
    for name in ("Timed", "Long"):
        kiribi.ok("enqueue", name)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    many = [kiribi.start("enqueue", "Any", under=slow, **pipes) for _ in range(3)]
    worker = place.worker(under=slow)
    place.pids(2)
    told = [one.communicate(timeout=60) for one in many]
    asked = time.monotonic()
    kiribi.ok("cancel", "2", "--wait")
    cancelled_s = time.monotonic() - asked
    place.counts("completed", 3)
    worker.terminate()

    assert worker.wait(60) == 0
    assert [(one.returncode, err) for one, (_, err) in zip(many, told, strict=True)] == [(0, b"")] * 3
    assert [kiribi.status(job) for job in (1, 2)] == ["failed", "cancelled"]
    # Ended by the hands, who wait for no disk.
    assert kiribi.json("show", 1)["attempt_list"][0]["duration_ms"] < 3000
    assert cancelled_s < 15


def emptied(db: Path) -> None:
    os.truncate(db, 0)


def copied(db: Path) -> None:
    shutil.copy(db, db.with_name("copy.db"))
    db.with_name("copy.db").rename(db)


def anothers(db: Path) -> None:
    db.with_name("other.db").write_bytes(b"")
    db.with_name("other.db").rename(db)


@pytest.mark.parametrize(
    "harm", [Path.unlink, copied, anothers, emptied], ids=["deleted", "copied", "empty", "emptied"]
)
def test_a_worker_whose_database_is_gone_ends_its_jobs_and_says_so_and_writes_nothing_to_what_is_there_now(place, harm):
    kiribi = place.kiribi
    kiribi.ok("enqueue", "Long")
    worker = place.worker()
    (job,) = place.pids(1)
    place.eventually(lambda: kiribi.json("show", 1)["attempt_list"])
    harm(place.db)
    before = place.db.read_bytes() if place.db.exists() else None

    assert worker.wait(30) == 7
    assert "was deleted or replaced, or emptied, while it was open; nothing more is written" in place.log.read_text()
    place.eventually(lambda: not lives(job))
    assert (place.db.read_bytes() if place.db.exists() else None) == before
    if harm is not copied:
        assert kiribi.ok("enqueue", "Any") == "1"
        kiribi.ok("db", "verify")


def test_a_worker_whose_run_folder_and_logs_are_deleted_goes_on(place):
    kiribi = place.kiribi
    kiribi.ok("enqueue", "Gate")
    place.worker("--name", "w")
    place.pids(1)
    shutil.rmtree(place.db.parent / "run")
    shutil.rmtree(place.db.parent / "logs")
    place.says("was removed: it is made again")
    seen = kiribi.json("ps")
    kiribi.ok("enqueue", "Any")
    place.counts("completed", 1)
    place.go()
    place.counts("completed", 2)

    assert [(one["worker"], one["state"]) for one in seen] == [("w", "running")]
    assert [one["outcome"] for one in kiribi.json("show", 1)["attempt_list"]] == ["completed"]
    assert len(list((place.db.parent / "run").glob("worker-*.lock"))) == 1
    assert len(list((place.db.parent / "run").glob("*.bell"))) == 1
    assert (place.db.parent / "run").stat().st_mode & 0o777 == 0o700
