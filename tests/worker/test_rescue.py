"""What dead workers and dead hands leave behind."""

import os
import signal

from kiribi_cli.core.job import Status
from kiribi_cli.runner.process import look


def test_what_a_dead_worker_held_is_ended_and_run_again(yard):
    yard.define('[jobs]\nOnce = { shell = "test -e seen || { touch seen; sleep 979; }", backoff = "1ms" }')
    job = yard.enqueue("Once")
    first = yard.worker("first")
    yard.until(first, lambda: (yard.folder / "seen").exists() and yard.store.attempts(job))

    _die(yard, first)
    second = yard.worker("second")
    yard.until_finished(second, job)

    lost, again = yard.store.attempts(job)
    assert (lost.outcome, lost.decision, lost.worker) == ("worker_lost", "retry", "first")
    assert (again.outcome, again.worker) == ("completed", "second")


def test_a_job_whose_worker_dies_each_time_runs_out_of_attempts(yard):
    yard.define('[jobs]\nKiller = { shell = "sleep 978", max_attempts = 2, backoff = "1ms" }')
    job = yard.enqueue("Killer")
    for name in ("first", "second"):
        worker = yard.worker(name)
        yard.until(worker, lambda worker=worker: len(worker.slots.busy) == 1)
        _die(yard, worker)

    last = yard.worker("last")
    yard.until_finished(last, job)

    assert yard.job(job).status is Status.FAILED
    assert [attempt.outcome for attempt in yard.store.attempts(job)] == ["worker_lost", "worker_lost"]


def test_when_the_hands_are_killed_their_jobs_are_ended_and_settled_as_lost(yard):
    yard.define('[jobs]\nOnce = { shell = "test -e seen || { touch seen; sleep 977; }", backoff = "1ms" }')
    job = yard.enqueue("Once")
    worker = yard.worker()
    yard.until(worker, (yard.folder / "seen").exists)

    os.kill(worker.hands.pid, signal.SIGKILL)
    yard.until_finished(worker, job)

    assert [attempt.outcome for attempt in yard.store.attempts(job)] == ["worker_lost", "completed"]


def test_an_adopted_job_runs_on_and_its_true_end_is_recorded(yard):
    yard.define("""[jobs.Tough]
shell = 'touch seen; while test ! -e go; do sleep 0.01; done; echo all done; exit 42'
on_worker_death = "adopt"
max_attempts = 1
""")
    job = yard.enqueue("Tough")
    first = yard.worker("first")
    yard.until(first, lambda: (yard.folder / "seen").exists() and yard.store.attempts(job))

    _die(yard, first)
    second = yard.worker("second")
    yard.until(second, lambda: second.slots.busy)
    (yard.folder / "go").touch()
    yard.until_finished(second, job)

    (attempt,) = yard.store.attempts(job)
    assert (attempt.outcome, attempt.exit_code, attempt.log_bytes) == ("failed", 42, len("all done\n"))


def test_the_jobs_of_two_workers_that_die_at_once_are_both_adopted(yard):
    yard.define("""[jobs.Tough]
shell = 'while test ! -e go; do sleep 0.01; done; exit 42'
on_worker_death = "adopt"
max_attempts = 1
""")
    jobs = [yard.enqueue("Tough"), yard.enqueue("Tough")]
    workers = [yard.worker("first", slots=1), yard.worker("second", slots=1)]
    for worker in workers:
        yard.until(worker, lambda worker=worker: any(busy.started for busy in worker.slots.busy.values()))

    for worker in workers:
        _die(yard, worker)
    third = yard.worker("third")
    yard.until(third, lambda: len(third.slots.busy) == 2)
    (yard.folder / "go").touch()
    yard.until_finished(third, *jobs)

    assert [yard.store.attempts(job)[0].exit_code for job in jobs] == [42, 42]


def test_hands_that_were_adopted_end_when_nothing_of_theirs_is_left(yard, eventually):
    yard.define("""[jobs]
Short = { command = ["true"], on_worker_death = "adopt" }
Long = { shell = "while test ! -e go; do sleep 0.01; done", on_worker_death = "adopt" }
""")
    short, long = yard.enqueue("Short"), yard.enqueue("Long")
    first = yard.worker("first")
    first.hands.settled = lambda _ids: None  # killed before it could say that an end is stored
    yard.until_finished(first, short)
    yard.until(first, lambda: any(busy.started for busy in first.slots.busy.values()))

    _die(yard, first)
    second = yard.worker("second")
    yard.until(second, lambda: second.slots.busy)
    (yard.folder / "go").touch()
    yard.until_finished(second, long)
    yard.until(second, lambda: not second.rescue.attached)

    assert eventually(lambda: (left := look(first.hands.pid)) is None or left.state == "Z")
    assert len(yard.store.attempts(long)) == 1


def test_a_worker_that_lost_its_claim_changes_nothing(yard):
    yard.define("[queues.elsewhere]")
    job = yard.command("sh", "-c", "sleep 0.2; exit 9")
    worker = yard.worker()
    yard.until(worker, lambda: worker.slots.busy)
    other = yard.worker("other", queues={"elsewhere": None})

    taken = yard.store.take_over(yard.store.held_by(worker.worker_id), by=other.worker_id, now=1)
    yard.until(worker, worker.flight.is_empty)

    assert len(taken) == 1
    assert yard.job(job).status is Status.RUNNING
    assert "claim was lost" in yard.log.getvalue()


def _die(yard, worker) -> None:
    """Do to the brain what SIGKILL does: its lock is free, its socket is closed, nothing else is done."""
    place = yard.workers.index(worker)
    del yard.workers[place]
    yard.locks.pop(place).close()
    worker.hands.close()
    worker.bell.close()
