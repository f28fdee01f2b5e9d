"""Statistics from the hourly rows: they cost the same with ten million jobs in the history, and survive `sweep`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from kiribi_cli.core.histogram import percentile
from kiribi_cli.core.instant import rfc3339
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.store.base import Bucketed, HourRow, Store

By = Literal["job", "queue", "hour", "error", "tag"]
Buckets = Mapping[int, int]
HOUR_MS = 3_600_000
WORDS = ("completed", "failed", "cancelled", "skipped", "retried")
QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


@dataclass(slots=True)
class Sum:
    """Hourly rows added up, and the times that were measured in them."""

    rows: list[HourRow] = field(default_factory=list)
    duration: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    wait: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def pour(self, measured: Bucketed) -> None:
        into = self.duration if measured.measure == "duration" else self.wait
        into[measured.bucket] += measured.n

    def total(self, column: str) -> int:
        return sum(int(getattr(row, column)) for row in self.rows)

    def most(self, column: str) -> int:
        return max((int(getattr(row, column)) for row in self.rows), default=0)


def stats(store: Store, *, since: int, until: int, now: int, by: By = "job", job: str | None = None) -> dict[str, Any]:
    """The object of cli.md, `stats`. Whole hours count: those in which `since` and `until` lie, too."""
    first = since - since % HOUR_MS
    # Totals come from the rows by job: every job is in exactly one of them.
    rows = store.hours("job", since=first, until=until, key=job)
    times = store.histogram("job", since=first, until=until, key=job, hourly=by == "hour")
    everything = Sum(rows)
    for measured in times:
        everything.pour(measured)
    if by in {"error", "tag"}:
        # Which jobs a tag or an error belongs to is not kept, so these are never narrowed to one job.
        rows = store.hours(by, since=first, until=until)
        # Errors keep no histogram: how long a failure took says little.
        times = store.histogram(by, since=first, until=until) if by == "tag" else []
    return {
        "since": rfc3339(since),
        "until": rfc3339(until),
        "totals": {word: everything.total(word) for word in WORDS},
        "now": _now(store, now, job),
        "duration_ms": _times(everything.duration, everything.most("duration_ms_max")),
        "wait_ms": _times(everything.wait, everything.most("wait_ms_max")),
        "by": _grouped(rows, times, by, first, until),
    }


def _now(store: Store, now: int, job: str | None) -> dict[str, Any]:
    stands = store.now(now=now, names=() if job is None else (job,))
    oldest = stands.oldest_pending_at
    return {
        "pending": stands.pending,
        "running": stands.running,
        "scheduled": stands.scheduled,
        "retrying": stands.retrying,
        "blocked": stands.blocked,
        "oldest_pending_ms": None if oldest is None else max(0, now - oldest),
        "workers": sum(worker.alive and worker.kind == "worker" for worker in store.workers()),
    }


def _grouped(
    rows: Sequence[HourRow], times: Sequence[Bucketed], by: By, first: int, until: int
) -> list[dict[str, Any]]:
    """One entry per job (or queue, hour, error, tag), the busiest first; hours in order."""
    sums: dict[str, Sum] = defaultdict(Sum)
    for row in rows:
        sums[_key(row, by)].rows.append(row)
    for measured in times:
        sums[_key(measured, by)].pour(measured)
    entries = [_entry(by, key, found, first, until) for key, found in sums.items()]
    if by == "hour":
        return sorted(entries, key=lambda entry: str(entry["hour"]))
    return sorted(entries, key=lambda entry: (-entry["completed"] - entry["failed"] - entry["retried"], str(entry[by])))


def _key(row: HourRow | Bucketed, by: By) -> str:
    match by:
        case "queue":
            return row.queue
        case "hour":
            return rfc3339(row.hour)
        case "job" | "tag" | "error":
            return row.key


def _entry(by: By, key: str, found: Sum, first: int, until: int) -> dict[str, Any]:
    entry: dict[str, Any] = {by: key}
    if by == "error":
        entry["message"] = found.rows[-1].label
    return entry | {
        "completed": found.total("completed"),
        "failed": found.total("failed"),
        "retried": found.total("retried"),
        "duration_ms": _times(found.duration, found.most("duration_ms_max")),
        "wait_ms": _times(found.wait, found.most("wait_ms_max")),
        "per_hour": _per_hour(found.rows, first, until),
        "attempts": found.total("attempts"),
        "cpu_ms": found.total("cpu_ms_sum"),
        "max_rss_bytes": found.most("max_rss_bytes"),
    }


def _times(buckets: Buckets, most: int) -> dict[str, int | None]:
    """Percentiles within 10 %; none is above the greatest, which is exact."""
    found = {name: percentile(buckets, q) for name, q in QUANTILES}
    shown = {name: None if value is None else min(value, most) for name, value in found.items()}
    return {**shown, "max": most if buckets else None}


def _per_hour(rows: Iterable[HourRow], first: int, until: int) -> list[int]:
    counts: dict[int, int] = defaultdict(int)
    for row in rows:
        counts[row.hour] += row.completed + row.failed
    return [counts[hour] for hour in range(first, max(until, first + 1), HOUR_MS)]
