"""What a job and an attempt are, which statuses there are, and every legal move between them."""

from enum import StrEnum
from typing import Any, Literal, TypedDict

from kiribi_cli.core.definition import Backoff, Exponential
from kiribi_cli.core.records import dataclass


class Status(StrEnum):
    """Where a job stands (semantics.md, 2)."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    BLOCKED = "blocked"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


UNFINISHED = (Status.SCHEDULED, Status.PENDING, Status.BLOCKED, Status.RUNNING, Status.RETRYING)
FINISHED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.SKIPPED)

# The one list of legal moves; None is "not there yet". The help text prints it and a test compares them.
MOVES: dict[Status | None, tuple[Status, ...]] = {
    None: (Status.SCHEDULED, Status.PENDING, Status.BLOCKED, Status.RUNNING),
    Status.SCHEDULED: (Status.PENDING, Status.CANCELLED),
    Status.PENDING: (Status.RUNNING, Status.SCHEDULED, Status.CANCELLED),
    Status.BLOCKED: (Status.PENDING, Status.SCHEDULED, Status.SKIPPED, Status.CANCELLED),
    Status.RUNNING: (
        Status.COMPLETED,
        Status.FAILED,
        Status.RETRYING,
        Status.SCHEDULED,
        Status.PENDING,
        Status.CANCELLED,
    ),
    Status.RETRYING: (Status.PENDING, Status.CANCELLED),
    Status.COMPLETED: (Status.PENDING, Status.SCHEDULED),
    Status.FAILED: (Status.PENDING, Status.SCHEDULED, Status.BLOCKED),
    Status.CANCELLED: (Status.PENDING, Status.SCHEDULED, Status.BLOCKED),
    Status.SKIPPED: (Status.PENDING, Status.SCHEDULED, Status.BLOCKED),
}

ALIASES = {
    "processing": (Status.RUNNING,),
    "retry_pending": (Status.RETRYING,),
    "active": UNFINISHED,
    "finished": FINISHED,
}


def statuses_named(word: str) -> tuple[Status, ...]:
    """Read one word of `--status`: a status in any case with - or _, an alias, or a group; raises ValueError.

    >>> [str(s) for s in statuses_named("Retry-Pending")]
    ['retrying']
    """
    plain = word.strip().lower().replace("-", "_")
    return ALIASES[plain] if plain in ALIASES else (Status(plain),)


class NewJob(TypedDict, total=False):
    """A job about to be inserted: the columns of `jobs` by name; what is left out takes the default of the schema.

    A plain dict, because `kiribi enqueue` cannot afford the import of dataclasses. `job`, `kind` and `created_at`
    are required, and `run_at` for a job that is not due now. `payload` is the validated text itself. `unique_hash`
    (core/unique.py) goes with `unique_key`, `unique_until` ("pending", "unfinished" or milliseconds from enqueue)
    and `on_conflict` ("skip" or "error").
    """

    job: str
    kind: str
    adhoc: int
    queue: str
    priority: int
    tags: str | None
    payload: str | None
    options: str | None
    max_attempts: int
    unique_key: str | None
    unique_hash: bytes | None
    unique_until: str | int | None
    on_conflict: str
    created_at: int
    run_at: int
    expires_at: int | None
    parent: int | None
    origin_kind: str
    origin_by: str
    # Only by the store itself: what `kiribi run` began waits in a lane of its own.
    lane: str


@dataclass(frozen=True, slots=True)
class Options:
    """What is frozen in a job at enqueue besides its columns: JSON text, NULL when nothing differs from this."""

    timeout_ms: int | None = None
    backoff: Backoff = Exponential()
    # Ad-hoc commands and `kiribi run` only:
    command: tuple[str, ...] | None = None
    cwd: str | None = None
    env: dict[str, str] | None = None
    kill_after_ms: int | None = None
    success_codes: tuple[int, ...] | None = None
    # Enqueued by SQL: `params` and schema have not seen the payload yet.
    unchecked: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a job or an attempt did not do its work (`error` in JSON). `kind` is one of the stable words of cli.md, 3."""

    kind: str
    message: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the history or the queue, as read. Times in milliseconds since the epoch, None where absent.

    `status` is what people are shown: a scheduled or retrying job whose time has come reads as pending.
    `options` and `payload` and `result` are the stored texts.
    """

    id: int
    job: str
    kind: str
    adhoc: bool
    status: Status
    queue: str
    priority: int
    tags: tuple[str, ...]
    attempts: int
    max_attempts: int
    snoozes: int
    interruptions: int
    attempt: int
    attempt_id: int | None
    unique_key: str | None
    created_at: int
    run_at: int
    first_started_at: int | None
    started_at: int | None
    finished_at: int | None
    expires_at: int | None
    cancel_requested_at: int | None
    cancel_requested_by: str | None
    duration_ms: int | None
    total_ms: int
    exit_code: int | None
    signal: str | None
    error: Problem | None
    reason: str | None
    progress: str | None
    schedule: str | None
    scheduled_for: int | None
    flow: int | None
    step: str | None
    parent: int | None
    origin_kind: str
    origin_by: str
    worker: str | None
    payload: str | None
    result: str | None
    options: str | None
    wait_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One execution of a job (`attempt` in cli.md, 3). `id` is unique in the database and never reused."""

    id: int
    job_id: int
    attempt: int
    outcome: str
    decision: str | None
    exit_code: int | None
    signal: str | None
    http_status: int | None
    error: Problem | None
    started_at: int
    finished_at: int | None
    duration_ms: int | None
    cpu_user_ms: int | None
    cpu_system_ms: int | None
    max_rss_bytes: int | None
    command: str | None
    cwd: str | None
    worker: str
    host: str
    pid: int | None
    log_bytes: int
    next_attempt_at: int | None


EventType = Literal[
    "job.enqueued", "job.edited", "job.started", "job.completed", "job.failed", "job.retrying", "job.snoozed",
    "job.interrupted", "job.worker_lost", "job.cancelled", "job.expired", "job.superseded", "job.skipped",
    "job.deleted",
    "worker.started", "worker.stopped", "worker.lost", "config.loaded", "config.invalid", "sweep.done",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One move or happening, in the order of `seq`. What does not apply is None."""

    seq: int
    at: int
    type: str
    job_id: int | None = None
    job: str | None = None
    from_status: str | None = None
    to_status: str | None = None
    attempt: int | None = None
    final: bool | None = None
    exit_code: int | None = None
    by: str | None = None
    reason: str | None = None
    details: dict[str, Any] | None = None
