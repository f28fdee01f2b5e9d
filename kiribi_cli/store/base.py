"""The store in the words of the domain: what every database behind kiribi must be able to do.

One verb is one transaction. `now` is milliseconds since the epoch, read once by the caller. A verb that changes
what a worker waits for rings the bell after its commit. Errors for people are KiribiError(STORE); ClaimLost is
told per settlement, in the answer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from kiribi_cli.core.definition import Retention
from kiribi_cli.core.job import Attempt, Event, Job, NewJob, Problem, Status
from kiribi_cli.core.outcome import Usage
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.core.settle import Decision, Standing
from kiribi_cli.errors import Code, KiribiError

if TYPE_CHECKING:
    from kiribi_cli.core.published import Published


@dataclass(frozen=True, slots=True)
class Inserted:
    """One enqueued job. `deduplicated`: the job with this id was there already and holds the unique key."""

    id: int
    deduplicated: bool = False


class UniqueTaken(Exception):  # noqa: N818  (says what happened)
    """A job with on_conflict "error" met job `holder`; nothing of the transaction was stored."""

    def __init__(self, index: int, holder: int, key: str) -> None:
        super().__init__(f"unique key {key!r} is held by job {holder}")
        self.index = index
        self.holder = holder
        self.key = key


@dataclass(frozen=True, slots=True)
class Want:
    """What a worker can take now. Limits hold over all workers; the claim counts running rows itself.

    `slots`: how many at most. `queues`: free slots per queue it serves (None: bounded by `slots` only); None: all.
    `lanes`: the definitions it knows, and '' for ad-hoc jobs; jobs of others stay pending.
    """

    slots: int
    lanes: frozenset[str]
    queues: Mapping[str, int | None] | None = None
    queue_concurrency: Mapping[str, int] = field(default_factory=dict)
    lane_concurrency: Mapping[str, int] = field(default_factory=dict)


# Thousands of these are made in a second, so they are tuples: a frozen dataclass of so many fields costs thrice that.
class Claim(NamedTuple):
    """The right to run one attempt, with what is needed to run and settle it. `attempt_id` is the fence."""

    attempt_id: int
    job_id: int
    job: str
    kind: str
    adhoc: bool
    queue: str
    priority: int
    tags: tuple[str, ...]
    payload: str | None
    options: str | None
    attempt: int
    attempts: int
    max_attempts: int
    snoozes: int
    interruptions: int
    run_at: int
    created_at: int
    first: bool
    schedule: str | None
    scheduled_for: int | None
    flow: int | None
    step: str | None

    def standing(self, backoff: Any) -> Standing:
        return Standing(self.attempts, self.max_attempts, self.snoozes, self.interruptions, backoff)


class Running(NamedTuple):
    """An attempt has begun: which process it is (`process`: JSON, see schema.sql) and what it runs, redacted."""

    attempt_id: int
    job_id: int
    started_at: int
    pid: int | None
    process: str | None
    command: str | None
    cwd: str | None


class Settlement(NamedTuple):
    """The end of one attempt and what becomes of its job. Applied where the claim still holds, else refused.

    `outcome` is one of the words of cli.md. `started_at` None: it never started, or was never known to.
    `running` carries what Running would have said, when begin and end fall into one turn.
    """

    claim: Claim
    decision: Decision
    outcome: str
    started_at: int | None
    finished_at: int
    duration_ms: int
    usage: Usage
    exit_code: int | None = None
    signal: str | None = None
    error: Problem | None = None
    result: str | None = None
    log_bytes: int = 0
    running: Running | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one write transaction of a worker brought: new claims, and settlements refused for a lost claim."""

    claims: tuple[Claim, ...] = ()
    lost: tuple[Settlement, ...] = ()
    # True when more could have been claimed: look again at once.
    more: bool = False
    # Jobs cancelled in passing, because they expired before they started.
    expired: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A running job of this worker that somebody wants ended. `signal`: what to send first, None for its own."""

    attempt_id: int
    job_id: int
    by: str
    signal: str | None


@dataclass(frozen=True, slots=True)
class NewWorker:
    name: str
    host: str
    pid: int
    process: str
    version: str
    kind: Literal["worker", "run"]
    slots: int
    queues: Mapping[str, int | None] | None
    config_path: str | None


class DeclaredLost(KiribiError):  # noqa: N818  (named for what happened)
    """This worker was silent for so long that others took it for lost: its claims are theirs, it can write none."""

    def __init__(self, worker_id: int) -> None:
        sentence = f"worker {worker_id} is not registered any more: it was taken for lost"
        super().__init__(Code.STORE, sentence, hint="start it again", final=True)


@dataclass(frozen=True, slots=True)
class Worker:
    """A row of workers. `alive` is told by the lock (this host) or the lease, not by `state`."""

    id: int
    name: str
    host: str
    pid: int
    process: str | None
    version: str
    kind: str
    state: str
    stop_requested: str | None
    started_at: int
    heartbeat_at: int
    stopped_at: int | None
    slots: int
    queues: Mapping[str, int | None] | None
    scheduler: bool
    low_disk: bool
    config_path: str | None
    config_error: str | None
    alive: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A live attempt of a worker that is dead: its claim as rescue sees it, and which process it was."""

    claim: Claim
    pid: int | None
    process: str | None
    # None: not known to have begun.
    started_at: int | None
    # Whose claim it was: two rescuers must not take it over from each other.
    worker_id: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs. Empty means all; several values of one field mean or, several fields and.

    `names` are globs. `where`: (dotted payload path, JSON text or plain text). `grep`: name, error, tags, any case.
    All words of `grep` must be there; several `where` of one path mean or, of several paths and.
    `excluded` filters are negated words of the query language. `time` is what `since` (and later) and `until` mean.
    `errors`: a kind, a fingerprint, or a piece of the message. `before`: ids lower than that.
    """

    ids: tuple[int, ...] | None = None
    statuses: tuple[Status, ...] = ()
    names: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    time: Literal["created", "started", "finished"] = "created"
    since: int | None = None
    until: int | None = None
    where: tuple[tuple[str, str], ...] = ()
    grep: tuple[str, ...] = ()
    before: int | None = None
    excluded: tuple["Filter", ...] = ()


Sort = Literal["created", "started", "finished", "priority", "attempts", "duration", "job"]


@dataclass(frozen=True, slots=True)
class Now:
    """What stands in the queue at this moment. Counts scheduled and retrying jobs that are due as pending."""

    pending: int
    running: int
    scheduled: int
    retrying: int
    blocked: int
    oldest_pending_at: int | None


@dataclass(frozen=True, slots=True)
class HourRow:
    """One row of statistics (table stats), its columns by name."""

    dimension: str
    key: str
    queue: str
    hour: int
    label: str | None
    completed: int
    failed: int
    cancelled: int
    skipped: int
    retried: int
    attempts: int
    duration_ms_sum: int
    duration_ms_max: int
    wait_ms_sum: int
    wait_ms_max: int
    cpu_ms_sum: int
    max_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Bucketed:
    """How many took (`measure` duration or wait) a time of this bucket (core/histogram.py). `hour`: of the first."""

    key: str
    queue: str
    hour: int
    measure: str
    bucket: int
    n: int


@dataclass(frozen=True, slots=True)
class Edit:
    """New values of a job that has not started; None leaves the old one. `expires_at` 0 means never."""

    payload: str | None = None
    options: str | None = None
    queue: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    run_at: int | None = None
    expires_at: int | None = None
    tags: tuple[str, ...] | None = None
    unique_key: str | None = None
    unique_hash: bytes | None = None


Refusal = Literal["not_found", "conflict"]


@dataclass(frozen=True, slots=True)
class Acted:
    """What an act on many jobs did: ids changed, and (id, code, sentence) for each refused one."""

    changed: tuple[int, ...]
    refused: tuple[tuple[int, Refusal, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Keep:
    """What sweep keeps: by definition name, or `default`."""

    default: Retention
    by_name: Mapping[str, Retention]
    events_ms: int | None


@dataclass(frozen=True, slots=True)
class Swept:
    """One small batch: counts by status, ids of attempts whose logs can go, and whether there is more."""

    jobs: Mapping[str, int]
    attempt_ids: Sequence[int]
    events: int
    more: bool


class Bell(Protocol):
    """Rings when something was enqueued, cancelled or asked. `fileno` is readable then; `clear` silences it."""

    def fileno(self) -> int: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...


# Told, before it is stored, of which attempts the history goes: their logs go first. A crash in between leaves jobs
# without logs, which the same command deletes; the other way round it would leave logs that nothing points to.
LogsGo = Callable[[Sequence[int]], object]


def no_logs(_: Sequence[int]) -> None:
    """Delete no logs, where there are none."""


class Store(Protocol):
    """A database that keeps queue and history."""

    path: str

    # -- enqueueing
    def insert(self, jobs: Sequence[NewJob], *, now: int) -> list[Inserted]:
        """Store all or nothing, durable on return, in order; raises UniqueTaken. Rings the workers."""
        ...

    def insert_alike(self, job: NewJob, payloads: Sequence[str], *, now: int) -> range:
        """As `insert`, for jobs without a unique key that differ in their payload only; answers their ids, in order."""
        ...

    def publish(self, config_path: str, definitions: "Sequence[Published]") -> bool:
        """Make these what the view `enqueue` knows of one jobs.toml; answer whether anything was new."""
        ...

    def publishers(self) -> Sequence[str]:
        """The files whose definitions the view `enqueue` knows."""
        ...

    # -- working
    def register(self, worker: NewWorker, *, now: int) -> int:
        """Add a worker that already holds its lock (see `liveness`), record worker.started, return its id."""
        ...

    def heartbeat(
        self, worker_id: int, *, state: str, now: int, low_disk: bool = False, config_error: str | None = None
    ) -> None: ...
    def deregister(self, worker_id: int, *, now: int, lost: bool = False) -> None:
        """Mark it stopped (or lost); it must hold no running job any more. Records the event."""
        ...

    def turn(
        self,
        worker_id: int,
        *,
        now: int,
        want: Want | None = None,
        began: Sequence[Running] = (),
        settlements: Sequence[Settlement] = (),
        progress: Sequence[tuple[int, str]] = (),
        returned: Sequence[Claim] = (),
    ) -> Turn:
        """Record what began, settle what ended, move what is due, expire what is too late, claim what is wanted:
        one transaction, durable on return. `progress`: (attempt id, text). No write when there is nothing to do.

        `returned` are claims given back before they started: pending again, the attempt row gone, no trace left.
        So the event job.started is written when an attempt began (`began`, or `Settlement.running`), not at the claim.
        """
        ...

    def start_here(self, worker_id: int, job: NewJob, *, now: int) -> Claim | Inserted:
        """Insert a job and claim it in one transaction, for `kiribi run`: no other worker will ever claim it while
        this one lives. Inserted, when its unique key is held: then nothing was written.
        """
        ...

    def claim_job(self, worker_id: int, job_id: int, *, now: int) -> Claim | None:
        """Claim this very job for `kiribi run`, whatever the limits; None if it cannot be claimed any more."""
        ...

    def next_due(self) -> int | None:
        """The earliest time at which a scheduled or retrying job is due, or a waiting one expires."""
        ...

    def cancel_requests(self, worker_id: int) -> list[CancelRequest]: ...
    def stop_requested(self, worker_id: int) -> Literal["drain", "now"] | None: ...
    def changed(self) -> bool:
        """Whether another connection has committed since the last call: cheap enough for every wake-up.

        Raises STORE, final, when the database was deleted or replaced: nobody will find what is in here any more.
        """
        ...

    def listen(self, worker_id: int) -> Bell: ...
    def dead_workers(self) -> list[Worker]:
        """Workers that are not marked stopped and whose lock is free (other hosts: whose lease is over)."""
        ...

    def held_by(self, worker_id: int) -> list[Held]: ...
    def declare_lost(self, worker: Worker, *, by: int, silent_ms: int, now: int) -> list[Held] | None:
        """Mark a silent worker as lost and move all that it holds to worker `by`, in one transaction.

        None, and nothing is changed, when its heartbeat is not the one in `worker` any more, or it has ended.
        """
        ...

    def take_over(self, held: Sequence[Held], *, by: int, now: int) -> list[Claim]:
        """Move claims of a dead worker to worker `by`, keeping their tokens; those settled meanwhile are left out."""
        ...

    # -- looking
    def job(self, job_id: int, *, now: int) -> Job | None: ...
    def jobs(self, ids: Sequence[int], *, now: int) -> list[Job]: ...
    def latest(self, name: str | None, nth: int = 1) -> int | None:
        """Id of the nth newest job (of that name); steps and hooks do not count."""
        ...

    def find(
        self, which: Filter, *, now: int, sort: Sort = "created", descending: bool = True, limit: int | None = None
    ) -> Iterator[Job]:
        """Stream matching jobs, in short reads."""
        ...

    def count(self, which: Filter, *, now: int, at_most: int | None = None) -> int: ...
    def count_some(self, which: Filter, *, now: int, at_most: int) -> tuple[int, bool]:
        """Count no further than `at_most`, nor further back than is quick; True: these are all."""
        ...

    def names(self) -> list[str]:
        """Every job name in the history, by skipping through the index."""
        ...

    def queues(self) -> list[str]:
        """Queues in use: of what waits or runs, and of the statistics of a month. Not all of a long timed backlog."""
        ...

    def has_queue(self, queue: str) -> bool:
        """Whether anything waits or runs in it, or did within a month."""
        ...

    def waiting_names(self) -> list[str]:
        """Definitions that jobs wait for: all that something pending does, and those of the next timed jobs."""
        ...

    def attempts(self, job_id: int) -> list[Attempt]: ...
    def attempt(self, attempt_id: int) -> Attempt | None: ...
    def events(
        self, *, from_seq: int = 0, since: int | None = None, types: Sequence[str] = (), job_id: int | None = None
    ) -> Iterator[Event]:
        """From number `from_seq` on, oldest first; a batch of enqueued jobs is expanded into one event each."""
        ...

    def last_seq(self) -> int: ...
    def workers(self, *, stopped_since: int | None = None) -> list[Worker]: ...
    def running(self) -> list[Job]: ...
    def oldest_pending(self) -> int | None:
        """The job that is pending longest: as long as reading the backlog."""
        ...

    def now(self, *, now: int, names: Sequence[str] = ()) -> Now: ...
    def ahead_of(self, job: Job, *, now: int, at_most: int = 1000) -> int:
        """How many pending jobs of its queue would be claimed before this one."""
        ...

    def hours(self, dimension: str, *, since: int, until: int, key: str | None = None) -> list[HourRow]: ...
    def histogram(
        self, dimension: str, *, since: int, until: int, key: str | None = None, hourly: bool = False
    ) -> list[Bucketed]:
        """Durations and waits, added up over the time; with `hourly` for each hour."""
        ...

    # -- changing
    def retry(
        self, ids: Sequence[int], *, by: str, now: int, force: bool = False, more: int | None = None,
        run_at: Mapping[int, int] | None = None,
    ) -> Acted: ...  # fmt: skip
    def cancel(self, ids: Sequence[int], *, by: str, now: int, signal: str | None = None) -> Acted:
        """Waiting jobs at once; running ones are asked (cancel_requested_at) and their workers rung."""
        ...

    def edit(self, job_id: int, edit: Edit, *, by: str, now: int) -> Acted: ...
    def delete(
        self, ids: Sequence[int], *, by: str, now: int, first: LogsGo = no_logs,
    ) -> tuple[Acted, tuple[int, ...]]:  # fmt: skip
        """Delete finished jobs with their attempts; answers also which attempts those were."""
        ...

    def sweep(
        self, keep: Keep, *, now: int, batch: int = 500, statuses: Sequence[Status] = (), names: Sequence[str] = (),
        first: LogsGo = no_logs,
    ) -> Swept: ...  # fmt: skip
    def sweepable(
        self, keep: Keep, *, now: int, statuses: Sequence[Status] = (), names: Sequence[str] = (),
    ) -> Swept:  # fmt: skip
        """What sweep would delete in all, without doing it."""
        ...

    def record(self, type_: str, *, now: int, by: str, reason: str | None = None, details: Any = None) -> None:
        """Add an event that belongs to no job."""
        ...

    def ask_to_stop(self, worker_ids: Sequence[int], how: Literal["drain", "now"], *, now: int) -> None: ...

    # -- keeping house
    def info(self) -> dict[str, Any]: ...
    def damage(self) -> "KiribiError | None":
        """What to raise instead of an error that nobody expected, if the database is damaged: it explains anything."""
        ...

    def verify(self) -> Iterable[str]:
        """Sentences about what is broken; nothing when all is well."""
        ...

    def unknown_attempts(self, ids: Sequence[int]) -> Sequence[int]:
        """Of these attempts those that are neither in the history nor claimed by a running job."""
        ...

    def backup(self, to: Path) -> None: ...
    def vacuum(self) -> int:
        """Give space back, in steps; answers the bytes freed."""
        ...

    def export(self) -> Iterator[dict[str, Any]]: ...
    def import_(self, records: Iterable[dict[str, Any]]) -> int: ...
    def hurry(self, patience_s: float) -> None:
        """Wait for other writers no longer than this from now on: for a loop that has other things to do, too."""
        ...

    def close(self) -> None: ...
