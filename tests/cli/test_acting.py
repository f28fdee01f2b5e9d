"""retry, cancel and rm: what they touch, what they ask, how they refuse."""

import json
from pathlib import Path

import pytest

JOBS = """
[jobs]
Good = ["true"]
Bad = { command = ["false"], max_attempts = 1 }
Slow = ["sleep", "60"]
"""


@pytest.fixture
def queue(kiribi):
    """Jobs 1 Good (completed), 2 and 3 Bad (failed), 4 Good (scheduled)."""
    kiribi.define(JOBS)
    for name in ("Good", "Bad", "Bad"):
        kiribi.ok("enqueue", name)
    kiribi.ok("worker", "--drain", "-s")
    kiribi.ok("enqueue", "Good", "--in", "1h")
    return kiribi


def test_retry_puts_a_failed_job_back_and_keeps_its_attempts(queue):
    queue.ok("retry", 2)

    job = queue.json("show", 2)
    assert (job["status"], job["attempts"], len(job["attempt_list"])) == ("pending", 1, 1)


def test_retry_of_a_completed_job_is_a_conflict_without_force(queue):
    refused = queue("retry", 1)
    forced = queue("retry", 1, "--force")

    assert (refused.returncode, forced.returncode) == (5, 0)
    assert "--force" in refused.stderr
    assert queue.status(1) == "pending"


def test_retry_of_an_unknown_id_is_not_found(queue):
    done = queue("retry", 99)

    assert done.returncode == 3
    assert done.stderr.startswith("Error: ")


def test_an_act_that_fails_for_some_ids_changes_the_others_and_exits_with_1(queue):
    done = queue("retry", 2, 1, 99, "--json")

    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert answer["ids"] == [2]
    assert [(each["id"], each["code"]) for each in answer["refused"]] == [(99, "not_found"), (1, "conflict")]


def test_an_act_on_jobs_picked_by_a_filter_needs_a_yes(queue):
    asked = queue("retry", "--status", "failed")
    before = queue.status(2)
    told = queue("retry", "--status", "failed", "--yes", "-q")

    assert (asked.returncode, before) == (9, "failed")
    assert "Bad 2" in asked.stderr
    assert told.stdout.split() == ["2", "3"]


def test_a_dry_run_says_what_would_be_and_changes_nothing(queue):
    answer = queue.json("retry", "--status", "failed", "--dry-run")

    assert (answer["dry_run"], answer["matched"], answer["changed"], answer["ids"]) == (True, 2, 0, [2, 3])
    assert [queue.status(job) for job in (2, 3)] == ["failed", "failed"]


def test_a_filter_without_a_status_means_the_jobs_that_the_act_is_for(queue):
    retried = queue.json("retry", "--queue", "default", "--yes")
    deleted = queue.json("rm", "--queue", "default", "-n")

    assert retried["ids"] == [2, 3]
    assert deleted["ids"] == [1]


def test_neither_id_nor_filter_is_a_usage_error(queue):
    assert [queue(act).returncode for act in ("retry", "cancel", "rm")] == [2, 2, 2]


def test_a_filter_that_matches_nothing_is_no_error_and_asks_nothing(queue):
    done = queue("cancel", "--job", "Good", "--status", "pending")

    assert (done.returncode, done.stdout) == (0, "")


def test_limit_takes_the_oldest(queue):
    answer = queue.json("retry", "--status", "failed", "--limit", 1, "--yes")

    assert answer["ids"] == [2]


def test_spread_gives_every_job_a_start_of_its_own(queue):
    queue.ok("retry", 2, 3, "--in", "1h", "--spread", "10m")

    first, second = (queue.json("show", job) for job in (2, 3))
    assert (first["status"], second["status"]) == ("scheduled", "scheduled")
    assert first["run_at"] < second["run_at"]


def test_more_says_how_many_attempts_are_granted(queue):
    queue.ok("retry", 2, "--more", 4)

    assert queue.json("show", 2)["max_attempts"] == 5


def test_ids_come_from_stdin(queue):
    done = queue("retry", "-", "-q", stdin="2\n3\n")

    assert done.stdout.split() == ["2", "3"]


def test_cancel_ends_a_waiting_job_at_once_and_says_by_whom(queue):
    queue.ok("cancel", 4)

    job = queue.json("show", 4)
    assert (job["status"], job["why"]["code"]) == ("cancelled", "cancelled")
    assert job["why"]["message"].startswith("by ")


def test_cancel_of_a_finished_job_is_a_conflict(queue):
    assert queue("cancel", 1).returncode == 5


def test_cancel_wait_returns_when_the_running_job_has_ended(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker() as worker:
        eventually(lambda: kiribi.status(job) == "running")

        kiribi.ok("cancel", job, "--now", "--wait")
        status = kiribi.status(job)
        worker.terminate()

    assert status == "cancelled"


def test_cancel_refuses_what_is_no_signal(queue):
    done = queue("cancel", 4, "--signal", "NOPE")

    assert done.returncode == 2
    assert queue.status(4) == "scheduled"


def test_rm_always_asks_and_without_a_terminal_needs_yes(queue):
    done = queue("rm", 1)

    assert done.returncode == 9
    assert queue.status(1) == "completed"


def test_rm_deletes_a_job_with_its_attempts_and_logs(kiribi):
    kiribi.define('[jobs]\nTalk = ["echo", "hello"]\n')
    job = kiribi.ok("enqueue", "Talk")
    kiribi.ok("worker", "--drain", "-s")
    [attempt] = kiribi.json("show", job)["attempt_list"]
    assert Path(attempt["log_path"]).exists()

    kiribi.ok("rm", job, "--yes")

    assert kiribi("show", job).returncode == 3
    assert not Path(attempt["log_path"]).exists()


def test_rm_refuses_an_unfinished_job_unless_forced(queue):
    refused = queue("rm", 4, "--yes")
    forced = queue("rm", 4, "--yes", "--force")

    assert (refused.returncode, forced.returncode) == (5, 0)
    assert queue("show", 4).returncode == 3


def test_rm_force_ends_a_running_job_first(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker() as worker:
        eventually(lambda: kiribi.status(job) == "running")

        kiribi.ok("rm", job, "--force", "--yes")
        worker.terminate()

    assert kiribi("show", job).returncode == 3


def test_the_statistics_still_count_a_deleted_job(queue):
    before = queue.json("stats")["totals"]

    queue.ok("rm", 1, 2, 3, "--yes")

    assert queue.json("stats")["totals"] == before
