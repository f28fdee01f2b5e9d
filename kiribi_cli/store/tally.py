"""Adds up what one transaction has to say to the hourly statistics, so that each row of them is written once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from kiribi_cli.core.histogram import bucket
from kiribi_cli.core.job import Problem
from kiribi_cli.store.base import Settlement
from kiribi_cli.store.database import Database

HOUR_MS = 3_600_000
_SUMS = (
    "completed",
    "failed",
    "cancelled",
    "skipped",
    "retried",
    "attempts",
    "duration_ms_sum",
    "wait_ms_sum",
    "cpu_ms_sum",
)
_PEAKS = ("duration_ms_max", "wait_ms_max", "max_rss_bytes")

Key = tuple[str, str, str, int]


class Tally:
    """Counts per (dimension, key, queue, hour), until `write` stores them in the caller's transaction."""

    def __init__(self) -> None:
        self._rows: dict[Key, dict[str, Any]] = {}
        self._buckets: Counter[tuple[Key, str, int]] = Counter()

    def add(
        self, job: str, queue: str, tags: tuple[str, ...], *, at: int, error: Problem | None = None,
        word: str | None = None, times: int = 1, attempts: int = 0, durations_ms: Sequence[int] = (),
        waits_ms: Sequence[int] = (), cpu_ms: int = 0, max_rss_bytes: int = 0,
    ) -> None:  # fmt: skip
        """Count moves. `word`: the column that goes up by `times` (completed, failed, cancelled, retried), if any."""
        hour = at - at % HOUR_MS
        keys: list[Key] = [("job", job, queue, hour), *(("tag", tag, queue, hour) for tag in tags)]
        for measure, values in (("duration", durations_ms), ("wait", waits_ms)):
            for ms, count in Counter(values).items():
                for key in keys:
                    self._buckets[key, measure, bucket(ms)] += count
        if error is not None:
            keys.append(("error", error.fingerprint, queue, hour))
        for key in keys:
            row = self._rows.get(key) or self._new(key)
            if word:
                row[word] += times
            row["attempts"] += attempts
            row["duration_ms_sum"] += sum(durations_ms)
            row["wait_ms_sum"] += sum(waits_ms)
            row["cpu_ms_sum"] += cpu_ms
            row["duration_ms_max"] = max(row["duration_ms_max"], *durations_ms, 0)
            row["wait_ms_max"] = max(row["wait_ms_max"], *waits_ms, 0)
            row["max_rss_bytes"] = max(row["max_rss_bytes"], max_rss_bytes)
            if key[0] == "error" and error is not None:
                row["label"] = error.message

    def add_ran(self, ran: Iterable[Settlement]) -> None:
        """Count attempts that completed: all of one definition, queue and hour at once."""
        groups: dict[tuple[str, str, tuple[str, ...], int], list[Settlement]] = {}
        for it in ran:
            claim = it.claim
            groups.setdefault((claim.job, claim.queue, claim.tags, it.finished_at // HOUR_MS), []).append(it)
        for (job, queue, tags, hour), some in groups.items():
            self.add(
                job, queue, tags, at=hour * HOUR_MS, word="completed", times=len(some), attempts=len(some),
                durations_ms=[it.duration_ms for it in some],
                waits_ms=[max((it.started_at or 0) - it.claim.run_at, 0) for it in some if it.claim.first],
                cpu_ms=sum(it.usage.cpu_user_ms + it.usage.cpu_system_ms for it in some),
                max_rss_bytes=max(it.usage.max_rss_bytes for it in some),
            )  # fmt: skip

    def _new(self, key: Key) -> dict[str, Any]:
        dimension, name, queue, hour = key
        row = self._rows[key] = {
            "dimension": dimension, "key": name, "queue": queue, "hour": hour, "label": None,
            **dict.fromkeys((*_SUMS, *_PEAKS), 0),
        }  # fmt: skip
        return row

    def write(self, db: Database) -> None:
        if self._rows:
            db.run_many("turn.add_stats", self._rows.values())
        if self._buckets:
            db.run_many("turn.add_histogram", (
                {
                    "dimension": key[0], "key": key[1], "queue": key[2], "hour": key[3], "measure": measure,
                    "bucket": n, "n": count,
                }
                for (key, measure, n), count in self._buckets.items()
            ))  # fmt: skip

    def clear(self) -> None:
        self._rows.clear()
        self._buckets.clear()
