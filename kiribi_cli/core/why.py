"""Why does this job not run, or what became of it? One answer: the first of the list in cli.md, `why`, that holds.

The order for pending jobs is the order in which a claim gives up on them, so that the answer agrees with it.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kiribi_cli.core.durations import age, spell, spell_size
from kiribi_cli.core.job import Attempt, Job, Status
from kiribi_cli.core.problem import signal_text
from kiribi_cli.core.records import dataclass, field

if TYPE_CHECKING:
    from typing import Protocol

    class Limited(Protocol):
        """What matters of a definition."""

        @property
        def concurrency(self) -> int | None: ...


SIGNALS = 128


@dataclass(frozen=True, slots=True)
class Answer:
    """A stable code, a sentence, since when and until when (milliseconds, None: unknown), and values by name."""

    code: str
    message: str
    since: int | None = None
    until: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Serving:
    """A live worker that serves the job's queue: its slots for it, how many of them are busy."""

    name: str
    host: str
    slots: int
    busy: int
    low_disk: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the answer depends on. `broken`: what is wrong with jobs.toml. `said_by`: who made the latest move.

    `queue_runs` and `job_runs` are the ids that run now, in the job's queue and of its definition; `ahead` counts the
    pending jobs before it. `at` writes a point in time for people.
    """

    job: Job
    now: int
    at: Callable[[int], str]
    attempts: tuple[Attempt, ...] = ()
    said_by: str | None = None
    definition: "Limited | None" = None
    broken: str | None = None
    queue_concurrency: int | None = None
    queue_runs: tuple[int, ...] = ()
    job_runs: tuple[int, ...] = ()
    workers: tuple[Serving, ...] = ()
    ahead: int = 0
    # For a blocked job: what is known to be in its way.
    waits_for: tuple[Job, ...] = ()
    # How long ago the worker of a running job last showed that it lives; None: within its time, or nobody can tell.
    silent_ms: int | None = None
    min_free: int = 100_000_000


def why(facts: Facts) -> Answer:
    """Answer for a job in any status."""
    match facts.job.status:
        case Status.RUNNING:
            return _running(facts)
        case Status.SCHEDULED:
            return _scheduled(facts)
        case Status.RETRYING:
            return _retrying(facts)
        case Status.BLOCKED:
            return _blocked(facts)
        case Status.PENDING:
            return _pending(facts)
        case Status.COMPLETED:
            return _completed(facts)
        case Status.FAILED:
            return _failed(facts)
        case Status.CANCELLED:
            return _cancelled(facts)
        case Status.SKIPPED:
            return Answer(
                "dependency", _message(facts.job, "a job it waits for made it impossible"), facts.job.finished_at
            )


def _blocked(facts: Facts) -> Answer:
    job = facts.job
    details = {"jobs": [one.id for one in facts.waits_for], "schedule": job.schedule}
    if not facts.waits_for:
        whose = f" of schedule {job.schedule}" if job.schedule is not None else ""
        return Answer("waiting_for", f"waits for another job{whose}", job.created_at, details=details)
    first, others = facts.waits_for[0], len(facts.waits_for) - 1
    message = f"waits for job {first.id} ({first.job}), which is {first.status}"
    if others:
        message += f", and {others} {'other' if others == 1 else 'others'}"
    return Answer("waiting_for", message, job.created_at, details=details)


def _running(facts: Facts) -> Answer:
    job = facts.job
    if job.cancel_requested_at is not None:
        by = job.cancel_requested_by or "somebody"
        message = f"being cancelled by {by} since {facts.at(job.cancel_requested_at)}"
        return Answer("cancel_requested", message, job.cancel_requested_at, details={"by": by})
    started = job.started_at if job.started_at is not None else facts.now
    message = f"attempt {job.attempts} of {job.max_attempts} runs on {job.worker} since {age(facts.now - started)}"
    if facts.silent_ms is not None:
        message += f", which has not been heard for {age(facts.silent_ms)}"
    return Answer("running", message, started, details={"worker": job.worker, "attempt": job.attempt})


def _scheduled(facts: Facts) -> Answer:
    job = facts.job
    latest = facts.attempts[-1] if facts.attempts else None
    if latest is not None and latest.outcome == "snoozed":
        message = f"asked to be tried later ({job.snoozes} so far), again at {facts.at(job.run_at)}"
        return Answer("snoozed", message, latest.finished_at, job.run_at, {"snoozes": job.snoozes})
    message = f"scheduled for {facts.at(job.run_at)}, in {age(job.run_at - facts.now)}"
    return Answer("scheduled", message, job.created_at, job.run_at)


def _retrying(facts: Facts) -> Answer:
    job = facts.job
    ended = facts.attempts[-1] if facts.attempts else None
    how = f" ({ending(ended)})" if ended else ""
    message = f"attempt {job.attempts} of {job.max_attempts} failed{how}, next at {facts.at(job.run_at)}"
    return Answer("backoff", message, ended.finished_at if ended else None, job.run_at, {"attempts": job.attempts})


def _pending(facts: Facts) -> Answer:
    job = facts.job
    since = max(job.run_at, job.created_at)
    for reason in (_config, _no_worker, _job_concurrency, _queue_concurrency, _slots):
        if answer := reason(facts, since):
            return answer
    return Answer("ready", "ready, will start at once", since)


def _config(facts: Facts, since: int) -> Answer | None:
    # A live worker keeps the definitions it has, so a broken file stops nothing as long as one serves the queue.
    if facts.broken is not None and not facts.workers:
        return Answer("config_invalid", f"jobs.toml is broken: {facts.broken}", since)
    if facts.broken is None and facts.definition is None and not facts.job.adhoc:
        return Answer(
            "definition_missing", f"no definition {facts.job.job} in jobs.toml", since, details={"job": facts.job.job}
        )
    return None


def _no_worker(facts: Facts, since: int) -> Answer | None:
    if not facts.workers:
        message = f"no live worker serves queue {facts.job.queue}"
        return Answer("no_worker", message, since, details={"queue": facts.job.queue})
    if all(worker.low_disk for worker in facts.workers):
        hosts = ", ".join(dict.fromkeys(worker.host for worker in facts.workers))
        message = f"less than {spell_size(facts.min_free)} free on {hosts}, workers claim nothing"
        return Answer("disk_full", message, since, details={"min_free_bytes": facts.min_free})
    return None


def _job_concurrency(facts: Facts, since: int) -> Answer | None:
    limit = None if facts.definition is None or facts.job.adhoc else facts.definition.concurrency
    if limit is None or len(facts.job_runs) < limit:
        return None
    running = ", ".join(map(str, facts.job_runs[:10]))
    message = f"{len(facts.job_runs)} of {limit} {facts.job.job} jobs run: {running}"
    return Answer("job_concurrency", message, since, details={"limit": limit, "running": list(facts.job_runs)})


def _queue_concurrency(facts: Facts, since: int) -> Answer | None:
    limit = facts.queue_concurrency
    if limit is None or len(facts.queue_runs) < limit:
        return None
    message = f"queue {facts.job.queue} runs {len(facts.queue_runs)} of {limit}"
    return Answer("queue_concurrency", message, since, details={"limit": limit, "running": list(facts.queue_runs)})


def _slots(facts: Facts, since: int) -> Answer | None:
    able = [worker for worker in facts.workers if not worker.low_disk]
    slots = sum(worker.slots for worker in able)
    free = sum(max(0, worker.slots - worker.busy) for worker in able)
    if free > facts.ahead:
        return None
    ahead = f"{facts.ahead} {'job' if facts.ahead == 1 else 'jobs'} ahead"
    details = {"slots": slots, "free": free, "ahead": facts.ahead}
    if free:
        return Answer("slots_busy", f"{free} of {slots} slots are free, {ahead}", since, details=details)
    return Answer("slots_busy", f"all {slots} slots are busy, {ahead}", since, details=details)


def _completed(facts: Facts) -> Answer:
    job = facts.job
    failures = [
        attempt for attempt in facts.attempts[:-1] if attempt.outcome not in ("completed", "snoozed", "interrupted")
    ]
    message = f"completed on attempt {job.attempts} of {job.max_attempts}"
    if failures:
        message += f"; attempt {failures[-1].attempt} {_ended(failures[-1])}"
    return Answer("completed", message, job.finished_at, details={"attempts": job.attempts})


def _failed(facts: Facts) -> Answer:
    job = facts.job
    latest = facts.attempts[-1] if facts.attempts else None
    how = ending(latest) if latest else _message(job, "no attempt is known")
    match job.reason:
        case "never_started":
            message = f"could not start: {_message(job, 'for an unknown reason')}"
        case "final_code":
            message = f"{how} is never retried"
        case _:
            message = f"attempts used up: the last one {_ended(latest) if latest else f'ended with {how}'}"
    return Answer(job.reason or "attempts_used", message, job.finished_at, details={"attempts": job.attempts})


def _cancelled(facts: Facts) -> Answer:
    job = facts.job
    match job.reason:
        case "expired" if job.expires_at is not None:
            within = spell(max(0, job.expires_at - job.created_at))
            return Answer(
                "expired", f"not started within {within}", job.finished_at, details={"expires_at": job.expires_at}
            )
        case "superseded":
            message = _message(job, "another job with the same unique key does the work")
            return Answer("superseded", message, job.finished_at)
        case _:
            by = job.cancel_requested_by or facts.said_by or "somebody"
            return Answer("cancelled", f"by {by}", job.finished_at, details={"by": by})


def _ended(attempt: Attempt) -> str:
    match attempt.outcome:
        case "timed_out":
            return ending(attempt)
        case "worker_lost":
            return "lost its worker"
        case _:
            return f"ended with {ending(attempt)}"


def ending(attempt: Attempt) -> str:
    """Say in a word or two how an attempt ended."""
    match attempt.outcome:
        case "timed_out":
            return _problem(attempt, "timed out")
        case "never_started":
            return _problem(attempt, "no start")
        case "worker_lost":
            return "its worker lost"
        case "interrupted" | "cancelled" | "completed" | "snoozed" | "running":
            return attempt.outcome
        case _ if attempt.signal:
            return f"signal {attempt.signal.removeprefix('SIG').removeprefix('signal ')}"
        case _ if attempt.error is not None and attempt.error.kind == "exception":
            return attempt.error.message.partition(":")[0]
        case _ if attempt.exit_code is not None:
            code = attempt.exit_code
            # It exited by itself; but a shell exits so because of what a signal did to another process.
            is_told = SIGNALS < code <= SIGNALS + 64
            return f"exit {code}, a shell's word for {signal_text(code - SIGNALS)}" if is_told else f"exit {code}"
        case _:
            return _problem(attempt, attempt.outcome)


def _problem(attempt: Attempt, otherwise: str) -> str:
    return attempt.error.message if attempt.error else otherwise


def _message(job: Job, otherwise: str) -> str:
    return job.error.message if job.error else otherwise
