"""kiribi doctor: each trouble is made for real, is told in plain words, and is gone after the command that is named."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import PATH

JOBS = """
[jobs]
Talk = ["echo", "hello"]
Slow = { command = ["sleep", "3600"], on_worker_death = "adopt" }
"""
HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM jobs").fetchall()
print("held", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def history(kiribi):
    """Job 1 has completed."""
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Talk")
    kiribi.ok("worker", "--drain", "-s")
    return kiribi


def findings(kiribi, check, *arguments):
    """What it says of one check, but what is well."""
    done = kiribi("--json", *arguments, "doctor")
    assert done.returncode in (0, 1), done.stderr
    return [one for one in json.loads(done.stdout) if one["check"] == check and one["status"] != "ok"]


def mend(kiribi, finding, *instead):
    """Do what it says, in a shell."""
    said = finding["mend"]
    for before, after in instead:
        said = said.replace(before, after)
    subprocess.run(said, shell=True, check=True, cwd=kiribi.folder, env=kiribi.environment, capture_output=True)


def hold(kiribi, statement):
    """Another program that keeps a transaction open."""
    argv = [sys.executable, "-c", HOLD, str(kiribi.folder / ".kiribi/kiribi.db"), statement]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, env=kiribi.environment)
    kiribi.started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def background(kiribi, job, attempt):
    """A process that carries the marks of an attempt and has left its session and its parents."""
    marks = {
        "KIRIBI_ATTEMPT_ID": str(attempt),
        "KIRIBI_JOB_ID": str(job),
        "KIRIBI_DB": str(kiribi.folder / ".kiribi/kiribi.db"),
    }
    argv = ["sh", "-c", "setsid sleep 3600 >/dev/null 2>&1 & echo $!"]
    return int(subprocess.run(argv, env={"PATH": PATH, **marks}, stdout=subprocess.PIPE, check=True).stdout)


def is_gone(pid):
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX"


@pytest.mark.parametrize(
    ("check", "place", "mode"),
    [
        ("config", "jobs.toml", 0o664),
        ("permissions", ".kiribi/kiribi.db", 0o640),
        ("permissions", ".kiribi/logs", 0o755),
        ("refused", ".kiribi", 0o777),
    ],
)
def test_what_others_can_write_or_read_is_closed_by_the_command_it_names(history, check, place, mode):
    (history.folder / place).chmod(mode)
    before = findings(history, check)
    for finding in before:
        mend(history, finding, (", if you trust what is in it; another database: --db PATH", ""))

    assert any(str(history.folder / place) in finding["message"] for finding in before)
    assert findings(history, check) == []


def test_who_keeps_everybody_from_writing_is_named_and_can_be_ended(history):
    process = hold(history, "BEGIN IMMEDIATE")
    [finding] = findings(history, "locks")
    mend(history, finding)

    assert process.wait() == -signal.SIGTERM
    assert f"process {process.pid} (" in finding["message"]
    assert findings(history, "locks") == []


def test_who_reads_for_so_long_that_the_wal_grows_is_named_and_the_wal_gets_short_again(history):
    # Else the last one to close the database would remove it.
    history.worker()
    process = hold(history, "BEGIN")
    with closing(sqlite3.connect(history.folder / ".kiribi/kiribi.db", isolation_level=None)) as connection:
        connection.executescript("CREATE TABLE other AS SELECT zeroblob(70000000); DROP TABLE other")
    [reader] = findings(history, "locks")
    mend(history, reader)
    process.wait()
    [long] = findings(history, "locks")
    mend(history, long)

    assert f"process {process.pid} (" in reader["message"]
    assert long["mend"] == "kiribi db vacuum"
    assert findings(history, "locks") == []


def test_a_process_of_an_attempt_that_was_cut_off_is_named_and_ended_by_recover(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    kiribi.worker("--idle-exit", "1s")
    eventually(lambda: kiribi.status(job) == "running")
    kiribi.ok("cancel", job)
    eventually(lambda: kiribi.status(job) == "cancelled")
    pid = background(kiribi, job, 1)
    done = kiribi.ok("enqueue", "Talk")
    kiribi.ok("worker", "--drain", "-s")
    meant = background(kiribi, done, 2)
    [finding, _] = findings(kiribi, "processes")
    told = kiribi("recover", "-n").stderr
    lives = not is_gone(pid)
    mend(kiribi, finding)
    gone = is_gone(pid), is_gone(meant)
    [other] = findings(kiribi, "processes")
    os.kill(meant, signal.SIGKILL)

    assert f"{pid} (sleep 3600)" in finding["message"]
    assert (f"would end what is left of attempts that were cut off: process {pid}" in told, lives) == (True, True)
    assert (gone, other["status"]) == ((True, False), "warning")


def test_what_a_job_left_running_when_it_ended_is_only_told(history):
    pid = background(history, 1, 1)
    [finding] = findings(history, "processes")
    history.ok("recover")
    lives = not is_gone(pid)
    mend(history, finding, ("nothing, if that is meant; else: ", ""))

    assert (finding["status"], lives) == ("warning", True)
    assert findings(history, "processes") == []


def test_hands_without_a_worker_are_told_and_recover_ends_what_they_run(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker() as worker:
        eventually(lambda: kiribi.json("show", job)["attempt_list"])
        worker.kill()
    found = findings(kiribi, "workers")
    for finding in found:
        mend(kiribi, finding, ("kiribi worker takes over what may live on, kiribi recover ends it", "kiribi recover"))

    assert any("is dead and held 1 job; still alive of them: process" in finding["message"] for finding in found)
    assert any("still sees to the jobs of a worker that is dead" in finding["message"] for finding in found)
    eventually(lambda: findings(kiribi, "workers") == [])


def test_a_stopped_worker_is_told_and_goes_on_by_the_command_it_names(history):
    worker = history.worker()
    os.kill(worker.pid, signal.SIGSTOP)
    [finding] = findings(history, "workers")
    mend(history, finding, (", or: kiribi recover", ""))

    assert finding["mend"].startswith(f"kill -CONT {worker.pid}")
    assert findings(history, "workers") == []


def test_files_of_what_is_over_go_and_those_of_living_workers_stay(history):
    run = history.folder / ".kiribi/run"
    history.worker()
    locks = set(run.glob("worker-*.lock"))
    for name in ("99.progress", "99.result", "worker-0123456789abcdef.lock"):
        (run / name).touch()
        os.utime(run / name, (0, 0))
    for lock in locks:
        os.utime(lock, (0, 0))
    [finding] = findings(history, "processes")
    mend(history, finding)

    assert finding["message"].startswith("3 files in ")
    assert set(run.glob("worker-*.lock")) == locks != set()
    assert findings(history, "processes") == findings(history, "workers") == []


def test_definitions_for_sql_of_a_file_that_is_gone_are_taken_back(history):
    other = history.folder / "other" / "jobs.toml"
    other.parent.mkdir()
    other.write_text('[jobs]\nGone = ["true"]\n')
    history.ok("-c", other, "--db", ".kiribi/kiribi.db", "def", "publish")
    other.unlink()
    [finding] = findings(history, "config")
    mend(history, finding)

    assert str(other) in finding["message"]
    assert findings(history, "config") == []
    assert history("def", "publish", "--withdraw", other).returncode == 3


def test_jobs_whose_definition_is_gone_are_told_and_can_be_cancelled(history):
    history.ok("enqueue", "Talk", "--in", "1h")
    history.define('[jobs]\nOther = ["true"]\n')
    [finding] = findings(history, "jobs")
    # In a terminal it would ask.
    mend(history, finding, ("bring it back, or: ", ""), ("--job", "--yes --job"))

    assert "jobs of Talk wait" in finding["message"]
    assert findings(history, "jobs") == []


def test_half_copies_of_killed_processes_are_told(history):
    gone = subprocess.Popen(["true"])
    gone.wait()
    (history.folder / f".kiribi/kiribi.db.part-{gone.pid}").write_bytes(b"x" * 5000)
    [finding] = findings(history, "disk")
    mend(history, finding)

    assert finding["message"].startswith("half copies of the database")
    assert findings(history, "disk") == []


@pytest.mark.needs("root")
def test_a_disk_that_is_full_or_read_only_or_has_no_room_for_files_is_told(kiribi, small_disk):
    small_disk.path.joinpath("q").mkdir(mode=0o700)
    db = ("--db", small_disk.path / "q" / "kiribi.db")
    kiribi.ok(*db, "enqueue", "--", "true")
    small_disk.fill(leave=100_000)
    full = [one["message"] for one in findings(kiribi, "disk", *db)]
    small_disk.empty()
    subprocess.run(["mount", "-o", "remount,nr_inodes=100", small_disk.path], check=True)
    files = [one["message"] for one in findings(kiribi, "disk", *db) if "files can be made" in one["message"]]
    subprocess.run(["mount", "-o", "remount,ro", small_disk.path], check=True)
    [finding] = findings(kiribi, "filesystem", *db)
    mend(kiribi, finding)

    assert any("below worker.min_free" in message and "workers claim nothing" in message for message in full)
    assert len(files) == 1
    assert "mounted read-only" in finding["message"]
    assert findings(kiribi, "filesystem", *db) == []


def test_a_clock_that_was_set_back_is_told(history):
    with closing(sqlite3.connect(history.folder / ".kiribi/kiribi.db", isolation_level=None)) as connection:
        connection.execute("UPDATE jobs SET created_at = created_at + 7200000")

    [finding] = findings(history, "clock")
    assert "in the future: the clock has been set back" in finding["message"]
