"""A wall clock that is set two days forward or back while workers run: what they do follows the time that has elapsed."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.faults import WallClock
from tests.invariants import processes_of

pytestmark = pytest.mark.needs("cc")
STEPS = pytest.mark.parametrize("days", [2, -2], ids=["forward", "back"])
DEFINITIONS = """
[defaults]
max_attempts = 1
[worker]
poll = "200ms"
[jobs]
Quick = "true"
Long = { shell = 'echo $$ >> starts; while [ ! -e go ]; do sleep 0.05; done', timeout = "1h" }
Hung = { shell = 'echo $$ >> starts; exec sleep 600', timeout = "3s", kill_after = "500ms" }
"""
# Says the time of its wall clock, of SQLite's and of the monotonic one, for each line that it reads.
CLOCKS = """
import json, sqlite3, sys, time
database = sqlite3.connect(":memory:")
for _ in sys.stdin:
    (seconds,) = database.execute("SELECT CAST(strftime('%s', 'now') AS INTEGER)").fetchone()
    print(json.dumps([time.time(), seconds, time.monotonic()]), flush=True)
"""


@pytest.fixture
def wall(kiribi, tmp_path):
    """The clock by which every `kiribi` of the test runs."""
    clock = WallClock(tmp_path)
    kiribi.environment |= clock.environment
    kiribi.define(DEFINITIONS)
    return clock


@pytest.fixture
def busy(kiribi, eventually):
    """Enqueue a job and return once its process runs."""

    def start(name: str) -> str:
        job = kiribi.ok("enqueue", name)
        eventually((kiribi.folder / "starts").exists)
        return job

    return start


def test_the_clock_of_these_tests_steps_in_a_running_program_and_leaves_elapsed_time_alone(wall):
    with subprocess.Popen(
        [sys.executable, "-c", CLOCKS],
        env=os.environ | wall.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:

        def read() -> list[float]:
            program.stdin.write("\n")
            program.stdin.flush()
            return json.loads(program.stdout.readline())

        readings = []
        for days in (0, 2, -2, 0):
            wall.set(days)
            readings.append(read())
        program.stdin.close()

    (began, _, _), *_ = readings
    assert [round((wall - began) / 86_400, 2) for wall, _, _ in readings] == [0, 2, -2, 0]
    assert [round((sqlite - began) / 86_400, 2) for _, sqlite, _ in readings] == [0, 2, -2, 0]
    assert 0 < readings[-1][2] - readings[0][2] < 60


@STEPS
def test_a_running_job_is_neither_timed_out_nor_lost_when_the_clock_is_set(kiribi, wall, busy, eventually, days):
    kiribi.worker()
    kiribi.worker()
    job = busy("Long")
    for shift in (days, 0):
        wall.set(shift)
        # A whole turn of both workers and more, at the new time: what is enqueued runs at once.
        for quick in [kiribi.ok("enqueue", "Quick") for _ in range(8)]:
            eventually(lambda quick=quick: kiribi.status(quick) == "completed")
    (kiribi.folder / "go").touch()
    eventually(lambda: kiribi.status(job) == "completed")

    (attempt,) = kiribi.json("show", job)["attempt_list"]
    assert attempt["outcome"] == "completed"
    assert 0 <= attempt["duration_ms"] < 60_000
    assert len((kiribi.folder / "starts").read_text().split()) == 1
    assert [worker["state"] for worker in kiribi.json("ps")] == ["running", "running"]
    assert kiribi.ok("events", "--since", "30d", "--type", "worker.lost") == ""


@STEPS
def test_a_job_that_hangs_is_timed_out_after_the_time_it_may_take_when_the_clock_was_set(
    kiribi, wall, busy, eventually, days
):
    kiribi.worker()
    job = busy("Hung")
    wall.set(days)
    eventually(lambda: kiribi.status(job) == "failed")

    (attempt,) = kiribi.json("show", job)["attempt_list"]
    assert attempt["outcome"] == "timed_out"
    assert 3_000 <= attempt["duration_ms"] < 60_000


def test_jobs_and_workers_of_a_machine_that_slept_for_two_days_go_on(kiribi, wall, busy, eventually, tmp_path):
    workers = [kiribi.worker(), kiribi.worker()]
    job = busy("Long")
    asleep = processes_of(tmp_path)
    for pid in asleep:
        os.kill(pid, signal.SIGSTOP)
    wall.set(2)
    for pid in asleep:
        os.kill(pid, signal.SIGCONT)
    quick = kiribi.ok("enqueue", "Quick")
    eventually(lambda: kiribi.status(quick) == "completed")
    (kiribi.folder / "go").touch()
    eventually(lambda: kiribi.status(job) == "completed")

    assert {worker.pid for worker in workers} < set(asleep)
    assert len(kiribi.json("show", job)["attempt_list"]) == 1
    assert [worker["state"] for worker in kiribi.json("ps")] == ["running", "running"]
