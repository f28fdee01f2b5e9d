"""Gather the facts about one job, and let core/why.py answer."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kiribi_cli.core.instant import clock_text, rfc3339_or_none
from kiribi_cli.core.job import Attempt, Job, Status
from kiribi_cli.core.records import replace
from kiribi_cli.core.why import Answer, Facts, Serving, why
from kiribi_cli.store.base import Store, Worker
from kiribi_cli.store.liveness import LEASE_MS

if TYPE_CHECKING:
    from kiribi_cli.config.outline import Outline


def why_view(
    store: Store, job: Job, attempts: Sequence[Attempt], *, now: int, known: "Outline | None",
    problem: str | None = None, at: Callable[[int], str] = clock_text,
) -> dict[str, Any]:  # fmt: skip
    """The answer as JSON (cli.md, `why`). `problem`: what is wrong with jobs.toml, when `known` is None."""
    answer = explain(store, job, attempts, now=now, known=known, problem=problem, at=at)
    return {
        "id": job.id,
        "status": str(job.status),
        "code": answer.code,
        "message": answer.message,
        "since": rfc3339_or_none(answer.since),
        "until": rfc3339_or_none(answer.until),
        "details": dict(answer.details),
    }


def explain(
    store: Store, job: Job, attempts: Sequence[Attempt], *, now: int, known: "Outline | None",
    problem: str | None = None, at: Callable[[int], str] = clock_text,
) -> Answer:  # fmt: skip
    """Why it does not run yet, or what became of it."""
    silent_ms = _silent_ms(store, job, now) if job.status is Status.RUNNING else None
    facts = Facts(job, now, at, attempts=tuple(attempts), said_by=_said_by(store, job), silent_ms=silent_ms)
    if job.status is Status.BLOCKED:
        return why(replace(facts, waits_for=_in_the_way(store, job)))
    if job.status is not Status.PENDING:
        return why(facts)
    return why(_of_pending(store, facts, known, problem))


def _in_the_way(store: Store, job: Job) -> tuple[Job, ...]:
    if job.schedule is None:
        return ()
    return tuple(sorted((one for one in store.running() if one.schedule == job.schedule), key=lambda one: one.id))


def _silent_ms(store: Store, job: Job, now: int) -> int | None:
    # A `kiribi run` has its job to watch, and shows nothing.
    heard = [one.heartbeat_at for one in store.workers() if one.name == job.worker and one.kind == "worker"]
    return now - heard[-1] if heard and now - heard[-1] > LEASE_MS else None


def _of_pending(store: Store, facts: Facts, known: "Outline | None", problem: str | None) -> Facts:
    job, running = facts.job, store.running()
    return Facts(
        job,
        facts.now,
        facts.at,
        attempts=facts.attempts,
        definition=known.jobs.get(job.job) if known else None,
        broken=None if known else problem or "it cannot be read",
        queue_concurrency=known.queues.get(job.queue) if known else None,
        queue_runs=tuple(one.id for one in running if one.queue == job.queue),
        job_runs=tuple(one.id for one in running if one.job == job.job and not one.adhoc),
        workers=tuple(_serving(worker, job.queue, running) for worker in serving(store, job.queue)),
        ahead=store.ahead_of(job, now=facts.now),
        min_free=known.min_free if known else 100_000_000,
    )


def serving(store: Store, queue: str) -> list[Worker]:
    """Live workers that take new jobs from this queue. Every worker serves `hooks`."""
    return [
        worker
        for worker in store.workers()
        if worker.alive
        and worker.kind == "worker"
        and worker.state == "running"
        and worker.stop_requested is None
        and (worker.queues is None or queue in worker.queues or queue == "hooks")
    ]


def _serving(worker: Worker, queue: str, running: Sequence[Job]) -> Serving:
    mine = [job for job in running if job.worker == worker.name]
    here = [job for job in mine if job.queue == queue]
    cap = worker.queues.get(queue) if worker.queues else None
    if cap is None or worker.slots - len(mine) < cap - len(here):
        return Serving(worker.name, worker.host, worker.slots, len(mine), worker.low_disk)
    return Serving(worker.name, worker.host, cap, len(here), worker.low_disk)


def _said_by(store: Store, job: Job) -> str | None:
    if job.status is not Status.CANCELLED:
        return None
    return next(
        (event.by for event in reversed(list(store.events(job_id=job.id))) if event.to_status == "cancelled"), None
    )
