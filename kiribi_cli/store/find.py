"""Finds jobs by filters, in short reads: chooses the index to go in by, pages along it, and reads rows by id.

A page of ids is read to its end and no statement stays open while the caller thinks: the WAL can be reused meanwhile.
Each way in stops where enough is found. Where no index leads to what a filter asks for, the ids are walked along, from
the newest on: as far back as the first matches are, or `since`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from heapq import merge, nlargest, nsmallest
from itertools import chain, islice
from typing import Any, Literal

from kiribi_cli.core.job import FINISHED, Job, Status
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store import look, span
from kiribi_cli.store.base import Filter, Sort
from kiribi_cli.store.database import Database, Row

PAGE = 500
COUNT_PAGE = 5000
# Ids looked at by a count that may stop early, and by a list of what waits before its whole backlog is read and sorted.
NEAR = 20_000
# A backlog that is read and sorted at once; names and ends that are counted to compare them.
SHORT = 5_000
MANY = 200
# Names that are walked along together; beyond that the ids of all jobs are.
TOGETHER = 50
# What began or ended last is looked for in the last minute, then ten, a hundred ... up to a week.
WINDOWS = (1, 10, 100, 1_000, 10_000)

_NEVER = 1 << 62

# Where jobs of an unfinished status stand. What is due counts as pending, whether or not a worker has looked.
_PARTS = {
    Status.PENDING: ("pending", "due"), Status.SCHEDULED: ("later",), Status.RETRYING: ("later",),
    Status.RUNNING: ("running",), Status.BLOCKED: ("blocked",),
}  # fmt: skip

Pages = Iterator[list[Row]]


def find(db: Database, which: Filter, *, now: int, sort: Sort, descending: bool, limit: int | None) -> Iterator[Job]:
    """Stream matching jobs; what is deleted while they stream is left out."""
    left = limit
    for page in _ordered(db, which, now, sort, descending=descending, limit=limit):
        ids = [row[0] for row in page][:left]
        yield from look.jobs(db, ids, now)
        if left is not None:
            left -= len(ids)
            if left <= 0:
                return


def count(db: Database, which: Filter, *, now: int, at_most: int | None) -> int:
    """Count matching jobs, no further than `at_most`; without, as long as reading all of them."""
    page = COUNT_PAGE if at_most is None else min(COUNT_PAGE, at_most)
    total = 0
    for rows in _pages(db, which, now, "created", descending=True, page=page):
        total += len(rows)
        if at_most is not None and total >= at_most:
            return at_most
    return total


def count_some(db: Database, which: Filter, *, now: int, at_most: int) -> tuple[int, bool]:
    """Count matching jobs, no further than `at_most` nor further back than is quick; say whether these are all."""
    indexed = which == Filter(statuses=which.statuses, names=which.names, before=which.before)
    floor = -1 if indexed else (db.value("look.last_job") or 0) - NEAR
    total = 0
    for rows in _pages(db, which, now, "created", descending=True, page=min(COUNT_PAGE, at_most), floor=floor):
        total += len(rows)
        if total >= at_most:
            return at_most, False
    return total, floor <= 0


def _ordered(db: Database, which: Filter, now: int, sort: Sort, *, descending: bool, limit: int | None) -> Pages:
    # No further than asked for, unless some are left out or put in another order afterwards.
    size = PAGE if limit is None or which.excluded else min(PAGE, max(limit, 1))
    by_time = which.time == "created" or which.since is None
    match sort:
        case "created":
            return _pages(db, which, now, sort, descending=descending, page=size)
        case "job" if by_time and which.ids is None and not which.statuses:
            return _by_name(db, which, now, descending=descending, page=size)
        case "started" | "finished" if limit and span.may_narrow(which, sort):
            which = _narrowed(db, which, now, sort, descending=descending, limit=limit)
        case _:
            pass
    return _sorted(_pages(db, which, now, sort, descending=descending, page=PAGE), descending=descending, limit=limit)


def _by_name(db: Database, which: Filter, now: int, *, descending: bool, page: int) -> Pages:
    """One name after the other, as the index has them."""
    for name in sorted(_names(db, which.names or ("*",)), reverse=descending):
        yield from _pages(db, which, now, "job", descending=descending, page=page, name=name)


def _narrowed(
    db: Database, which: Filter, now: int, sort: Literal["started", "finished"], *, descending: bool, limit: int
) -> Filter:
    """Put bounds of time around the first `limit` by when they began or ended: only those are read and sorted."""

    def some(among: Filter) -> list[Row]:
        pages = _pages(db, among, now, sort, descending=descending, page=min(PAGE, limit))
        return list(islice(chain.from_iterable(pages), limit))

    if descending:
        windows = (span.latest(db, which, sort, now, minutes) for minutes in WINDOWS)
        return next((near for near in windows if near is not None and len(some(near)) == limit), which)
    found = some(span.earliest(which, sort, _NEVER))
    # Whoever was created after the last of these ended cannot have ended before it.
    return span.earliest(which, sort, max(row[1] for row in found) + 1) if len(found) == limit else which


def _sorted(pages: Pages, *, descending: bool, limit: int | None) -> Pages:
    """Sort by the key, what has none last; with a limit only so many are kept in memory."""
    rows = (row for page in pages for row in page)
    if limit is None:
        found = sorted(rows, key=_order(descending=descending), reverse=descending)
    else:
        found = (nlargest if descending else nsmallest)(limit, rows, key=_order(descending=descending))
    return _chunks(found, PAGE)


def _order(*, descending: bool) -> Callable[[Row], Any]:
    # Absent ones last either way: False sorts before True.
    return lambda row: ((row[1] is None) is not descending, row[1] if row[1] is not None else 0, row[0])


def _pages(
    db: Database, which: Filter, now: int, sort: Sort, *, descending: bool, page: int, name: str | None = None,
    floor: int = -1,
) -> Pages:  # fmt: skip
    """Stream (id, key) of matching jobs in pages, by id. `name`: only of this one. `floor`: only above this id."""
    values = _values(db, which, now, sort)
    if values is None:
        return
    after = -1 if which.ids is not None else span.lower_bound(db, which)
    values |= {"after": max(after, floor), "before": span.upper_bound(db, which)}
    if name is None:
        ways = _ways(db, which, values, descending=descending, page=page)
    else:
        ways = _walk(db, _along("named", descending=descending), {**values, "lead": name}, page)
    strays = _strays(db, which, values, after, descending=descending, page=page)
    for rows in chain(ways, strays) if descending else chain(strays, ways):
        kept = _without(db, which.excluded, rows, now)
        if kept:
            yield kept


def _ways(db: Database, which: Filter, values: dict[str, Any], *, descending: bool, page: int) -> Pages:
    """Choose the way in: the narrowest index that the filter allows."""
    ended = [status for status in FINISHED if status in which.statuses]
    names: list[str] = json.loads(values["names"] or "[]")
    if which.ids is not None:
        return _chunks(_among_ids(db, values, which.ids, descending=descending), page)
    if which.statuses and not (ended and names and _names_are_fewer(db, values, ended)):
        walks = [_walk(db, _along("ended", descending=descending), {**values, "lead": str(s)}, page) for s in ended]
        if len(ended) < len(set(which.statuses)):
            walks.append(_unfinished(db, which, values, descending=descending, page=page))
        return _merged(walks, page, descending=descending)
    if 0 < len(names) <= TOGETHER:
        walks = [_walk(db, _along("named", descending=descending), {**values, "lead": name}, page) for name in names]
        return _merged(walks, page, descending=descending)
    return _walk(db, _along("first", descending=descending), values, page)


def _names_are_fewer(db: Database, values: dict[str, Any], ended: Sequence[Status]) -> bool:
    """Whether fewer jobs have one of the names than ended so; where both are many, most of a history is completed."""
    named = db.value("find.named", names=values["names"], most=MANY)
    as_many = db.value("find.ended", statuses=_listed([str(status) for status in ended]), most=MANY)
    return bool(named < as_many or (named == MANY and Status.COMPLETED in ended))


def _strays(
    db: Database, which: Filter, values: dict[str, Any], bound: int, *, descending: bool, page: int
) -> Pages:  # fmt: skip
    """Those created before the time asked for that began or ended since."""
    ids = span.strays(db, which, bound)
    if ids:
        yield from _chunks(_among_ids(db, {**values, "after": -1}, ids, descending=descending), page)


def _among_ids(db: Database, values: dict[str, Any], ids: Sequence[int], *, descending: bool) -> list[Row]:
    return sorted(db.rows("find.among", **values, ids=json.dumps(list(ids))), reverse=descending, key=_id)


def _unfinished(db: Database, which: Filter, values: dict[str, Any], *, descending: bool, page: int) -> Pages:
    """Read and sort what is not finished. Of a long backlog the newest are looked for before, along the ids."""
    waiting = [status for status in which.statuses if status not in FINISHED]
    values = {**values, "statuses": _listed([str(status) for status in waiting])}
    parts = {part for status in waiting for part in _PARTS[status]}
    if descending and "pending" in parts and db.value("find.waiting", most=SHORT) == SHORT:
        near = max(values["after"], min(values["before"], (db.value("look.last_job") or 0) + 1) - NEAR)
        yield from _walk(db, _along("first", descending=True), {**values, "after": near}, page)
        values["before"] = near + 1
    rows = [row for part in sorted(parts) for row in db.rows(f"find.{part}", **values)]
    yield from _chunks(sorted(rows, reverse=descending, key=_id), page)


def _along(way: str, *, descending: bool) -> str:
    return f"find.{'newest' if descending else 'oldest'}_{way}"


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
    before = which.before if which.before is not None else span.LAST
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
