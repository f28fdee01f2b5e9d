"""Where in the history to look: bounds by time, so that a list of the last hour costs as much as that hour.

Jobs, attempts and events are numbered in the order of time, so that a time is found by binary search. What began or
ended since a time, but was created before it, is told by the attempts and the events since then.
"""

from collections.abc import Callable
from typing import Literal

from kiribi_cli.core.job import FINISHED
from kiribi_cli.core.records import replace
from kiribi_cli.store.base import Filter
from kiribi_cli.store.database import Database, Row

# By so much may the clock have been turned back without anything being missed.
SLACK_MS = 3_600_000
LAST = (1 << 63) - 1
MANY_MORE = 10
MINUTE_MS = 60_000


def lower_bound(db: Database, which: Filter) -> int:
    """An id: at or below it nothing matches, but for what `strays` finds."""
    if which.since is None or (which.time != "created" and not _told_since(db, which.time, which.since)):
        return -1
    since = which.since - SLACK_MS
    before = first_job_since(db, since) - 1
    if which.time == "created":
        return before
    # After a batch that has hardly begun, the few that did are looked for alone.
    last = db.value("look.last_job") or 0
    moved = (db.value("find.last_attempt") or 0) + 1 - first_attempt_since(db, since)
    return last if last - before > MANY_MORE * (moved + 1) else before


def upper_bound(db: Database, which: Filter) -> int:
    """An id from which on nothing matches: what began or ended before a time was created before it, too."""
    before = LAST if which.before is None else which.before
    if which.until is None:
        return before
    return min(before, first_job_since(db, which.until + SLACK_MS))


def strays(db: Database, which: Filter, bound: int) -> list[int]:
    """Ids up to the lower bound that began or ended since: as many rows are read as there were such moves since."""
    if which.since is None or which.time == "created" or bound < 1:
        return []
    values = {"since": which.since, "bound": bound, "attempts": first_attempt_since(db, which.since - SLACK_MS)}
    if which.time == "finished":
        values["events"] = first_event_since(db, which.since - SLACK_MS)
    return [row[0] for row in db.rows(f"find.{which.time}_since", **values)]


def _told_since(db: Database, time: Literal["started", "finished"], since: int) -> bool:
    """Whether what moved since then is known without reading all jobs: events may be swept before their jobs are."""
    if time == "started":
        return True
    oldest = db.row("look.first_event_from", place=0)
    return oldest is not None and (oldest[0] == 1 or oldest[1] <= since - SLACK_MS)


def may_narrow(which: Filter, time: Literal["started", "finished"]) -> bool:
    """Whether bounds of this time can be added: a filter has room for bounds of one."""
    return (
        which.ids is None
        and (which.time == time or (which.since is None and which.until is None))
        and (not which.statuses or any(status in FINISHED for status in which.statuses))
    )


def latest(db: Database, which: Filter, time: Literal["started", "finished"], now: int, minutes: int) -> Filter | None:
    """Narrow a filter to what began (or ended) in the last minutes; None where that would make nothing cheaper."""
    since = now - minutes * MINUTE_MS
    if since <= (which.since or 0) or not _told_since(db, time, since):
        return None
    return replace(which, time=time, since=since)


def earliest(which: Filter, time: Literal["started", "finished"], until: int) -> Filter:
    """Narrow a filter to what began (or ended) before `until`."""
    return replace(which, time=time, until=until if which.until is None else min(until, which.until))


def first_job_since(db: Database, at: int) -> int:
    """Binary search over the ids for the first job created at or after `at`."""
    return search(lambda place: db.row("look.first_job_from", place=place), (db.value("look.last_job") or 0) + 1, at)


def first_attempt_since(db: Database, at: int) -> int:
    end = (db.value("find.last_attempt") or 0) + 1
    return search(lambda place: db.row("find.first_attempt_from", place=place), end, at)


def first_event_since(db: Database, at: int) -> int:
    return search(lambda place: db.row("look.first_event_from", place=place), (db.value("look.last_seq") or 0) + 1, at)


def search(first_from: Callable[[int], Row | None], end: int, at: int) -> int:
    """Find the first place whose row is of `at` or later; rows are numbered in the order of time, with gaps."""
    low, high = 0, end
    while low < high:
        middle = (low + high) // 2
        row = first_from(middle)
        if row is None or row[1] >= at:
            high = middle
        else:
            low = row[0] + 1
    return low
