"""Workers that were stopped (kill -STOP, Ctrl-Z) past their lease, and wake up: real processes, real time."""

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

# What a second attempt of Once finds running of the first is told in `overlaps`.
DEFINITIONS = """
[worker]
lease = "10s"
[defaults]
backoff = "100ms"
kill_after = "500ms"
[jobs.Once]
shell = '''
for pid in $(cat pids-$KIRIBI_JOB_ID 2>/dev/null); do
  case $(cut -d" " -f3 /proc/$pid/stat 2>/dev/null) in "" | Z | X) ;; *) echo $pid >> overlaps ;; esac
done
[ "$KIRIBI_ATTEMPT" -gt 1 ] && exit 0
setsid sleep 975 &
echo $$ $! > draft-$KIRIBI_JOB_ID; mv draft-$KIRIBI_JOB_ID pids-$KIRIBI_JOB_ID
exec sleep 975
'''
[jobs.Tough]
shell = 'echo $$ >> tough; while [ ! -e go ]; do sleep 0.05; done; exit 7'
on_worker_death = "adopt"
max_attempts = 1
"""


def below(pid: int) -> list[int]:
    """All that descends from a process."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [one for child in children for one in (int(child), *below(int(child)))]


def history(kiribi) -> list[tuple]:
    with closing(sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db")) as connection:
        tables = "jobs", "attempts", "events WHERE type NOT LIKE 'worker.%'"
        return [row for table in tables for row in connection.execute(f"SELECT * FROM {table}")]


def age(kiribi, seconds: int) -> None:
    """Make all heartbeats older."""
    with closing(sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db")) as connection, connection:
        connection.execute("UPDATE workers SET heartbeat_at = heartbeat_at - ?", [seconds * 1000])


def start_one(kiribi, eventually, name: str, job: str = "Once"):
    """A worker that runs one job, with its log."""
    number = kiribi.ok("enqueue", job)
    with (kiribi.folder / f"{name}.log").open("wb") as log:
        worker = kiribi.worker("--name", name, "-j", "1", stdout=log)
    path = kiribi.folder / (f"pids-{number}" if job == "Once" else "tough")
    eventually(lambda: path.exists() and path.read_text())
    eventually(lambda: kiribi.json("show", number)["attempt_list"])
    return worker


@pytest.mark.slow
def test_workers_stopped_past_their_lease_are_fenced_their_jobs_are_gone_before_they_run_again(kiribi, eventually):
    kiribi.define(DEFINITIONS)
    zombies = {name: start_one(kiribi, eventually, name) for name in ("brain", "hands", "tree")}
    zombies["tough"] = start_one(kiribi, eventually, "tough", "Tough")
    foreground = kiribi.start("run", "--", "sh", "-c", "while [ ! -e go ]; do sleep 0.05; done")
    stopped = [worker.pid for worker in (*zombies.values(), foreground)]
    stopped += below(zombies["hands"].pid)[:1] + below(zombies["tree"].pid)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    lookers = [kiribi.worker("--name", name, "-j", "2") for name in ("one", "two")]
    eventually(lambda: kiribi.ok("ls", "--job", "Once", "--status", "completed", "--count") == "3", within=60)
    eventually(lambda: {one["worker"] for one in kiribi.json("ps")} >= {"one", "two"})
    before = history(kiribi)
    for pid in stopped:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            continue
    logs = [kiribi.folder / f"{name}.log" for name in zombies]
    eventually(lambda: all("declared lost" in log.read_text() for log in logs))

    assert history(kiribi) == before
    assert not (kiribi.folder / "overlaps").exists()
    outcomes = [[one["outcome"] for one in kiribi.json("show", job)["attempt_list"]] for job in (1, 2, 3)]
    assert outcomes == [["worker_lost", "completed"]] * 3
    lost = [event for event in kiribi.json("events") if event["type"] == "worker.lost"]
    assert sorted(event["by"] for event in lost) == sorted(zombies)
    (kiribi.folder / "go").touch()
    assert foreground.wait(30) == 0
    eventually(lambda: kiribi.status(4) == "failed")
    assert [(one["exit_code"], one["attempt"]) for one in kiribi.json("show", 4)["attempt_list"]] == [(7, 1)]
    assert [len(kiribi.json("show", 5)["attempt_list"]), kiribi.status(5)] == [1, "completed"]
    assert {one["worker"] for one in kiribi.json("ps")} == {*zombies, "one", "two"}
    kiribi.ok("stop")
    assert [worker.wait(30) for worker in (*zombies.values(), *lookers)] == [0] * 6


def test_a_person_may_declare_a_stopped_worker_lost_once_its_lease_is_over(kiribi, eventually):
    kiribi.define(DEFINITIONS)
    zombie = start_one(kiribi, eventually, "zombie")
    os.kill(zombie.pid, signal.SIGSTOP)
    early = kiribi("recover", "--force", "zombie", "--yes")
    seen = kiribi.ok("ps", "--table"), kiribi("doctor").stdout
    stop = kiribi("stop", "--timeout", "100ms")
    age(kiribi, 90)
    why = kiribi.json("why", 1)
    told = kiribi.ok("recover", "--force", "zombie", "--yes", "--table")
    before = history(kiribi)
    os.kill(zombie.pid, signal.SIGCONT)
    eventually(lambda: "declared lost" in (kiribi.folder / "zombie.log").read_text())

    assert (early.returncode, "is alive on this host" in early.stderr) == (9, True)
    assert "stopped" in seen[0]
    assert "worker zombie is stopped (Ctrl-Z, or kill -STOP)" in seen[1]
    assert (why["code"], "runs on zombie since" in why["message"]) == ("running", True)
    assert ", which has not been heard for 1m" in why["message"]
    assert "zombie is silent and held 1 job\n" in told
    assert [row for row in history(kiribi) if row in before] != []
    assert not (kiribi.folder / "overlaps").exists()
    assert (stop.returncode, f"stopped by Ctrl-Z or kill -STOP: kill -CONT {zombie.pid}" in stop.stderr) == (124, True)
    # Told to stop while it was silent, it does that when it is another one.
    assert zombie.wait(30) == 0
