"""Events as they are read: in order, a batch of enqueued jobs expanded into one event each."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from kiribi_cli.core.job import Event
from kiribi_cli.core.records import replace
from kiribi_cli.store.database import Database, Row
from kiribi_cli.store.find import search
from kiribi_cli.store.rows import event_of

PAGE = 500
_SLACK_MS = 86_400_000


def events(
    db: Database, *, from_seq: int, since: int | None, types: Sequence[str], job_id: int | None
) -> Iterator[Event]:
    """Stream events from number `from_seq` and time `since` on, oldest first."""
    values: dict[str, Any] = {"since": since or 0, "types": json.dumps(list(types)) if types else None}
    if job_id is not None:
        yield from _of_job(db, job_id, values, from_seq, types)
        return
    if since is not None:
        # The clock may have been turned back: a day before is near enough to begin looking.
        from_seq = max(from_seq, _first_since(db, since - _SLACK_MS))
    while rows := db.rows("look.events_from", **values, from_seq=from_seq, page=PAGE):
        for row in rows:
            yield from _expanded(row, from_seq)
        from_seq = rows[-1][0] + 1


def _expanded(row: Row, from_seq: int) -> Iterator[Event]:
    span = row[3]
    last = event_of(row)
    if span == 1:
        yield last
        return
    # seq and job_id are the last of the run.
    for back in range(min(span - 1, last.seq - from_seq), -1, -1):
        yield replace(last, seq=last.seq - back, job_id=None if last.job_id is None else last.job_id - back)


def _of_job(db: Database, job_id: int, values: dict[str, Any], from_seq: int, types: Sequence[str]) -> Iterator[Event]:
    if not types or "job.enqueued" in types:
        first = _enqueueing(db, job_id)
        if first is not None and first.seq >= from_seq and first.at >= values["since"]:
            yield first
    for row in db.rows("look.events_of", **values, job_id=job_id, from_seq=from_seq):
        yield event_of(row)


def _enqueueing(db: Database, job_id: int) -> Event | None:
    """Find the event of a job's enqueueing; runs of jobs are numbered upwards like the jobs in them."""
    row = db.row("look.first_job_from", place=job_id)
    if row is None or row[0] != job_id:
        return None
    # Its time tells where to look; a day before is for a clock that was turned back meanwhile.
    for slack in (1, _SLACK_MS):
        near = _first_since(db, row[1] - slack)
        found = db.row("look.enqueueing_of", from_seq=near, job_id=job_id)
        # The next run of jobs: ours, if it reaches down to this one.
        if found is not None and found[3] > 0:
            return event_of((*found[:3], 1, *found[4:]))
    return None


def _first_since(db: Database, at: int) -> int:
    return search(lambda place: db.row("look.first_event_from", place=place), (db.value("look.last_seq") or 0) + 1, at)
