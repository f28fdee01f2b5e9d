"""Reads the whole history once, job by job: its row, its attempts, its events, side by side, and counts what it reads.

Every stream comes sorted by job, so memory does not grow with the history. What must be so stands in core/audit.py.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any

from kiribi_cli.core.audit import AttemptRow, JobRow, Told, job_problems, story_problems
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.store.connect import patiently
from kiribi_cli.store.database import Database, Row
from kiribi_cli.store.statements import statement
from kiribi_cli.store.tally import HOUR_MS

_NEVER = 1 << 63
# Attempts by decision, and their durations: what the statistics of an hour must hold.
WORDS = ("attempts", "complete", "fail", "retry", "cancel", "ms", "ms_max", "ms_all")


@dataclass(slots=True)
class Counted:
    """What the history says to the hourly statistics: by (name of the job, hour), errors by (fingerprint, hour).

    `cancelled`: moves to cancelled. `complete`: nothing was ever deleted, so statistics count neither less nor more.
    """

    complete: bool
    jobs: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    errors: dict[tuple[str, int], int] = field(default_factory=dict)
    cancelled: dict[tuple[str, int], int] = field(default_factory=dict)


class _Stream:
    """Rows that come sorted by job; gives those of one job at a time."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)
        self.job_id = _NEVER if self._next is None else self._next[0]

    def of(self, job_id: int) -> list[Row]:
        """Take the rows of this job; it must be the lowest that is left."""
        found: list[Row] = []
        row = self._next
        while row is not None and row[0] == job_id:
            found.append(row)
            row = next(self._rows, None)
        self._next = row
        self.job_id = _NEVER if row is None else row[0]
        return found


def audit(db: Database, counted: Counted) -> Iterator[str]:
    """Say what is broken about jobs, attempts and events, within the caller's snapshot; fills `counted`."""
    swept_to = db.value("house.swept_to")
    counted.complete = counted.complete and swept_to == 0
    enqueued = _Stream(_enqueued(db))
    # Of older jobs the first events may have been swept.
    whole_from = 0 if swept_to == 0 else enqueued.job_id
    jobs, attempts = _Stream(_all(db, "jobs")), _Stream(_all(db, "attempts"))
    moves, ran = _Stream(_all(db, "moves")), _Stream(_all(db, "ran"))
    streams = (jobs, attempts, enqueued, moves, ran)
    while (job_id := min(stream.job_id for stream in streams)) != _NEVER:
        found = jobs.of(job_id)
        rows = attempts.of(job_id)
        told, names = _told(enqueued.of(job_id), moves.of(job_id), ran.of(job_id), counted)
        if not found:
            for row in rows[:1]:
                yield f"attempt {row[1]} belongs to job {job_id}, which is not there"
            yield from story_problems(job_id, None, told, whole=False)
            continue
        job = JobRow._make((*found[0][:11], found[0][11:]))
        if names - {job.job}:
            yield f"job {job_id} is a {job.job}, but its events are of {', '.join(sorted(names - {job.job}))}"
        yield from job_problems(job, [_attempt(row) for row in rows], told, whole=job_id >= whole_from)
        yield from _shared_events(job_id, rows, told, swept_to)
        _count(counted, job, rows)


def _all(db: Database, what: str) -> Iterator[Row]:
    return iter(patiently(db.connection, statement(f"house.all_{what}")))


def _enqueued(db: Database) -> Iterator[Row]:
    for last, seq, span, status, job in _all(db, "enqueued"):
        for back in range(span - 1, -1, -1):
            yield last - back, seq - back, status, job


def _attempt(row: Row) -> AttemptRow:
    return AttemptRow._make((*row[1:6], row[6] or 0, (*row[7:10], row[6])))


def _told(enqueued: list[Row], moves: list[Row], ran: list[Row], counted: Counted) -> tuple[list[Told], set[str]]:
    """Put the events of a job in order, and collect the names of jobs in them."""
    told = [Told(seq, "job.enqueued", None, status, None) for _, seq, status, _ in enqueued]
    names = {row[3] for row in enqueued}
    for _, seq, kind, before, after, attempt, at, job in moves:
        told.append(Told(seq, kind, before, after, attempt))
        names.add(job)
        if after == "cancelled":
            _add(counted.cancelled, (job, _hour(at)), 1)
    for _, seq, attempt, _, job in ran:
        told.append(Told(seq, "job.started", "pending", "running", attempt))
        told.append(Told(seq, "job.completed", "running", "completed", attempt))
        names.add(job)
    if len(told) > 1:
        told.sort(key=itemgetter(0))
    return told, names


def _shared_events(job_id: int, rows: list[Row], told: list[Told], swept_to: int) -> Iterator[str]:
    """An attempt that says where its events stand is told of there, unless they have been swept."""
    for row in rows:
        seq = row[10]
        if seq is not None and seq > swept_to and not any(one.seq == seq and one.attempt == row[2] for one in told):
            yield f"attempt {row[1]} of job {job_id} says that event {seq} tells of it, and it does not"


def _count(counted: Counted, job: JobRow, rows: list[Row]) -> None:
    for row in rows:
        decision, finished_at, ms = row[4], row[5], row[6] or 0
        if finished_at is None:
            continue
        hour = _hour(finished_at)
        tally = counted.jobs.get((job.job, hour))
        if tally is None:
            tally = counted.jobs[job.job, hour] = dict.fromkeys(WORDS, 0)
        tally["attempts"] += 1
        tally["ms_all"] += ms
        if decision in ("complete", "fail", "retry"):
            tally["ms"] += ms
            tally["ms_max"] = max(tally["ms_max"], ms)
        if decision in tally:
            tally[decision] += 1
        if row[9] is not None and decision in ("fail", "retry"):
            _add(counted.errors, (row[9], hour), 1)


def _hour(at: int) -> int:
    return at - at % HOUR_MS


def _add(counts: dict[Any, int], key: Any, times: int) -> None:
    counts[key] = counts.get(key, 0) + times
