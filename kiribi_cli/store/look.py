"""Reading single things and what stands now. Lists of jobs are found in find.py, events in story.py."""

import json
from collections.abc import Sequence

from kiribi_cli.core.job import Attempt, Job, Status
from kiribi_cli.store.base import Bucketed, HourRow, Now
from kiribi_cli.store.database import Database
from kiribi_cli.store.rows import attempt_of, job_of

# As long as failed jobs are kept by default.
_RECENT_MS = 31 * 86_400_000
_HOUR_MS = 3_600_000
# Of what waits for a time, so many are looked at for the names that they have.
_FIRST = 1_000


def jobs(db: Database, ids: Sequence[int], now: int) -> list[Job]:
    """Read jobs in the order of `ids`; those that are not there are left out."""
    found = {row[0]: row for row in db.rows("look.jobs", ids=json.dumps(list(ids)))}
    return [job_of(found[id_], now) for id_ in ids if id_ in found]


def job(db: Database, job_id: int, now: int) -> Job | None:
    found = jobs(db, [job_id], now)
    return found[0] if found else None


def running(db: Database) -> list[Job]:
    return jobs(db, [row[0] for row in db.rows("look.running")], now=0)


def latest(db: Database, name: str | None, nth: int) -> int | None:
    if name is None:
        found = db.value("look.latest", skip=nth - 1)
    else:
        found = db.value("look.latest_named", job=name, skip=nth - 1)
    return None if found is None else int(found)


def attempts(db: Database, job_id: int) -> list[Attempt]:
    return [attempt_of(row) for row in db.rows("look.attempts_of", job_id=job_id)]


def attempt(db: Database, attempt_id: int) -> Attempt | None:
    row = db.row("look.attempt", id=attempt_id)
    return attempt_of(row) if row else None


def queues(db: Database, now: int) -> list[str]:
    return sorted(row[0] for row in db.rows("now.queues", since=now - _RECENT_MS, most=_FIRST))


def has_queue(db: Database, queue: str, now: int) -> bool:
    return bool(db.value("now.has_queue", queue=queue, since=now - _RECENT_MS))


def waiting_names(db: Database) -> list[str]:
    """Name the definitions that something waits for: by the lanes of what is pending, and by the first timed jobs."""
    lanes = {lane for _, lane, *_ in db.rows("turn.heads") if lane and ":" not in lane}
    return sorted(lanes.union(row[0] for row in db.rows("now.timed_names", most=_FIRST)))


def standing(db: Database, now: int, names: Sequence[str]) -> Now:
    """Count what is not finished: as long as the backlog, never as the history."""
    values = {"names": json.dumps(list(names)) if names else None, "now": now}
    which = "named" if names else "all"
    with db.snapshot():
        pending, oldest = db.rows(f"now.pending_{which}", **values)[0]
        due, first, scheduled, retrying = db.rows(f"now.timed_{which}", **values)[0]
        running = db.value("now.running", **values)
        blocked = db.value("now.blocked", **values)
    if due:
        oldest = first if oldest is None else min(oldest, first)
    return Now(pending + due, running, scheduled, retrying, blocked, oldest)


def ahead_of(db: Database, job: Job, at_most: int) -> int:
    """Count through the index of each lane of its queue; a backlog behind the job is not looked at."""
    if job.status is not Status.PENDING:
        return 0
    total = 0
    for queue, lane, *_ in db.rows("turn.heads"):
        if queue != job.queue or total >= at_most:
            continue
        place = {"queue": queue, "lane": lane, "priority": job.priority}
        total += db.value("look.ahead_in_lane", **place, most=at_most - total)
        total += db.value("look.ahead_in_priority", **place, run_at=job.run_at, id=job.id, most=max(at_most - total, 0))
    return min(total, at_most)


def hours(db: Database, dimension: str, since: int, until: int, key: str | None) -> list[HourRow]:
    rows = db.rows("now.hours", dimension=dimension, since=since - since % _HOUR_MS, until=until, key=key)
    return [HourRow(*row) for row in rows]


def histogram(db: Database, dimension: str, since: int, until: int, key: str | None, *, hourly: bool) -> list[Bucketed]:
    # An empty blob is greater than any text.
    low, high = ("", b"") if key is None else (key, key)
    rows = db.rows(
        "now.histogram", dimension=dimension, since=since - since % _HOUR_MS, until=until, low=low, high=high,
        hourly=hourly,
    )  # fmt: skip
    return [Bucketed(*row) for row in rows]
