"""ps and stop: who is seen, and who goes."""

import json
import os

JOBS = '[jobs]\nSlow = ["sleep", "3600"]\n'


def test_ps_without_a_worker_is_empty_and_no_error(kiribi):
    kiribi.ok("enqueue", "--", "true")

    assert kiribi.json("ps") == []


def test_ps_shows_a_worker_with_what_it_runs(kiribi, eventually):
    kiribi.define(JOBS)
    job = int(kiribi.ok("enqueue", "Slow"))
    with kiribi.worker("--name", "here", "-Q", "default=2", "-j", 3) as process:
        eventually(lambda: kiribi.status(job) == "running")

        [worker] = kiribi.json("ps")
        process.kill()

    assert (worker["worker"], worker["pid"], worker["host"]) == ("here", process.pid, os.uname().nodename)
    assert (worker["slots"], worker["busy"], worker["queues"]) == (3, 1, {"default": 2})
    assert [(each["id"], each["job"], each["attempt"]) for each in worker["running"]] == [(job, "Slow", 1)]


def test_ps_table_has_a_line_for_the_worker_and_one_for_each_job(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker("--name", "here") as process:
        eventually(lambda: kiribi.status(job) == "running")

        head, worker, running = kiribi.ok("ps", "--table").splitlines()
        process.kill()

    assert head.split() == ["WORKER", "PID", "UP", "QUEUES", "BUSY", "SEEN", "ROLE"]
    assert worker.split()[:2] == ["here", str(process.pid)]
    assert running.split()[:2] == [job, "Slow"]


def test_a_killed_worker_is_shown_as_dead(kiribi):
    kiribi.define(JOBS)
    with kiribi.worker() as process:
        process.kill()

    assert [worker["state"] for worker in kiribi.json("ps")] == ["dead"]


def test_all_shows_those_that_ended_too(kiribi):
    kiribi.define(JOBS)
    kiribi.ok("worker", "--drain", "-s", "--name", "gone")

    assert kiribi.json("ps") == []
    assert [worker["worker"] for worker in kiribi.json("ps", "--all")] == ["gone"]


def test_stop_returns_when_the_worker_is_gone(kiribi):
    kiribi.define(JOBS)
    with kiribi.worker("--name", "here"):
        answer = kiribi.json("stop")
        left = kiribi.json("ps")

    assert answer == {"action": "stop", "workers": ["here"], "waited": True}
    assert left == []


def test_stop_now_puts_a_running_job_back_with_its_attempt(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker():
        eventually(lambda: kiribi.status(job) == "running")
        kiribi.ok("stop", "--now")

    shown = kiribi.json("show", job)
    assert (shown["status"], shown["attempts"]) == ("pending", 0)
    assert [attempt["outcome"] for attempt in shown["attempt_list"]] == ["interrupted"]


def test_stop_gives_up_waiting_after_the_timeout_with_124(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker() as process:
        eventually(lambda: kiribi.status(job) == "running")

        done = kiribi("stop", "--timeout", "100ms")
        [worker] = kiribi.json("ps")
        process.kill()

    assert done.returncode == 124
    assert worker["state"] == "draining"


def test_stop_without_a_worker_exits_with_8(kiribi):
    kiribi.ok("enqueue", "--", "true")

    done = kiribi("--json", "stop")

    assert done.returncode == 8
    assert json.loads(done.stderr)["error"]["code"] == "no_worker"


def test_stop_of_an_unknown_name_stops_nobody(kiribi):
    kiribi.define(JOBS)
    with kiribi.worker("--name", "here") as process:
        done = kiribi("stop", "hree")
        [worker] = kiribi.json("ps")
        process.kill()

    assert done.returncode == 3
    assert 'Did you mean "here"?' in done.stderr
    assert worker["state"] == "running"
