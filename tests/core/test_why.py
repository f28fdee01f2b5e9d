"""Why a job does not run: the rule must name what the claim would stop at, in its order."""

import pytest

from kiribi_cli.core.definition import Definition
from kiribi_cli.core.job import Attempt, Job, Problem, Status
from kiribi_cli.core.records import replace
from kiribi_cli.core.why import Facts, Serving, why

JOB = Job(
    id=42, job="Import", kind="command", adhoc=False, status=Status.PENDING, queue="mail", priority=0, tags=(), attempts=0,
    max_attempts=3, snoozes=0, interruptions=0, attempt=0, attempt_id=None, unique_key=None, created_at=1_000, run_at=1_000,
    first_started_at=None, started_at=None, finished_at=None, expires_at=None, cancel_requested_at=None,
    cancel_requested_by=None, duration_ms=None, total_ms=0, exit_code=None, signal=None, error=None, reason=None,
    progress=None, schedule=None, scheduled_for=None, flow=None, step=None, parent=None, origin_kind="cli",
    origin_by="deploy@web1", worker=None, payload=None, result=None, options=None,
)  # fmt: skip
ATTEMPT = Attempt(
    id=7, job_id=42, attempt=1, outcome="failed", decision="retry", exit_code=1, signal=None, http_status=None,
    error=Problem("exit", "exit 1", "f00"), started_at=1_500, finished_at=2_000, duration_ms=500, cpu_user_ms=1,
    cpu_system_ms=1, max_rss_bytes=1, command=None, cwd=None, worker="w", host="web1", pid=1, log_bytes=0,
    next_attempt_at=9_000,
)  # fmt: skip
WORKER = Serving("w", "web1", slots=4, busy=0, low_disk=False)
# One place for each reason; every later one holds too, so the order is what is tested.
CLEAR = Facts(
    JOB, 10_000, str, definition=Definition("Import", "command", concurrency=2), queue_concurrency=2, workers=(WORKER,)
)
IN_THE_WAY = {
    "slots_busy": {"workers": (replace(WORKER, busy=4),), "ahead": 12},
    "queue_concurrency": {"queue_runs": (17, 19)},
    "job_concurrency": {"job_runs": (17, 19)},
    "disk_full": {"workers": (replace(WORKER, busy=4, low_disk=True),)},
    "no_worker": {"workers": ()},
    "definition_missing": {"definition": None},
    "config_invalid": {"broken": "line 3: what?"},
}


def test_nothing_in_the_way_is_ready():
    assert why(CLEAR).code == "ready"


@pytest.mark.parametrize("count", range(1, len(IN_THE_WAY) + 1))
def test_of_several_reasons_the_first_of_the_list_is_told(count):
    facts = CLEAR
    for changes in list(IN_THE_WAY.values())[:count]:
        facts = replace(facts, **changes)

    assert why(facts).code == list(IN_THE_WAY)[count - 1]


def test_a_broken_file_stops_nothing_while_a_worker_lives_with_its_old_definitions():
    assert why(replace(CLEAR, definition=None, broken="line 3: what?")).code == "ready"


def test_an_adhoc_job_needs_no_definition_and_has_no_limit_of_its_own():
    facts = replace(CLEAR, job=replace(JOB, adhoc=True), definition=None, job_runs=(1, 2, 3))

    assert why(facts).code == "ready"


def test_free_slots_do_not_help_when_more_jobs_are_ahead():
    assert why(replace(CLEAR, ahead=4)).code == "slots_busy"
    assert why(replace(CLEAR, ahead=3)).code == "ready"


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"status": Status.SCHEDULED, "run_at": 3_610_000}, "scheduled", "scheduled for 3610000, in 1h"),
        ({"status": Status.RETRYING, "attempts": 1, "run_at": 12_000}, "backoff",
         "attempt 1 of 3 failed (exit 1), next at 12000"),
        ({"status": Status.RUNNING, "attempts": 1, "started_at": 5_000, "worker": "w"}, "running",
         "attempt 1 of 3 runs on w since 5s"),
        ({"status": Status.RUNNING, "cancel_requested_at": 8_000, "cancel_requested_by": "deploy"}, "cancel_requested",
         "being cancelled by deploy since 8000"),
        ({"status": Status.COMPLETED, "attempts": 1}, "completed", "completed on attempt 1 of 3"),
        ({"status": Status.FAILED, "reason": "attempts_used"}, "attempts_used",
         "attempts used up: the last one ended with exit 1"),
        ({"status": Status.FAILED, "reason": "final_code"}, "final_code", "exit 1 is never retried"),
        ({"status": Status.CANCELLED, "reason": "cancelled", "cancel_requested_by": "deploy"}, "cancelled", "by deploy"),
        ({"status": Status.CANCELLED, "reason": "expired", "expires_at": 7_201_000}, "expired", "not started within 2h"),
    ],
)  # fmt: skip
def test_each_status_has_its_sentence(changes, code, message):
    answer = why(replace(CLEAR, job=replace(JOB, **changes), attempts=(ATTEMPT,)))

    assert (answer.code, answer.message) == (code, message)


def test_a_snoozed_job_says_that_it_asked_for_it():
    job = replace(JOB, status=Status.SCHEDULED, snoozes=3, run_at=12_000)
    answer = why(replace(CLEAR, job=job, attempts=(replace(ATTEMPT, outcome="snoozed"),)))

    assert (answer.code, answer.until) == ("snoozed", 12_000)


def test_a_blocked_job_names_what_it_waits_for():
    blocked = replace(CLEAR, job=replace(JOB, status=Status.BLOCKED, schedule="nightly"))
    running = replace(JOB, id=41, job="Report", status=Status.RUNNING)
    waiting = replace(JOB, id=40, job="Report", status=Status.RETRYING)

    one, two, none = (why(replace(blocked, waits_for=jobs)) for jobs in ((running,), (waiting, running), ()))

    assert [answer.code for answer in (one, two, none)] == ["waiting_for"] * 3
    assert one.message == "waits for job 41 (Report), which is running"
    assert two.message == "waits for job 40 (Report), which is retrying, and 1 other"
    assert two.details == {"jobs": [40, 41], "schedule": "nightly"}
    assert none.message == "waits for another job of schedule nightly"
