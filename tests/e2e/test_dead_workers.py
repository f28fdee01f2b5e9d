"""Workers that die: nothing of their jobs is left, nothing is doubled, and what was to live on is recorded as it ended."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kiribi_cli.runner.process import boot_id, look, pid_namespace, start_ticks
from tests.e2e import trees

TREES = ("sessions", "cleared", "stopped", "chain")
DEFINITIONS = """
[worker]
drain_timeout = "1h"
[defaults]
backoff = "1ms"
kill_after = "300ms"
""" + "".join(
    f'[jobs.{kind}]\ncommand = ["{sys.executable}", "trees.py", "{kind}"]\nmax_attempts = 3\n' for kind in TREES
)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def hands_of(worker: subprocess.Popen[bytes]) -> int:
    """Find the launcher of a worker: its child that has our launcher's command line."""
    return next(pid for pid in children(worker.pid) if b"launcher" in Path(f"/proc/{pid}/cmdline").read_bytes())


def kill(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def outcomes(kiribi, job):
    return [attempt["outcome"] for attempt in kiribi.json("show", job)["attempt_list"]]


def is_running(pid: int) -> bool:
    process = look(pid)
    return process is not None and process.state not in "ZX"


def pid_of_first_attempt(kiribi):
    return next((attempt["pid"] for attempt in kiribi.json("show", 1)["attempt_list"]), None)


def litter(kiribi):
    """What is left in the run folder that is not there for good; the bell of a dead worker goes with the next ring."""
    run = kiribi.folder / ".kiribi" / "run"
    usual = {"null", "rescue.lock", "line", "swept", "jobs.toml.cache"}
    return sorted(path.name for path in run.iterdir() if path.name not in usual and path.suffix != ".bell")


@pytest.mark.parametrize("dies", ["brain", "hands", "both", "brain beside stopped hands"])
def test_four_hard_trees_are_gone_before_their_jobs_run_again(kiribi, eventually, dies):
    shutil.copy(trees.__file__, kiribi.folder)
    kiribi.define(DEFINITIONS)
    worker = kiribi.worker("-j", "8")
    for kind in TREES:
        kiribi.ok("enqueue", kind)
    ledgers = [kiribi.folder / f"ledger-{number}-{number}" for number in range(1, 5)]
    expected = {"sessions": 3, "cleared": 4, "stopped": 3, "chain": 2}
    eventually(lambda: all(path.exists() for path in ledgers))
    eventually(lambda: [len(trees.noted(path)) for path in ledgers] == [expected[kind] for kind in TREES])
    others = [] if dies == "hands" else [kiribi.worker("-j", "8")]
    hands = hands_of(worker)
    began = time.time()
    if dies == "brain beside stopped hands":
        os.kill(hands, signal.SIGSTOP)
    kill(*{"brain": [worker.pid], "hands": [hands], "both": [worker.pid, hands]}.get(dies, [worker.pid]))
    eventually(lambda: [kiribi.status(number) for number in range(1, 5)] == ["completed"] * 4)
    again = max(kiribi.json("show", number)["attempt_list"][1]["started_at"] for number in range(1, 5))

    assert [outcomes(kiribi, number) for number in range(1, 5)] == [["worker_lost", "completed"]] * 4
    assert not (kiribi.folder / "overlaps").exists(), (kiribi.folder / "overlaps").read_text()
    assert [one for path in ledgers for one in trees.noted(path) if trees.lives(*one)] == []
    # Grace and 2 s for the old, 2 s for the new; and a machine that has other things to do.
    assert seconds(again) - began < 0.3 + 2 + 2 + 10
    for one in [*others, *([worker] if dies == "hands" else [])]:
        one.terminate()
        assert one.wait(30) == 0
    assert litter(kiribi) == []


def seconds(at):
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()


# Prints a thousand lines, and waits at some of them until the test lets it go on.
TALKER = """
import os, sys, time
def wait(at):
    open(f"at-{at}", "w").close()
    while not os.path.exists(f"go-{at}"): time.sleep(0.01)
for number in range(1000):
    if number in (0, 500): wait(number)
    print(number, flush=True)
    if number % 100 == 0: sum(range(1_000_000)); time.sleep(0.01)
wait(1000)
sys.exit(42)
"""
ADOPTED = f"""
[jobs.Talker]
command = ["{sys.executable}", "talker.py"]
on_worker_death = "adopt"
max_attempts = 2
backoff = "1ms"
"""


def test_an_adopted_job_outlives_every_brain_and_is_recorded_once_with_all_it_printed(kiribi, eventually):
    (kiribi.folder / "talker.py").write_text(TALKER)
    kiribi.define(ADOPTED.replace("max_attempts = 2", "max_attempts = 1"))
    kiribi.ok("enqueue", "Talker")
    # At its start, in the middle, when it has printed everything: each time another brain dies, one of them in mid-flow.
    for at in (0, 500, 1000):
        worker = kiribi.worker()
        eventually((kiribi.folder / f"at-{at}").exists)
        if at != 500:
            kill(worker.pid)
        (kiribi.folder / f"go-{at}").touch()
        if at == 500:
            kill(worker.pid)
        worker.wait()
    kiribi.worker()
    eventually(lambda: kiribi.status(1) == "failed")

    (attempt,) = kiribi.json("show", 1)["attempt_list"]
    assert (attempt["outcome"], attempt["exit_code"]) == ("failed", 42)
    assert attempt["cpu_user_ms"] > 0
    assert attempt["max_rss_bytes"] > 1_000_000
    assert kiribi.ok("logs", 1).splitlines() == [str(number) for number in range(1000)]


@pytest.mark.parametrize("by", ["worker", "recover"])
def test_an_end_that_could_not_be_stored_is_kept_until_somebody_can(kiribi, eventually, by):
    (kiribi.folder / "talker.py").write_text(TALKER)
    kiribi.define(ADOPTED)
    kiribi.ok("enqueue", "Talker", "--max-attempts", "1")
    worker = kiribi.worker()
    for at in (0, 500):
        (kiribi.folder / f"go-{at}").touch()
    eventually((kiribi.folder / "at-1000").exists)
    pid = eventually(lambda: pid_of_first_attempt(kiribi))
    # Nobody can write while it ends.
    with sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db", isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        (kiribi.folder / "go-1000").touch()
        eventually(lambda: not is_running(pid))
        kill(worker.pid)
        worker.wait()
        holder.execute("ROLLBACK")
    holder.close()
    kiribi.ok("recover") if by == "recover" else kiribi.ok("worker", "--drain")

    (attempt,) = kiribi.json("show", 1)["attempt_list"]
    assert (attempt["outcome"], attempt["exit_code"]) == ("failed", 42)
    assert len(kiribi.ok("logs", 1).splitlines()) == 1000


def test_what_was_to_be_adopted_is_lost_with_its_hands_and_runs_again(kiribi, eventually):
    (kiribi.folder / "talker.py").write_text(TALKER)
    kiribi.define(ADOPTED)
    kiribi.ok("enqueue", "Talker")
    worker = kiribi.worker()
    (kiribi.folder / "go-0").touch()
    eventually((kiribi.folder / "at-500").exists)
    kill(worker.pid, hands_of(worker))
    worker.wait()
    for at in (500, 1000):
        (kiribi.folder / f"go-{at}").touch()
    kiribi.drain()

    attempts = kiribi.json("show", 1)["attempt_list"]
    assert [(attempt["outcome"], attempt["exit_code"]) for attempt in attempts] == [
        ("worker_lost", None),
        ("failed", 42),
    ]


@pytest.mark.needs("strace")
def test_the_last_words_of_hands_that_crash_stand_in_the_log_of_the_worker(kiribi, eventually):
    kiribi.define('[jobs.Once]\nshell = "test -e seen || { touch seen; exec sleep 600; }"\nbackoff = "1ms"\n')
    kiribi.ok("enqueue", "Once")
    worker = kiribi.worker("--log-file", "log")
    eventually((kiribi.folder / "seen").exists)
    fault = ["-p", str(hands_of(worker)), "-e", "trace=epoll_wait", "-e", "inject=epoll_wait:error=EBADF:when=1"]
    subprocess.run(["strace", "-qq", "-o", kiribi.folder / "strace", *fault], timeout=60, check=False)
    eventually(lambda: kiribi.status(1) == "completed")

    log = (kiribi.folder / "log").read_text()
    assert "the launcher died; lost with it: 1 job" in log
    assert "OSError: [Errno 9] Bad file descriptor" in log
    assert outcomes(kiribi, 1) == ["worker_lost", "completed"]
    worker.terminate()
    worker.wait()


def test_a_run_in_the_foreground_whose_launcher_is_killed_ends_the_job_and_tries_again(kiribi, eventually):
    kiribi.define("""[jobs.Once]
shell = 'test ! -e pid || { echo again; exit 7; }; trap "" TERM; echo $$ > pid; sleep 600; sleep 600'
max_attempts = 2
backoff = "1ms"
kill_after = "100ms"
""")
    runs = kiribi.start("run", "Once", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    path = kiribi.folder / "pid"
    eventually(lambda: path.exists() and path.read_text())
    kill(hands_of(runs))
    out, err = runs.communicate(timeout=60)

    assert (runs.returncode, out) == (7, b"again\n")
    assert b"failed: exit 7 after 2 attempts" in err
    assert outcomes(kiribi, 1) == ["worker_lost", "failed"]
    assert not is_running(int(path.read_text()))
    assert litter(kiribi) == []


# A callable that stops its launcher before that can note that it has begun, kills its worker, and is deaf.
HIDDEN = """
import fcntl, os, signal, time
def work():
    lock = open("lock", "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        open("overlap", "w")
    if os.environ["KIRIBI_ATTEMPT"] == "1":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        hands = os.getppid()
        with open(f"/proc/{hands}/stat") as file:
            brain = int(file.read().rpartition(")")[2].split()[1])
        os.kill(hands, signal.SIGSTOP)
        os.kill(brain, signal.SIGKILL)
        time.sleep(600)
"""


def test_a_callable_of_which_only_its_stopped_hands_know_is_gone_before_it_runs_again(kiribi):
    (kiribi.folder / "hidden.py").write_text(HIDDEN)
    kiribi.define('[jobs.Hidden]\npython = "hidden:work"\nbackoff = "1ms"\nkill_after = "300ms"\n')
    kiribi.ok("enqueue", "Hidden")
    assert kiribi.start("worker").wait(30) == -signal.SIGKILL
    kiribi.drain()

    assert outcomes(kiribi, 1) == ["worker_lost", "completed"]
    assert not (kiribi.folder / "overlap").exists()


def test_what_stopped_hands_were_told_to_run_by_a_brain_that_is_dead_never_begins(kiribi, eventually):
    kiribi.define('[jobs.Once]\nshell = "echo $KIRIBI_ATTEMPT >> began"\nbackoff = "1ms"\n')
    worker = kiribi.worker()
    os.kill(hands_of(worker), signal.SIGSTOP)
    kiribi.ok("enqueue", "Once")
    eventually(lambda: kiribi.status(1) == "running")
    kill(worker.pid)
    worker.wait()
    kiribi.drain()

    assert outcomes(kiribi, 1)[-1] == "completed"
    assert (kiribi.folder / "began").read_text() == "2\n"


KILLERS = {
    "brain": "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat)",
    "hands": "kill -9 $PPID",
    "both": "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat) $PPID",
}


@pytest.mark.parametrize("victim", KILLERS)
def test_a_job_that_kills_its_worker_each_time_runs_out_of_attempts(kiribi, eventually, victim):
    kiribi.define(f"""[jobs.Killer]
shell = "echo $$ >> pids; {KILLERS[victim]}; sleep 600"
max_attempts = 2
backoff = "1ms"
kill_after = "100ms"
""")
    kiribi.ok("enqueue", "Killer")
    for _ in range(1 if victim == "hands" else 2):
        worker = kiribi.start("worker")
        eventually(lambda worker=worker: worker.poll() is not None or kiribi.status(1) == "failed")
    if victim != "hands":
        kiribi.drain()

    assert kiribi.status(1) == "failed"
    assert outcomes(kiribi, 1) == ["worker_lost", "worker_lost"]
    assert len((kiribi.folder / "pids").read_text().split()) == 2
    if victim == "hands":
        worker.terminate()
        worker.wait()


# An innocent process and its child, in a group and a session that have its number.
INNOCENT = ["sh", "-c", "sleep 600 & wait"]


@pytest.mark.parametrize(
    ("what", "by"), [("start time", "worker"), ("boot", "recover"), ("namespace", "worker"), ("start time", "cancel")]
)
def test_an_innocent_process_that_got_the_pid_of_a_lost_attempt_is_left_alone(kiribi, eventually, what, by):
    kiribi.define('[jobs.Once]\nshell = "echo $$ >> pids; test -e go || exec sleep 600"\nbackoff = "1ms"\n')
    kiribi.ok("enqueue", "Once")
    worker = kiribi.worker()
    job = eventually(lambda: pid_of_first_attempt(kiribi))
    kill(worker.pid, hands_of(worker), job)
    worker.wait()
    innocent = subprocess.Popen(INNOCENT, start_new_session=True)
    (child,) = eventually(lambda: children(innocent.pid))
    process = [boot_id(), pid_namespace(), start_ticks(innocent.pid)]
    place = {"boot": 0, "namespace": 1, "start time": 2}[what]
    process[place] = process[2] - 7 if place == 2 else "another"
    with sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db") as database:
        words = f'["{process[0]}", "{process[1]}", {process[2]}]'
        assert database.execute("UPDATE attempts SET pid = ?, process = ?", (innocent.pid, words)).rowcount == 1
    database.close()
    (kiribi.folder / "go").touch()
    if by == "cancel":
        kiribi("cancel", "1")
    kiribi.ok("recover") if by == "recover" else kiribi.ok("worker", "--drain")
    survivors = [is_running(pid) for pid in (innocent.pid, child)]
    kill(child, innocent.pid)
    innocent.wait()

    assert survivors == [True, True]
    assert outcomes(kiribi, 1)[0] in ("worker_lost", "cancelled")


def test_a_worker_that_a_job_started_is_part_of_the_job(kiribi, eventually):
    kiribi.define("""
[jobs.Outer]
shell = 'setsid -f kiribi worker -s -Q inner; kiribi run -s Inner; sleep 600'
kill_after = "300ms"
[jobs.Inner]
shell = 'echo $$ >> inner; trap "" TERM; sleep 600; sleep 600'
queue = "inner"
max_attempts = 1
""")
    kiribi.ok("enqueue", "Outer")
    kiribi.ok("enqueue", "Inner")
    worker = kiribi.worker("-Q", "default")
    path = kiribi.folder / "inner"
    eventually(lambda: path.exists() and len(path.read_text().split()) == 2)
    kiribi.ok("cancel", "1", "--wait")
    eventually(lambda: not any(is_running(int(pid)) for pid in path.read_text().split()))
    eventually(lambda: {kiribi.status(2), kiribi.status(3)} == {"failed"})

    assert kiribi.status(1) == "cancelled"
    assert [worker["pid"] for worker in kiribi.json("ps")] == [worker.pid]
