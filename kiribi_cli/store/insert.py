"""Stores new jobs, one or many, and says under which ids. On the hot path: plain values, light imports."""

from kiribi_cli.store.statements import statement

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from typing import Any

    from kiribi_cli.core.job import NewJob

_DEFAULTS = {
    "adhoc": 0, "queue": "default", "priority": 0, "tags": None, "payload": None, "options": None, "max_attempts": 3,
    "unique_key": None, "unique_until": None, "unique_hash": None, "expires_at": None, "parent": None,
    "origin_kind": "cli", "origin_by": "",
}  # fmt: skip


def insert_jobs(connection: "sqlite3.Connection", jobs: "Sequence[NewJob]", now: int) -> "list[tuple[int, bool]]":
    """Insert within the caller's write transaction; answer (id, deduplicated) for each, in order.

    A job whose unique key is held answers with the holder's id, or raises UniqueTaken (on_conflict "error"):
    then the caller must roll back.
    """
    rows: list[dict[str, Any]] = []
    # For each job the id of the holder, or minus (1 + position among the new rows), whose ids come with the insert.
    places: list[int] = []
    taken: dict[bytes, int] = {}
    for index, job in enumerate(jobs):
        unique = job.get("unique_hash")
        if unique is not None:
            place = taken.get(unique) or holder_of(connection, unique, now)
            if place is not None:
                if job.get("on_conflict") == "error":
                    raise _unique_taken(index, max(place, 0), job)
                places.append(place)
                continue
            taken[unique] = -1 - len(rows)
        places.append(-1 - len(rows))
        rows.append(row_of(job, now))
    first = _insert(connection, rows, now) if rows else 0
    seen: set[int] = set()
    answers = []
    for place in places:
        answers.append((place, True) if place > 0 else (first - 1 - place, place in seen))
        seen.add(place)
    return answers


def row_of(job: "NewJob", now: int) -> "dict[str, Any]":
    """The columns of a new job, defaults in place."""
    row: dict[str, Any] = {**_DEFAULTS, **job}
    row.setdefault("created_at", now)
    run_at = row.setdefault("run_at", row["created_at"])
    row["status"] = "scheduled" if run_at > now else "pending"
    row.setdefault("lane", "" if row["adhoc"] else row["job"])
    if row["unique_hash"] is not None:
        until = row["unique_until"]
        row["unique_until"] = str(now + until) if isinstance(until, int) else until or "unfinished"
    row.pop("on_conflict", None)
    return row


def holder_of(connection: "sqlite3.Connection", unique_hash: bytes, now: int) -> int | None:
    """Find who holds a unique key; a hold whose period is over is let go in passing."""
    found = connection.execute(statement("insert.holder"), {"unique_hash": unique_hash}).fetchone()
    if found is None:
        return None
    holder, until = found
    if until not in ("pending", "unfinished") and int(until) <= now:
        connection.execute(statement("insert.free_hold"), {"id": holder})
        return None
    return int(holder)


def _unique_taken(index: int, holder: int, job: "NewJob") -> Exception:
    from kiribi_cli.store.base import UniqueTaken

    return UniqueTaken(index, holder, job.get("unique_key") or "")


def _insert(connection: "sqlite3.Connection", rows: "list[dict[str, Any]]", now: int) -> int:
    """Insert rows and their events; answer the first id. Ids of one write transaction follow each other."""
    if len(rows) == 1:
        connection.execute(statement("insert.job"), rows[0])
    else:
        _execute_many(connection, "insert.job", rows)
    last = int(connection.execute(statement("insert.last_id")).fetchone()[0])
    first = last - len(rows) + 1
    if len(rows) == 1:
        # No number needed: what the database counts up by itself is right for a run of one.
        connection.execute(statement("insert.enqueued"), event_of(rows[0], None, 1, first, now))
    else:
        _execute_many(connection, "insert.enqueued", _events(rows, first, last_seq(connection), now))
    return first


def _execute_many(connection: "sqlite3.Connection", name: str, rows: "Iterable[dict[str, Any]]") -> None:
    from kiribi_cli.store.database import by_position

    sql, values_of = by_position(name)
    connection.executemany(sql, map(values_of, rows))


def _events(rows: "list[dict[str, Any]]", first: int, seq: int, now: int) -> "Iterable[dict[str, Any]]":
    """One event for each run of jobs alike; seq and job_id are those of its last."""
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or not _alike(rows[start], rows[end]):
            yield event_of(rows[start], seq + end, end - start, first + end - 1, now)
            start = end


def last_seq(connection: "sqlite3.Connection") -> int:
    """Number of the latest event there has been."""
    found = connection.execute(statement("insert.last_seq")).fetchone()
    return (found[0] if found else 0) or 0


def _alike(one: "dict[str, Any]", other: "dict[str, Any]") -> bool:
    return bool(
        one["job"] == other["job"] and one["status"] == other["status"] and one["origin_by"] == other["origin_by"]
    )


def event_of(row: "dict[str, Any]", seq: int | None, span: int, job_id: int, now: int) -> "dict[str, Any]":
    """The event of `span` jobs enqueued together; `seq` and `job_id` are those of the last."""
    return {
        "seq": seq, "at": now, "span": span, "job_id": job_id, "job": row["job"], "to_status": row["status"],
        "by": row["origin_by"] or None,
    }  # fmt: skip
