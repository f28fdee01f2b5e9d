"""Workers as people treat them: killed, told to stop twice, reloaded, raced by fifty enqueuers."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

DEFINITIONS = """
[worker]
drain_timeout = "1h"
[defaults]
backoff = "100ms"
kill_after = "500ms"
[jobs.Once]
shell = 'echo $$ >> starts; [ "$KIRIBI_ATTEMPT" -gt 1 ] || exec sleep 600'
[jobs.Long]
shell = 'echo $$ >> starts; exec sleep 600'
[jobs.Brief]
shell = 'echo $$ >> starts; while [ ! -e go ]; do sleep 0.05; done'
[jobs.Adopted]
shell = 'echo $$ >> starts; while [ ! -e go ]; do sleep 0.05; done; echo told to end; exit 7'
on_worker_death = "adopt"
max_attempts = 1
[jobs.Deaf]
shell = 'trap "" TERM INT; setsid sh -c "trap \\"\\" TERM; echo \\$\\$ >> starts; sleep 600; sleep 600" & echo $$ >> starts; sleep 600; sleep 600'
[jobs.Quick]
command = ["true"]
"""


@pytest.fixture
def started(kiribi, eventually):
    """Wait until so many processes of jobs have said their pid, and return all pids said."""
    kiribi.define(DEFINITIONS)

    def wait(count: int) -> list[int]:
        path = kiribi.folder / "starts"
        eventually(lambda: path.exists() and len(path.read_text().split()) >= count)
        return [int(word) for word in path.read_text().split()]

    return wait


def lives(pid: int) -> bool:
    """A zombie is dead: it runs nothing any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_job_whose_worker_was_killed_runs_again_after_its_process_is_gone(kiribi, eventually, started):
    kiribi.ok("enqueue", "Once")
    first = kiribi.worker()
    orphan = started(1)[0]
    first.kill()
    first.wait()
    kiribi.worker()
    eventually(lambda: kiribi.status(1) == "completed")

    job = kiribi.json("show", 1)
    assert [attempt["outcome"] for attempt in job["attempt_list"]] == ["worker_lost", "completed"]
    assert not lives(orphan)
    assert len(started(2)) == 2


def test_a_worker_that_lives_notices_that_another_was_killed(kiribi, eventually, started):
    kiribi.ok("enqueue", "Once")
    first = kiribi.worker()
    started(1)
    kiribi.worker()
    first.kill()
    first.wait()

    eventually(lambda: kiribi.status(1) == "completed")


def test_a_killed_worker_and_its_launcher_leave_nothing_running_beside_the_next_attempt(kiribi, eventually, started):
    kiribi.ok("enqueue", "Once")
    first = kiribi.worker()
    orphan = started(1)[0]
    for pid in [first.pid, *_children_of(first.pid)]:
        os.kill(pid, signal.SIGKILL)
    first.wait()
    kiribi.worker()
    eventually(lambda: kiribi.status(1) == "completed")

    assert not lives(orphan)


def test_an_adopted_job_keeps_running_and_its_true_end_is_recorded(kiribi, eventually, started):
    kiribi.ok("enqueue", "Adopted")
    first = kiribi.worker()
    pid = started(1)[0]
    first.kill()
    first.wait()
    kiribi.worker()
    (kiribi.folder / "go").touch()
    eventually(lambda: kiribi.status(1) == "failed")

    attempts = kiribi.json("show", 1)["attempt_list"]
    assert [(attempt["exit_code"], attempt["pid"]) for attempt in attempts] == [(7, pid)]
    assert kiribi.ok("logs", 1) == "told to end"


def test_after_one_term_the_running_job_ends_by_itself_and_nothing_new_starts(kiribi, eventually, started):
    kiribi.ok("enqueue", "Brief")
    worker = kiribi.worker()
    started(1)
    worker.terminate()
    eventually(lambda: kiribi.json("ps")[0]["state"] == "draining")
    kiribi.ok("enqueue", "Quick")
    (kiribi.folder / "go").touch()

    assert worker.wait(30) == 0
    assert [kiribi.status(1), kiribi.status(2)] == ["completed", "pending"]


def test_after_a_second_term_the_job_is_stopped_and_put_back_with_its_attempt_refunded(kiribi, eventually, started):
    kiribi.ok("enqueue", "Long")
    worker = kiribi.worker()
    pid = started(1)[0]
    worker.terminate()
    eventually(lambda: kiribi.json("ps")[0]["state"] == "draining")
    worker.terminate()

    assert worker.wait(30) == 0
    job = kiribi.json("show", 1)
    assert (job["status"], job["attempts"], job["attempt_list"][0]["outcome"]) == ("pending", 0, "interrupted")
    assert not lives(pid)


def test_a_cancelled_job_leaves_no_process_even_if_it_is_deaf_and_left_its_session(kiribi, eventually, started):
    kiribi.ok("enqueue", "Deaf")
    kiribi.worker()
    pids = started(2)
    kiribi.ok("cancel", "1", "--wait")

    assert kiribi.status(1) == "cancelled"
    eventually(lambda: not any(lives(pid) for pid in pids))


def test_a_worker_that_drains_ends_when_nothing_is_due(kiribi, started):
    kiribi.ok("enqueue", "Quick")
    kiribi.ok("enqueue", "Quick", "--in", "1h")
    kiribi.ok("worker", "--drain")

    assert [kiribi.status(1), kiribi.status(2)] == ["completed", "scheduled"]


def test_hup_brings_a_new_definition_into_force(kiribi, eventually, started):
    worker = kiribi.worker()
    kiribi.define(DEFINITIONS + '[jobs.New]\nshell = "echo new"\n')
    worker.send_signal(signal.SIGHUP)
    kiribi.ok("enqueue", "New")

    eventually(lambda: kiribi.status(1) == "completed")
    assert kiribi.ok("logs", 1) == "new"


def test_a_broken_file_is_reported_and_the_old_definitions_stay_in_force(kiribi, eventually, started):
    worker = kiribi.worker()
    kiribi.ok("enqueue", "Quick", "--in", "2s")
    kiribi.define("[jobs.Quick\n")
    worker.send_signal(signal.SIGHUP)
    eventually(lambda: kiribi.json("ps")[0]["config_error"])
    eventually(lambda: kiribi.status(1) == "completed")
    kiribi.define(DEFINITIONS)
    worker.send_signal(signal.SIGHUP)

    eventually(lambda: kiribi.json("ps")[0]["config_error"] is None)
    assert worker.poll() is None


def test_fifty_enqueuers_at_once_all_succeed_beside_two_workers(kiribi, eventually, started):
    kiribi.ok("enqueue", "Quick")
    kiribi.worker("-j", "1")
    kiribi.worker("-j", "1")
    racers = [kiribi.start("enqueue", "Quick", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(50)]
    answers = [racer.communicate(timeout=120) for racer in racers]

    assert [(racer.returncode, err) for racer, (_, err) in zip(racers, answers, strict=True)] == [(0, b"")] * 50
    assert len({int(out) for out, _ in answers}) == 50
    eventually(lambda: kiribi.ok("ls", "--status", "completed", "--count") == "51")


def test_fifty_enqueuers_with_one_unique_key_get_one_job(kiribi, started):
    kiribi.ok("enqueue", "Long")
    racers = [kiribi.start("enqueue", "Quick", "--unique", "k", stdout=subprocess.PIPE) for _ in range(50)]
    answers = {racer.communicate(timeout=120)[0] for racer in racers}

    assert answers == {b"2\n"}
    assert kiribi.ok("ls", "--count") == "2"


def test_a_killed_enqueue_that_is_repeated_with_its_key_never_makes_two_jobs(kiribi, started):
    kiribi.ok("enqueue", "Long")
    for delay in range(20):
        racer = kiribi.start("enqueue", "Quick", "--unique", "k")
        time.sleep(delay * 0.004)  # at another point of its life each time
        racer.kill()
        racer.wait()
    said = {kiribi.ok("enqueue", "Quick", "--unique", "k") for _ in range(3)}

    assert len(said) == 1
    assert kiribi.ok("ls", "--job", "Quick", "--count") == "1"


def test_stop_ends_every_worker(kiribi, started):
    workers = [kiribi.worker(), kiribi.worker()]
    kiribi.ok("stop")

    assert [worker.wait(30) for worker in workers] == [0, 0]
    assert kiribi("stop").returncode == 8


def _children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.damages
def test_a_worker_whose_database_is_damaged_under_it_stops_with_its_jobs_and_says_so(kiribi, eventually, started):
    with (kiribi.folder / "said").open("wb") as said:
        worker = kiribi.worker(stderr=said)
    kiribi.ok("enqueue", "Long")
    (job,) = started(1)

    for path in (kiribi.folder / ".kiribi").glob("kiribi.db*"):
        if not path.name.endswith("-shm"):
            with path.open("r+b") as file:
                file.seek(32 if path.name.endswith("-wal") else 4096)
                file.write(b"\xaa" * (path.stat().st_size - file.tell()))

    assert worker.wait(60) == 7
    assert "is damaged" in (kiribi.folder / "said").read_text()
    eventually(lambda: not lives(job))
