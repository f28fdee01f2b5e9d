"""Deletes old history in small batches. What stays: young jobs, the newest of each name, unique periods that last."""

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from kiribi_cli.core.definition import Retention
from kiribi_cli.core.job import FINISHED, Status
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.store.base import Keep, LogsGo, Swept
from kiribi_cli.store.database import Database
from kiribi_cli.store.span import SLACK_MS, first_event_since, first_job_since

PAGE = 500
# Rows looked at by one call: a long stretch of kept jobs must not make it long.
LOOKED_AT = 20_000
# Beyond so many names they are not walked along one by one.
NAMES = 1_000
_WORKERS_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Walk:
    """Along the finished jobs of one status, or of one name, up to an id from which on none can be old enough."""

    way: Literal["of_status", "of_name"]
    lead: str
    bound: int


@dataclass(slots=True)
class Place:
    """How far a sweep has come, so that the next batch goes on behind what is kept."""

    # Those still to go, the first of them from `after` on; None before it begins.
    walks: list[Walk] | None = None
    after: int = -1
    # The oldest id that keep_last keeps, by name.
    newest: dict[str, int] = field(default_factory=dict)


def age_ms(rule: Retention, status: str) -> int | None:
    ages = {
        "completed": rule.completed_ms, "failed": rule.failed_ms, "cancelled": rule.cancelled_ms,
        "skipped": rule.skipped_ms,
    }  # fmt: skip
    return ages[status]


def sweep(
    db: Database, place: Place, keep: Keep, *, now: int, batch: int, statuses: Sequence[Status], names: Sequence[str],
    first: LogsGo,
) -> Swept:  # fmt: skip
    """Delete one batch; `more` says that the next call would go on from `place`."""
    doomed: list[int] = []
    looked = 0
    for ids, seen in _candidates(db, place, keep, now, statuses, names):
        doomed += ids
        looked += seen
        if len(doomed) >= batch or looked >= LOOKED_AT:
            break
    ended = not place.walks
    counts, attempt_ids = _delete(db, doomed, first)
    events = 0 if statuses or names or keep.events_ms is None else _delete_events(db, now - keep.events_ms, batch)
    if ended:
        place.walks, place.after = None, -1
        place.newest.clear()
    return Swept(counts, attempt_ids, events, more=not ended or events >= batch)


def sweepable(db: Database, keep: Keep, *, now: int, statuses: Sequence[Status], names: Sequence[str]) -> Swept:
    counts: Counter[str] = Counter()
    # Of millions, numbers alone.
    attempts = array("q")
    for ids, _ in _candidates(db, Place(), keep, now, statuses, names):
        listed = json.dumps(ids)
        counts.update(row[1] for row in db.rows("sweep.still_finished", ids=listed))
        attempts.extend(row[0] for row in db.rows("sweep.attempt_ids", ids=listed))
    return Swept(dict(counts), attempts, 0, more=False)


def _candidates(
    db: Database, place: Place, keep: Keep, now: int, statuses: Sequence[Status], names: Sequence[str]
) -> Iterator[tuple[list[int], int]]:
    """Stream ids that may go, with how many rows were looked at; `place` moves along."""
    chosen = statuses or FINISHED
    if place.walks is None:
        place.walks = _walks(db, keep, now, chosen, names)
    while place.walks:
        walk = place.walks[0]
        rows = db.rows(f"sweep.{walk.way}", lead=walk.lead, after=place.after, bound=walk.bound, now=now, page=PAGE)
        if rows:
            place.after = rows[-1][0]
            old = [
                (id_, job)
                for id_, job, status, finished_at, held in rows
                if not held and status in chosen and _is_old(keep, status, job, finished_at, now)
            ]
            yield [id_ for id_, job in old if id_ < _kept_from(db, place, keep, job)], len(rows)
        if len(rows) < PAGE:
            del place.walks[0]
            place.after = -1


def _walks(db: Database, keep: Keep, now: int, chosen: Sequence[Status], names: Sequence[str]) -> list[Walk]:
    """By status, where all names are kept alike; else by name, so that what is kept longer is not in the way."""
    rules = (keep.default, *keep.by_name.values())
    if not names and any(_ages(rule, chosen) != _ages(keep.default, chosen) for rule in rules):
        names = [row[0] for row in db.rows("look.names")]
    if 0 < len(names) <= NAMES:
        return [Walk("of_name", name, _bound(db, [_rule(keep, name)], chosen, now)) for name in names]
    return [Walk("of_status", str(status), _bound(db, rules, [status], now)) for status in chosen]


def _ages(rule: Retention, chosen: Sequence[Status]) -> list[int | None]:
    return [age_ms(rule, status) for status in chosen]


def _rule(keep: Keep, job: str) -> Retention:
    return keep.by_name.get(job, keep.default)


def _is_old(keep: Keep, status: str, job: str, finished_at: int, now: int) -> bool:
    age = age_ms(_rule(keep, job), status)
    return age is not None and finished_at <= now - age


def _bound(db: Database, rules: Sequence[Retention], chosen: Sequence[Status], now: int) -> int:
    """An id from which on nothing can be old enough: what was created later cannot have ended earlier."""
    ages = [age for rule in rules for age in _ages(rule, chosen) if age is not None]
    return first_job_since(db, now - min(ages) + SLACK_MS) if ages else 0


def _kept_from(db: Database, place: Place, keep: Keep, job: str) -> int:
    """The id of the oldest job of this name that keep_last keeps; all of them where there are not so many."""
    if job not in place.newest:
        last = _rule(keep, job).keep_last
        found = db.value("sweep.nth_newest", job=job, skip=last - 1) if last > 0 else 1 << 62
        place.newest[job] = 0 if found is None else found
    return place.newest[job]


def _delete(db: Database, ids: list[int], first: LogsGo) -> tuple[dict[str, int], tuple[int, ...]]:
    if not ids:
        return {}, ()
    with db.transaction():
        finished = db.rows("sweep.still_finished", ids=json.dumps(ids))
        listed = json.dumps([row[0] for row in finished])
        attempts = tuple(row[0] for row in db.rows("sweep.attempt_ids", ids=listed))
        db.run("sweep.delete_attempts", ids=listed)
        db.run("sweep.delete_jobs", ids=listed)
        first(attempts)
    return dict(Counter(row[1] for row in finished)), attempts


def _delete_events(db: Database, before: int, batch: int) -> int:
    """Delete the oldest events up to the first that is young enough."""
    bound = first_event_since(db, before)
    seq, count = db.rows("sweep.old_events", bound=bound, page=batch)[0]
    if not count:
        return 0
    with db.transaction():
        db.run("sweep.delete_events", seq=seq)
        # Rows of workers long gone go with them.
        db.run("workers.forget_stopped", before=before - _WORKERS_MS)
    return int(count)
