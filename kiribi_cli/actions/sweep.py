"""Delete old history by hand: what `retention` says now, or what the options of `kiribi sweep` say instead."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kiribi_cli.config.model import Config
from kiribi_cli.core.definition import Retention
from kiribi_cli.core.job import FINISHED, Status
from kiribi_cli.core.records import dataclass, field, replace
from kiribi_cli.runner.logs_dir import compress_old, delete_logs, enforce_total, size_of, strays
from kiribi_cli.store.base import Keep, Store, Swept


@dataclass(frozen=True, slots=True)
class Request:
    """What to delete. `names`: none means all; `max_bytes`: of all logs; `logs_only`: keep the history."""

    keep: Keep
    max_bytes: int
    compress_before: int | None
    statuses: tuple[Status, ...] = ()
    names: tuple[str, ...] = ()
    logs_only: bool = False
    # Options that name certain jobs are about these only: the total of all logs is then nobody's business.
    narrowed: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """Counts by status and bytes; with `dry_run` what would be (both sizes are estimates then)."""

    dry_run: bool
    jobs: Mapping[str, int] = field(default_factory=dict)
    log_bytes: int = 0
    db_bytes: int = 0
    events: int = 0
    compressed: int = 0

    def as_object(self) -> dict[str, Any]:
        return {
            "dry_run": self.dry_run,
            "jobs": dict(self.jobs),
            "log_bytes": self.log_bytes,
            "db_bytes": self.db_bytes,
            "events": self.events,
        }


def request(
    config: Config,
    *,
    now: int,
    older_than_ms: int | None = None,
    statuses: Sequence[Status] = (),
    names: Sequence[str] = (),
    keep_last: int | None = None,
    max_bytes: int | None = None,
    logs_only: bool = False,
) -> Request:
    """Take retention and logs from jobs.toml, and lay the options over them."""

    def overridden(rules: Retention) -> Retention:
        if older_than_ms is not None:
            rules = replace(
                rules,
                completed_ms=older_than_ms,
                cancelled_ms=older_than_ms,
                skipped_ms=older_than_ms,
                failed_ms=older_than_ms,
            )
        return rules if keep_last is None else replace(rules, keep_last=keep_last)

    narrowed = bool(statuses or names)
    packed_after = config.logs.compress_after_ms
    return Request(
        keep=Keep(
            default=overridden(config.retention),
            by_name={name: overridden(rules.retention) for name, rules in config.definitions.items()},
            # Events are kept by their own age; an act on certain jobs leaves them alone.
            events_ms=None if narrowed or logs_only else config.events_ms,
        ),
        max_bytes=config.logs.total if max_bytes is None else max_bytes,
        compress_before=None if packed_after is None else now - packed_after,
        statuses=tuple(status for status in statuses if status in FINISHED),
        names=tuple(names),
        logs_only=logs_only,
        narrowed=narrowed and max_bytes is None,
    )


def preview(store: Store, logs: Path, wanted: Request, *, now: int) -> Report:
    """Say what `sweep` would do, and do nothing."""
    found = store.sweepable(wanted.keep, now=now, statuses=wanted.statuses, names=wanted.names)
    log_bytes = size_of(logs, found.attempt_ids)
    if not wanted.narrowed:
        log_bytes = max(log_bytes, size_of(logs) - wanted.max_bytes)
    if wanted.logs_only:
        return Report(dry_run=True, log_bytes=log_bytes)
    db_bytes = sum(found.jobs.values()) * _bytes_per_job(store)
    return Report(dry_run=True, jobs=found.jobs, log_bytes=log_bytes, db_bytes=db_bytes, events=found.events)


def sweep(
    store: Store, logs: Path, wanted: Request, *, by: str, now: int, told: Callable[[int], None] = lambda _: None
) -> Report:
    """Delete in small batches, each with its logs; `told` hears the jobs deleted so far."""
    per_job = _bytes_per_job(store)
    jobs: Counter[str] = Counter()
    freed = events = 0

    def logs_go(attempts: Sequence[int]) -> None:
        nonlocal freed
        freed += delete_logs(logs, attempts)

    if wanted.logs_only:
        freed += delete_logs(logs, _sweepable(store, wanted, now).attempt_ids)
        # By hand only: a folder of logs that two databases share by mistake must not be emptied by a worker.
        freed += 0 if wanted.narrowed else delete_logs(logs, _strays(store, logs))
    else:
        more = True
        while more:
            batch = store.sweep(wanted.keep, now=now, statuses=wanted.statuses, names=wanted.names, first=logs_go)
            jobs.update(batch.jobs)
            events += batch.events
            more = batch.more
            told(jobs.total())
    compressed = 0
    if not wanted.narrowed:
        freed += enforce_total(logs, wanted.max_bytes, lambda attempt: may_go(store, attempt, now=now)).freed
        compressed = _compress(store, logs, wanted)
    if jobs or events or freed:
        store.record("sweep.done", now=now, by=by, details={"jobs": dict(jobs), "log_bytes": freed})
    return Report(
        dry_run=False,
        jobs=dict(jobs),
        log_bytes=freed,
        db_bytes=jobs.total() * per_job,
        events=events,
        compressed=compressed,
    )


def may_go(store: Store, attempt_id: int, *, now: int) -> bool:
    """Whether the log of an attempt may go for want of space: its job is finished, or not in the history any more."""
    attempt = store.attempt(attempt_id)
    if attempt is None:
        # A job that runs may not have been told to have begun yet.
        return bool(store.unknown_attempts([attempt_id]))
    job = store.job(attempt.job_id, now=now)
    return job is None or job.status in FINISHED


def _sweepable(store: Store, wanted: Request, now: int) -> Swept:
    return store.sweepable(wanted.keep, now=now, statuses=wanted.statuses, names=wanted.names)


def _strays(store: Store, logs: Path) -> tuple[int, ...]:
    return strays(logs, store.unknown_attempts).attempt_ids


def _compress(store: Store, logs: Path, wanted: Request) -> int:
    if wanted.compress_before is None:
        return 0
    running = frozenset(job.attempt_id for job in store.running() if job.attempt_id is not None)
    return compress_old(logs, before=wanted.compress_before, running=running)


def _bytes_per_job(store: Store) -> int:
    info = store.info()
    rows = info.get("rows") or {}
    jobs = rows.get("jobs", 0) if isinstance(rows, dict) else 0
    return int(info.get("size_bytes") or 0) // jobs if jobs else 0
