"""Finds jobs by filters, in short reads: chooses the index to go in by, pages along it, and reads rows by id.

A page of ids is read to its end and no statement stays open while the caller thinks: the WAL can be reused meanwhile.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from heapq import merge, nlargest, nsmallest
from itertools import islice
from typing import Any

from kiribi_cli.core.job import FINISHED, Job
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store import look
from kiribi_cli.store.base import Filter, Sort
from kiribi_cli.store.database import Database, Row

PAGE = 500
COUNT_PAGE = 5000
_LAST = (1 << 63) - 1
# By so much may the clock have been turned back without a job being missed by --since.
_SLACK_MS = 86_400_000

Pages = Iterator[list[Row]]


def find(db: Database, which: Filter, *, now: int, sort: Sort, descending: bool, limit: int | None) -> Iterator[Job]:
    """Stream matching jobs; what is deleted while they stream is left out."""
    # No further than asked for, unless some are left out or put in another order afterwards.
    size = PAGE if limit is None or which.excluded or sort != "created" else min(PAGE, max(limit, 1))
    pages = _pages(db, which, now, sort, descending=descending, page=size)
    if sort != "created":
        pages = _sorted(pages, descending=descending, limit=limit)
    left = limit
    for page in pages:
        ids = [row[0] for row in page][:left]
        yield from look.jobs(db, ids, now)
        if left is not None:
            left -= len(ids)
            if left <= 0:
                return


def count(db: Database, which: Filter, *, now: int, at_most: int | None) -> int:
    """Count matching jobs, no further than `at_most`."""
    total = 0
    page = COUNT_PAGE if at_most is None else min(COUNT_PAGE, at_most)
    for rows in _pages(db, which, now, "created", descending=True, page=page):
        total += len(rows)
        if at_most is not None and total >= at_most:
            return at_most
    return total


def _sorted(pages: Pages, *, descending: bool, limit: int | None) -> Pages:
    """Sort by the key, what has none last; with a limit only so many are kept in memory."""
    rows = (row for page in pages for row in page)
    if limit is None:
        found = sorted(rows, key=_order(descending=descending), reverse=descending)
    else:
        found = (nlargest if descending else nsmallest)(limit, rows, key=_order(descending=descending))
    for start in range(0, len(found), PAGE):
        yield found[start : start + PAGE]


def _order(*, descending: bool) -> Callable[[Row], Any]:
    # Absent ones last either way: False sorts before True.
    return lambda row: ((row[1] is None) is not descending, row[1] if row[1] is not None else 0, row[0])


def _pages(db: Database, which: Filter, now: int, sort: Sort, *, descending: bool, page: int) -> Pages:
    """Stream (id, key) of matching jobs in pages, by id."""
    values = _values(db, which, now, sort)
    if values is None:
        return
    bounds = {"after": _lower_bound(db, which), "before": which.before if which.before is not None else _LAST}
    for rows in _ways(db, which, {**values, **bounds}, descending=descending, page=page):
        kept = _without(db, which.excluded, rows, now)
        if kept:
            yield kept


def _ways(db: Database, which: Filter, values: dict[str, Any], *, descending: bool, page: int) -> Pages:
    """Choose the way in: the narrowest index that the filter allows."""
    direction = "newest" if descending else "oldest"
    ended = [status for status in dict.fromkeys(which.statuses) if status in FINISHED]
    if which.ids is not None:
        found = db.rows("find.among", **values, ids=json.dumps(list(which.ids)))
        return _chunks(sorted(found, reverse=descending, key=_id), page)
    if which.statuses and len(ended) == len(set(which.statuses)):
        return _merged(
            [_walk(db, f"find.{direction}_ended", {**values, "lead": str(s)}, page) for s in ended],
            page,
            descending=descending,
        )
    if which.statuses and not ended:
        return _chunks(sorted(db.rows("find.unfinished", **values), reverse=descending, key=_id), page)
    if which.names:
        names = json.loads(values["names"])
        return _merged(
            [_walk(db, f"find.{direction}_named", {**values, "lead": n}, page) for n in names],
            page,
            descending=descending,
        )
    return _walk(db, f"find.{direction}_first", values, page)


def _walk(db: Database, name: str, values: dict[str, Any], page: int) -> Pages:
    """Page along an index by id."""
    newest_first = name.startswith("find.newest")
    while rows := db.rows(name, **values, page=page):
        yield rows
        if len(rows) < page:
            return
        values = {**values, "before" if newest_first else "after": rows[-1][0]}


def _merged(walks: Sequence[Pages], page: int, *, descending: bool) -> Pages:
    """Bring several walks into one order."""
    if len(walks) == 1:
        yield from walks[0]
        return
    rows = merge(*((row for rows in walk for row in rows) for walk in walks), key=_id, reverse=descending)
    while chunk := list(islice(rows, page)):
        yield chunk


def _chunks(rows: list[Row], page: int) -> Pages:
    for start in range(0, len(rows), page):
        yield rows[start : start + page]


def _id(row: Row) -> int:
    return int(row[0])


def _without(db: Database, excluded: Sequence[Filter], rows: list[Row], now: int) -> list[Row]:
    for one in excluded:
        if not rows:
            return []
        away = _among(db, one, [row[0] for row in rows], now)
        rows = [row for row in rows if row[0] not in away]
    return rows


def _among(db: Database, which: Filter, ids: list[int], now: int) -> set[int]:
    """Which of these ids match a filter, with what it excludes in turn."""
    values = _values(db, which, now, "created")
    if values is None:
        return set()
    before = which.before if which.before is not None else _LAST
    rows = db.rows("find.among", **values, after=-1, before=before, ids=json.dumps(ids))
    if which.ids is not None:
        rows = [row for row in rows if row[0] in which.ids]
    return {row[0] for row in _without(db, which.excluded, rows, now)}


def _values(db: Database, which: Filter, now: int, sort: Sort) -> dict[str, Any] | None:
    """Write a filter as parameters; None if it names only what does not exist."""
    names = _names(db, which.names)
    if which.names and not names:
        return None
    return {
        "now": now, "sort": sort, "time": which.time, "since": which.since, "until": which.until,
        "statuses": _listed([str(status) for status in which.statuses]), "names": _listed(names),
        "queues": _listed(which.queues), "workers": _listed(which.workers), "origins": _listed(which.origins),
        "tags": _listed(which.tags), "errors": _listed(which.errors), "grep": _listed(which.grep),
        "payload": _listed(_payload_wants(which.where)),
    }  # fmt: skip


def _listed(values: Sequence[Any]) -> str | None:
    return json.dumps(list(values)) if values else None


def _names(db: Database, globs: Sequence[str]) -> list[str]:
    """Turn globs into names: those in the history, found by skipping through the index."""
    exact = {glob for glob in globs if not any(c in glob for c in "*?[")}
    if len(exact) == len(globs):
        return sorted(exact)
    known = (row[0] for row in db.rows("look.names"))
    return sorted(exact.union(name for name in known if any(fnmatchcase(name, glob) for glob in globs)))


def _payload_wants(where: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Group by path: several values of one path mean or, several paths and."""
    wants: dict[str, list[str]] = {}
    for path, value in where:
        wants.setdefault(path, []).append(value)
    return [[json_path(path), *values] for path, values in wants.items()]


def json_path(dotted: str) -> str:
    """Write a dotted path as SQLite wants it; a number is the place in an array.

    >>> json_path("card.lines.0")
    '$."card"."lines"[0]'
    """
    if '"' in dotted:
        raise KiribiError(
            Code.USAGE, f"a payload path cannot hold a quotation mark: {dotted}", hint="kiribi help queries"
        )
    parts = dotted.split(".")
    return "$" + "".join(f"[{part}]" if part.isascii() and part.isdigit() else f'."{part}"' for part in parts)


def _lower_bound(db: Database, which: Filter) -> int:
    """An id below which nothing can match: jobs are numbered in the order in which they are created."""
    if which.since is None or (which.statuses and not any(status in FINISHED for status in which.statuses)):
        return -1
    # Started or finished since then says nothing about when it was created.
    return _first_since(db, which.since - _SLACK_MS) - 1 if which.time == "created" else -1


def _first_since(db: Database, at: int) -> int:
    """Binary search over the ids for the first job created at or after `at`."""
    return search(lambda place: db.row("look.first_job_from", place=place), (db.value("look.last_job") or 0) + 1, at)


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
