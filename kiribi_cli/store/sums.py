"""Do the hourly statistics add up: within themselves, with their histograms, and with what the history holds."""

from collections.abc import Iterator
from typing import Any

from kiribi_cli.core.histogram import bounds
from kiribi_cli.core.instant import rfc3339
from kiribi_cli.store.audit import Counted
from kiribi_cli.store.connect import patiently
from kiribi_cli.store.database import Database
from kiribi_cli.store.statements import statement
from kiribi_cli.store.tally import HOUR_MS

_NAMES = (
    "completed", "failed", "cancelled", "skipped", "retried", "attempts", "duration_ms_sum", "duration_ms_max",
    "wait_ms_sum", "wait_ms_max", "cpu_ms_sum", "max_rss_bytes",
)  # fmt: skip
# What the history knows of an hour, and what its statistics call it.
_COUNTED = (("attempts", "attempts"), ("complete", "completed"), ("fail", "failed"), ("retry", "retried"))

Hist = dict[str, list[int]]


def sums(db: Database, counted: Counted) -> Iterator[str]:
    """Say what does not add up, within the caller's snapshot."""
    histograms = _histograms(db)
    jobs: dict[tuple[str, int], dict[str, int]] = {}
    errors: dict[tuple[str, int], int] = {}
    of_queue: dict[tuple[int, str], int] = {}
    # Sorted, so the rows of jobs come before those of tags in each hour.
    for row in patiently(db.connection, statement("house.all_stats")):
        hour, dimension, key, queue = row[:4]
        values = dict(zip(_NAMES, row[4:], strict=True))
        where = _where(hour, dimension, key, queue)
        yield from _row_problems(where, hour, dimension, values, histograms.pop((hour, dimension, key, queue), {}))
        if dimension == "job":
            total = jobs.setdefault((key, hour), dict.fromkeys(_NAMES, 0))
            for name in _NAMES:
                total[name] = (
                    max(total[name], values[name]) if name == "duration_ms_max" else total[name] + values[name]
                )
            of_queue[hour, queue] = of_queue.get((hour, queue), 0) + values["attempts"]
        elif dimension == "tag" and values["attempts"] > of_queue.get((hour, queue), 0):
            yield f"statistics of {where} count {values['attempts']} attempts, all jobs of the queue fewer"
        if dimension == "error":
            errors[key, hour] = errors.get((key, hour), 0) + values["attempts"]
    for hour, dimension, key, queue in list(histograms)[:100]:
        yield f"there is a histogram of {_where(hour, dimension, key, queue)}, but no statistics"
    yield from _against_history(counted, jobs)
    yield from _errors_against_history(counted, errors)


def _where(hour: int, dimension: str, key: str, queue: str) -> str:
    return f"{dimension} {key!r} in queue {queue}, hour {rfc3339(hour)}"


def _histograms(db: Database) -> dict[tuple[int, str, str, str], Hist]:
    """For each row of statistics and measure: how many were measured, and between which sums they lie."""
    found: dict[tuple[int, str, str, str], Hist] = {}
    for hour, dimension, key, queue, measure, number, n in patiently(db.connection, statement("house.all_histograms")):
        low, high = bounds(number)
        sums = found.setdefault((hour, dimension, key, queue), {}).setdefault(measure, [0, 0, 0])
        sums[0] += n
        sums[1] += n * low
        sums[2] += n * high
    return found


def _row_problems(where: str, hour: int, dimension: str, values: dict[str, int], histogram: Hist) -> Iterator[str]:
    if hour % HOUR_MS:
        yield f"statistics of {where} do not begin with an hour"
    if min(values.values()) < 0:
        yield f"statistics of {where} count less than nothing"
    ended = values["completed"] + values["failed"] + values["retried"]
    if ended > values["attempts"] or (dimension == "error" and ended != values["attempts"]):
        yield f"statistics of {where} count {values['attempts']} attempts, but {ended} ends of them"
    for measure in ("duration", "wait"):
        total, most = values[f"{measure}_ms_sum"], values[f"{measure}_ms_max"]
        if most > total:
            yield f"statistics of {where}: the longest {measure} is {most} ms, all together {total} ms"
        if dimension == "error":
            continue
        n, low, high = histogram.get(measure, (0, 0, 0))
        if n > values["attempts"] or not low <= total <= high:
            yield f"statistics of {where} and the histogram of {measure} do not agree: {n} measured, {total} ms"


def _against_history(counted: Counted, jobs: dict[tuple[str, int], dict[str, int]]) -> Iterator[str]:
    """Statistics outlive the jobs, so they may count more; never fewer, and never more while nothing was deleted."""
    nothing = dict.fromkeys(_NAMES, 0)
    for (job, hour), tally in counted.jobs.items():
        stats = jobs.get((job, hour), nothing)
        for ours, theirs in _COUNTED:
            if _differ(tally[ours], stats[theirs], complete=counted.complete):
                yield _sentence(job, hour, f"{tally[ours]} {theirs}", stats[theirs])
        total = stats["duration_ms_sum"]
        if total < tally["ms"] or (counted.complete and total > tally["ms_all"]):
            yield _sentence(job, hour, f"{tally['ms']} ms of work", total)
        if stats["duration_ms_max"] < tally["ms_max"]:
            yield _sentence(job, hour, f"an attempt of {tally['ms_max']} ms", stats["duration_ms_max"])
    for (job, hour), cancelled in counted.cancelled.items():
        found = jobs.get((job, hour), nothing)["cancelled"]
        if _differ(cancelled, found, complete=counted.complete):
            yield _sentence(job, hour, f"{cancelled} cancelled", found)
    if counted.complete:
        for (job, hour), stats in jobs.items():
            if stats["attempts"] and (job, hour) not in counted.jobs:
                yield _sentence(job, hour, "no attempt", stats["attempts"])
            if stats["cancelled"] and (job, hour) not in counted.cancelled:
                yield _sentence(job, hour, "none cancelled", stats["cancelled"])


def _differ(ours: int, theirs: int, *, complete: bool) -> bool:
    return theirs < ours or (complete and theirs != ours)


def _sentence(job: str, hour: int, history: str, statistics: Any) -> str:
    return f"of job {job!r} the history of the hour {rfc3339(hour)} holds {history}, the statistics say {statistics}"


def _errors_against_history(counted: Counted, errors: dict[tuple[str, int], int]) -> Iterator[str]:
    for (fingerprint, hour), times in counted.errors.items():
        if _differ(times, errors.get((fingerprint, hour), 0), complete=counted.complete):
            found = errors.get((fingerprint, hour), 0)
            yield f"error {fingerprint} happened {times} times in the hour {rfc3339(hour)}, the statistics say {found}"
