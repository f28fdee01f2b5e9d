"""What a worker does in a turn: claim, run, settle, and be told."""

import pytest

from kiribi_cli.core.job import Status
from kiribi_cli.errors import KiribiError


def test_a_job_runs_and_its_end_is_recorded_with_all_there_is_to_know(yard):
    yard.define('[jobs]\nHello = "echo hello; echo oops >&2; echo 42 > $KIRIBI_RESULT_FILE"')
    job = yard.enqueue("Hello")
    worker = yard.worker()

    yard.until_finished(worker, job)

    found, (attempt,) = yard.job(job), yard.store.attempts(job)
    assert (found.status, found.exit_code, found.result, found.attempts) == (Status.COMPLETED, 0, "42", 1)
    assert (attempt.outcome, attempt.decision, attempt.worker) == ("completed", "complete", "w1")
    assert attempt.pid is not None
    assert attempt.max_rss_bytes > 0
    assert attempt.log_bytes == len("hello\noops\n")


def test_a_failure_is_tried_again_after_its_backoff_and_then_fails(yard):
    yard.define('[jobs]\nBad = { command = ["false"], max_attempts = 3, backoff = ["1ms", "2ms"] }')
    job = yard.enqueue("Bad")
    worker = yard.worker()

    yard.until_finished(worker, job)

    assert yard.job(job).status is Status.FAILED
    assert [(a.attempt, a.outcome, a.decision) for a in yard.store.attempts(job)] == [
        (1, "failed", "retry"),
        (2, "failed", "retry"),
        (3, "failed", "fail"),
    ]


def test_exit_75_is_tried_later_and_gives_the_attempt_back(yard):
    yard.define("""[jobs.Later]
shell = 'test -e done || { touch done; exit 75; }'
max_attempts = 1
backoff = "1ms"
""")
    job = yard.enqueue("Later")
    worker = yard.worker()

    yard.until_finished(worker, job)

    found = yard.job(job)
    assert (found.status, found.attempts, found.snoozes, found.attempt) == (Status.COMPLETED, 1, 1, 2)


def test_a_program_that_is_not_there_fails_at_once(yard):
    yard.define("")
    job = yard.command("no-such-program-anywhere", max_attempts=5)
    worker = yard.worker()

    yard.until_finished(worker, job)

    found = yard.job(job)
    assert (found.status, found.attempt, found.reason) == (Status.FAILED, 1, "never_started")
    assert "no-such-program-anywhere" in found.error.message


def test_a_timeout_ends_the_job_with_everything_it_started(yard, eventually):
    yard.define("""[jobs.Slow]
shell = 'sleep 987 & echo $! > child; sleep 986'
timeout = "200ms"
kill_after = "100ms"
max_attempts = 1
""")
    job = yard.enqueue("Slow")
    worker = yard.worker()

    yard.until_finished(worker, job)

    child = int((yard.folder / "child").read_text())
    assert yard.store.attempts(job)[0].outcome == "timed_out"
    assert eventually(lambda: not _lives(child))


def test_a_running_job_is_cancelled(yard):
    yard.define("")
    job = yard.command("sleep", "985")
    worker = yard.worker()
    yard.until(worker, lambda: yard.store.attempts(job))

    yard.store.cancel([job], by="me@here", now=1)
    yard.until_finished(worker, job)

    assert yard.job(job).status is Status.CANCELLED
    assert yard.store.attempts(job)[0].outcome == "cancelled"


def test_higher_priority_starts_first_then_older(yard):
    yard.define('[jobs]\nNote = "echo $KIRIBI_JOB_ID >> order"')
    low, high, next_ = yard.enqueue("Note"), yard.enqueue("Note", priority=5), yard.enqueue("Note")
    worker = yard.worker(slots=1)

    yard.until_finished(worker, low, high, next_)

    assert (yard.folder / "order").read_text().split() == [str(high), str(low), str(next_)]


def test_a_limit_on_a_definition_holds_and_lets_others_pass(yard):
    yard.define("""[jobs]
One = { shell = 'sleep 984', concurrency = 1 }
Free = ["true"]
""")
    first, second, free = yard.enqueue("One"), yard.enqueue("One"), yard.enqueue("Free")
    worker = yard.worker(slots=3)

    yard.until_finished(worker, free)

    assert (yard.job(first).status, yard.job(second).status) == (Status.RUNNING, Status.PENDING)


def test_a_worker_serves_only_its_queues_with_its_slots(yard):
    yard.define("""[jobs]
Mail = { shell = 'sleep 983', queue = "mail" }
Other = ["true"]
""")
    mails, other = [yard.enqueue("Mail") for _ in range(3)], yard.enqueue("Other")
    worker = yard.worker(slots=4, queues={"mail": 2})

    yard.until(worker, lambda: len(worker.slots.busy) == 2)
    for _ in range(5):
        worker.step(0.01)

    assert [yard.job(mail).status for mail in mails] == [Status.RUNNING, Status.RUNNING, Status.PENDING]
    assert yard.job(other).status is Status.PENDING


def test_a_stopping_worker_puts_running_jobs_back_and_refunds_the_attempt(yard):
    yard.define("")
    job = yard.command("sleep", "982")
    worker = yard.worker()
    yard.until(worker, lambda: yard.job(job).status is Status.RUNNING and worker.slots.busy[1].started)

    worker.stop_jobs()
    yard.until(worker, worker.finished)

    found = yard.job(job)
    assert (found.status, found.attempts, found.interruptions) == (Status.PENDING, 0, 1)


def test_a_broken_file_leaves_the_old_definitions_in_force_and_says_so(yard):
    yard.define('[jobs]\nHello = ["true"]')
    worker = yard.worker()

    yard.define("[jobs\n")
    yard.until(worker, lambda: worker.definitions.error)
    (seen,) = yard.store.workers()

    assert "Hello" in worker.definitions.config.definitions
    assert seen.config_error


def test_a_changed_file_is_in_force_without_being_told(yard):
    yard.define('[jobs]\nOne = ["true"]')
    worker = yard.worker()

    yard.define('[jobs]\nOne = ["true"]\nTwo = ["true"]')
    job = yard.enqueue("Two")

    yard.until_finished(worker, job)
    assert yard.job(job).status is Status.COMPLETED


def test_jobs_whose_definition_is_gone_stay_pending(yard):
    yard.define('[jobs]\nOne = ["true"]')
    gone = yard.enqueue("One")
    yard.define('[jobs]\nTwo = ["true"]')
    two = yard.enqueue("Two")
    worker = yard.worker()

    yard.until_finished(worker, two)

    assert yard.job(gone).status is Status.PENDING


def test_short_jobs_are_claimed_ahead_and_given_back_untouched_when_the_worker_stops(yard):
    yard.define("")
    jobs = [yard.command("true") for _ in range(30)] + [yard.command("sleep", "0.3") for _ in range(40)]
    worker = yard.worker(slots=1)
    yard.until(worker, lambda: worker.slots.ahead() > 2 and len(worker.slots.busy) > 2)

    worker.stop_claiming()
    yard.until(worker, worker.finished)

    found = [yard.job(job) for job in jobs]
    assert {job.status for job in found} == {Status.COMPLETED, Status.PENDING}
    assert all(job.attempts == 0 and job.attempt == 0 for job in found if job.status is Status.PENDING)


def test_progress_is_kept_while_it_runs(yard):
    yard.define("""[jobs]
Long = 'echo "7/10 rows" > "$KIRIBI_PROGRESS_FILE"; sleep 981'
""")
    job = yard.enqueue("Long")
    worker = yard.worker()

    yard.until(worker, lambda: yard.job(job).progress)

    assert yard.job(job).progress == "7/10 rows"


def _lives(pid: int) -> bool:
    from kiribi_cli.runner.process import look

    process = look(pid)
    return process is not None and process.state not in "ZX"


@pytest.mark.parametrize("is_replaced", [True, False])
def test_an_idle_worker_notices_that_its_database_is_not_there_any_more(yard, is_replaced):
    yard.define('[worker]\nlease = "1h"')  # so it does not write soon
    worker = yard.worker()
    worker.step(0)
    path = yard.folder / "kiribi.db"
    away = path.rename(yard.folder / "away.db")
    if is_replaced:
        path.write_bytes(away.read_bytes())

    with pytest.raises(KiribiError, match="deleted or replaced") as raised:
        yard.until(worker, lambda: False)

    path.unlink(missing_ok=True)
    away.rename(path)
    assert raised.value.final


@pytest.mark.parametrize("most", [1, 7, 20])
def test_a_worker_for_so_many_jobs_runs_that_many_though_more_could_be_claimed_ahead(yard, most):
    yard.define('[jobs]\nNap = ["sleep", "0.005"]\nNever = ["no-such-program-anywhere"]')
    for number in range(30):
        yard.enqueue("Never" if number == 2 else "Nap", max_attempts=1)
    worker = yard.worker(max_jobs=most)

    yard.until(worker, worker.finished)

    assert sum(yard.job(id_).finished_at is not None for id_ in range(1, 31)) == most
    assert sum(yard.job(id_).status is Status.PENDING for id_ in range(1, 31)) == 30 - most
