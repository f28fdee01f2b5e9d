"""Events as they are read: in order, and where one row stands for many, expanded into one event each."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kiribi_cli.core.job import Event
from kiribi_cli.core.records import replace
from kiribi_cli.store.database import Database, Row
from kiribi_cli.store.rows import event_of
from kiribi_cli.store.span import SLACK_MS, first_event_since

PAGE = 500


def events(
    db: Database, *, from_seq: int, since: int | None, types: Sequence[str], job_id: int | None
) -> Iterator[Event]:
    """Stream events from number `from_seq` and time `since` on, oldest first."""
    values: dict[str, Any] = {"since": since or 0, "types": json.dumps(list(types)) if types else None}
    if job_id is not None:
        yield from _of_job(db, job_id, values, from_seq, types)
        return
    if since is not None:
        from_seq = max(from_seq, first_event_since(db, since - SLACK_MS))
    while rows := db.rows("look.events_from", **values, from_seq=from_seq, page=PAGE):
        for row in rows:
            yield from _wanted(_expanded(row, from_seq), from_seq, values["since"], types)
        from_seq = rows[-1][0] + 1


def _wanted(events: Iterable[Event], from_seq: int, since: int, types: Sequence[str]) -> Iterator[Event]:
    """Of the events of one row, those that were asked for."""
    return (one for one in events if one.seq >= from_seq and one.at >= since and (not types or one.type in types))


def _expanded(row: Row, from_seq: int) -> Iterator[Event]:
    span = row[3]
    if row[2] == "job.ran":
        yield from _ran(row)
        return
    last = event_of(row)
    if span == 1:
        yield last
        return
    # seq and job_id are the last of the run.
    for back in range(min(span - 1, last.seq - from_seq), -1, -1):
        yield replace(last, seq=last.seq - back, job_id=None if last.job_id is None else last.job_id - back)


def _ran(row: Row) -> Iterator[Event]:
    """Attempts that began and completed between two turns of their worker: two events for each."""
    last, _, _, span, _, job, _, _, _, _, _, by, _, details = row
    for place, (job_id, attempt, started_at, finished_at) in enumerate(json.loads(details)):
        seq = last - span + 1 + 2 * place
        yield Event(seq, started_at, "job.started", job_id, job, "pending", "running", attempt, by=by)
        yield Event(
            seq + 1, finished_at, "job.completed", job_id, job, "running", "completed", attempt,
            final=True, exit_code=0, by=by, reason="completed",
        )  # fmt: skip


def _of_job(db: Database, job_id: int, values: dict[str, Any], from_seq: int, types: Sequence[str]) -> Iterator[Event]:
    if not types or "job.enqueued" in types:
        first = _enqueueing(db, job_id)
        if first is not None and first.seq >= from_seq and first.at >= values["since"]:
            yield first
    own = [event_of(row) for row in db.rows("look.events_of", **values, job_id=job_id, from_seq=from_seq)]
    shared = [
        event
        for row in db.rows("look.shared_events_of", job_id=job_id)
        for event in _wanted(_ran(row), from_seq, values["since"], types)
        if event.job_id == job_id
    ]
    yield from sorted(own + shared, key=lambda event: event.seq)


def _enqueueing(db: Database, job_id: int) -> Event | None:
    """Find the event of a job's enqueueing; runs of jobs are numbered upwards like the jobs in them."""
    row = db.row("look.first_job_from", place=job_id)
    if row is None or row[0] != job_id:
        return None
    # Its time tells where to look; some time before is for a clock that was turned back meanwhile.
    for slack in (1, SLACK_MS):
        near = first_event_since(db, row[1] - slack)
        found = db.row("look.enqueueing_of", from_seq=near, job_id=job_id)
        # The next run of jobs: ours, if it reaches down to this one.
        if found is not None and found[3] > 0:
            return event_of((*found[:3], 1, *found[4:]))
    return None
