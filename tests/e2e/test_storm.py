"""A storm of SIGKILL, SIGSTOP and SIGCONT over three workers: every job ends, and no two attempts of one ever overlap.

STORM_SEED repeats the choices of a run (not its timing), STORM_SECONDS makes it longer.
"""

import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from kiribi_cli.runner.process import Process, look, send
from tests.conftest import eventually

SECONDS = float(os.environ.get("STORM_SECONDS", "30"))
SEED = int(os.environ.get("STORM_SEED", str(random.SystemRandom().randrange(1_000_000))))
WORKERS = 3

# Whoever runs a job holds its lock, with all that it starts. Whoever does not get it says so.
SHELL = """exec 9>>locks/$KIRIBI_JOB_ID; flock -n 9 || echo $KIRIBI_JOB_ID $KIRIBI_ATTEMPT_ID >> overlaps
echo b $KIRIBI_JOB_ID $KIRIBI_ATTEMPT_ID $$ >> ledger; {what}; echo e $KIRIBI_JOB_ID $KIRIBI_ATTEMPT_ID $$ >> ledger"""
RULES = 'max_attempts = 1000\nbackoff = "1ms"\nkill_after = "200ms"\n'
SHELLS = {
    "Quick": ":",
    "Slow": "sleep 0.3",
    "Deaf": "trap '' TERM INT HUP; sleep 0.3; sleep 0.3",
    "Wild": "setsid env -i sh -c '(trap \"\" TERM; sleep 0.4) & sleep 0.4' & sleep 0.3; wait",
}
CALLABLES = {"Call": 0.0, "Long": 0.2}
MODULE = """
import fcntl, os, signal, time
ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def call(seconds):
    job, attempt = os.environ["KIRIBI_JOB_ID"], os.environ["KIRIBI_ATTEMPT_ID"]
    lock = os.open(f"locks/{job}", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with open("overlaps", "a") as file: file.write(f"{job} {attempt}\\n")
    os.write(ledger, f"b {job} {attempt} {os.getpid()}\\n".encode())
    if seconds:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(seconds)
    os.write(ledger, f"e {job} {attempt} {os.getpid()}\\n".encode())
    os.close(lock)
"""


class Storm:
    """Three workers, and what happens to them."""

    def __init__(self, kiribi, seed):
        self.kiribi = kiribi
        self.dice = random.Random(seed)
        self.workers = []
        self.stopped: list[tuple[float, Process]] = []
        self.did = Counter()
        self.enqueued = 0
        self.enqueuers = []

    def rage(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.workers = [worker for worker in self.workers if worker.poll() is None]
            while len(self.workers) < WORKERS:
                log = (self.kiribi.folder / "log").open("ab")
                self.workers.append(self.kiribi.start("worker", "-j", "3", stdout=log, stderr=log))
                log.close()
            if self.enqueued < 60 * (seconds - until + time.monotonic()):
                self.feed(200)
            self.strike()
            time.sleep(self.dice.random() * 0.1)
            self.let_go(time.monotonic())
        self.let_go(float("inf"))
        assert {enqueuer.wait(60) for enqueuer in self.enqueuers} == {0}

    def feed(self, count):
        """Enqueue a mixture, in one call."""
        self.enqueued += count
        kinds = self.dice.choices([*SHELLS, *CALLABLES], [20, 6, 3, 3, 60, 8], k=count)
        lines = [
            json.dumps({"job": kind} | ({"payload": {"seconds": CALLABLES[kind]}} if kind in CALLABLES else {}))
            for kind in kinds
        ]
        # In the background: while a worker is stopped in the middle of writing, nobody else can write.
        with (self.kiribi.folder / f"batch-{self.enqueued}").open("w+") as batch:
            batch.write("\n".join(lines))
            batch.seek(0)
            self.enqueuers.append(self.kiribi.start("enqueue", "--batch", "-", "-s", stdin=batch))

    def strike(self):
        worker = self.dice.choice(self.workers)
        brain = look(worker.pid)
        hands = [one for one in below(worker.pid) if b"launcher" in command_line(one.pid)]
        children = [child for one in hands for child in below(one.pid)]
        everybody = {"brain": [brain] if brain else [], "hands": hands, "child": children}
        what, number = self.dice.choices(
            [("child", 19), ("hands", 19), ("brain", 19), ("child", 9), ("hands", 9), ("brain", 9), ("tree", 9)],
            [25, 15, 10, 15, 12, 15, 4],
        )[0]
        for victim in everybody.get(what, [one for those in everybody.values() for one in those]):
            if what == "tree" or self.dice.random() < 1 / max(1, len(everybody[what])):
                self.did[what, signal.Signals(number).name] += send(victim, number)
                if number == signal.SIGSTOP:
                    self.stopped.append((time.monotonic() + self.dice.choice([0.01, 0.05, 0.3, 1.5]), victim))

    def let_go(self, now):
        for at, victim in [*self.stopped]:
            if at <= now:
                send(victim, signal.SIGCONT)
                self.stopped.remove((at, victim))

    def calm(self):
        """Let the workers that are left, or a new one, finish everything, and go."""
        assert self.kiribi("worker", "-j", "4", "--drain", "-s", timeout=300).returncode == 0
        eventually(lambda: set(map(str, self.statuses())) == {"completed"}, 90)
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(60)

    def statuses(self):
        with sqlite3.connect(self.kiribi.folder / ".kiribi" / "kiribi.db") as database:
            rows = database.execute("SELECT DISTINCT status FROM jobs").fetchall()
        database.close()
        return [status for (status,) in rows]


def below(pid):
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [process for word in words if (process := look(int(word)))]


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.slow
@pytest.mark.needs("flock")
def test_no_attempts_overlap_and_every_job_ends_in_a_storm_of_signals(kiribi):
    (kiribi.folder / "locks").mkdir()
    (kiribi.folder / "storm.py").write_text(MODULE)
    shells = [
        f'[jobs.{name}]\n{RULES}shell = """{SHELL.format(what=what)}"""\n'.replace("\\", "\\\\")
        for name, what in SHELLS.items()
    ]
    calls = [f'[jobs.{name}]\n{RULES}python = "storm:call"\nreuse = 1000\n' for name in CALLABLES]
    kiribi.define("".join(shells + calls))
    storm = Storm(kiribi, SEED)
    storm.rage(SECONDS)
    storm.calm()
    said = f"STORM_SEED={SEED}, {dict(storm.did)}"
    begun, ended = Counter(), Counter()
    for line in (kiribi.folder / "ledger").read_text().splitlines():
        word, _, attempt, _ = line.split()
        (begun if word == "b" else ended)[int(attempt)] += 1
    attempts = recorded(kiribi)
    completed = {number for number, (_, outcome) in attempts.items() if outcome == "completed"}

    assert not (kiribi.folder / "overlaps").exists(), said + (kiribi.folder / "overlaps").read_text()
    assert [number for number, count in begun.items() if count > 1] == [], said
    assert set(begun) <= set(attempts), said
    assert completed <= set(ended), said
    assert Counter(job for job, outcome in attempts.values() if outcome == "completed") == Counter(
        range(1, storm.enqueued + 1)
    ), said
    assert {outcome for _, outcome in attempts.values()} <= {"completed", "worker_lost", "failed"}, said
    assert "Traceback" not in (kiribi.folder / "log").read_text(errors="replace"), said
    assert [path.name for path in (kiribi.folder / ".kiribi/run").glob("hands-*")] == [], said
    print(f"{said}, {storm.enqueued} jobs, {len(attempts)} attempts")  # noqa: T201  (for whoever runs it by hand)


def recorded(kiribi):
    """Every attempt there is: its job and its outcome."""
    with sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db") as database:
        rows = database.execute("SELECT id, job_id, outcome FROM attempts").fetchall()
    database.close()
    return {number: (job, outcome) for number, job, outcome in rows}
