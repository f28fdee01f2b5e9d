"""What a person does to jobs: retry, cancel, edit, delete. Each id is changed or refused by itself."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from kiribi_cli.core.job import FINISHED
from kiribi_cli.core.records import dataclass
from kiribi_cli.store.base import Acted, Edit, LogsGo, Refusal, no_logs
from kiribi_cli.store.database import Database
from kiribi_cli.store.events import event
from kiribi_cli.store.insert import holder_of
from kiribi_cli.store.rows import tags_of
from kiribi_cli.store.tally import Tally

# Ids in one transaction: others write in between when a hundred thousand are changed.
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Row:
    """What of a job matters for changing it (statement change.one)."""

    id: int
    job: str
    status: str
    queue: str
    tags: str | None
    attempts: int
    max_attempts: int
    original_attempts: int | None
    run_at: int
    unique_key: str | None
    unique_until: str | None
    unique_hash: bytes | None
    unique_hold: bytes | None

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


class _RefusedError(Exception):
    """This job stays as it is; the message is the sentence for people."""


def retry(
    db: Database, ids: Sequence[int], *, by: str, now: int, force: bool, more: int | None, run_at: Mapping[int, int]
) -> Acted:
    def change(row: _Row) -> None:
        _retry(db, row, by, now, force=force, more=more, run_at=run_at.get(row.id, now))

    acted = _each(db, ids, change)
    db.ring()
    return acted


def _retry(db: Database, row: _Row, by: str, now: int, *, force: bool, more: int | None, run_at: int) -> None:
    status = "scheduled" if run_at > now else "pending"
    if row.status == "retrying":
        # Later than now, it goes on waiting as what it is.
        status = "pending" if run_at <= now else "retrying"
        db.run("change.start_now", id=row.id, status=status, run_at=run_at)
    elif not row.finished:
        raise _RefusedError(f"job {row.id} is {row.status}: it has not ended yet")
    elif row.status == "completed" and not force:
        raise _RefusedError(f"job {row.id} is completed; --force runs it again all the same")
    else:
        granted = more if more is not None else row.original_attempts or row.max_attempts
        _must_change(db.run(
            "change.reopen", id=row.id, was=row.status, status=status, run_at=run_at,
            max_attempts=max(row.attempts + granted, 1), unique_hold=_hold_again(db, row, now),
        ))  # fmt: skip
    moved = event("job.retrying", now, job_id=row.id, job=row.job, from_status=row.status, to_status=status, by=by)
    db.run("turn.event", **moved)


def _hold_again(db: Database, row: _Row, now: int) -> bytes | None:
    """Find what a reopened job holds: its unique key as before, which another may have taken."""
    if row.unique_hash is None or row.unique_until not in ("pending", "unfinished"):
        return row.unique_hold
    holder = holder_of(db.connection, row.unique_hash, now)
    if holder is not None:
        raise _RefusedError(f"job {row.id} cannot run again: its unique key {row.unique_key!r} is held by job {holder}")
    return row.unique_hash


def cancel(db: Database, ids: Sequence[int], *, by: str, now: int, signal: str | None) -> Acted:
    tally = Tally()

    def change(row: _Row) -> None:
        if row.finished:
            raise _RefusedError(f"job {row.id} is {row.status} already")
        if row.status == "running":
            db.run("change.ask_to_cancel", id=row.id, now=now, by=by, signal=signal)
            return
        message = f"cancelled by {by}"
        _must_change(db.run(
            "turn.give_up", id=row.id, status=row.status, now=now, reason="cancelled", message=message, fingerprint="",
        ))  # fmt: skip
        db.run("turn.event", **event(
            "job.cancelled", now, job_id=row.id, job=row.job, from_status=row.status, to_status="cancelled", final=1,
            by=by, reason="cancelled",
        ))  # fmt: skip
        tally.add(row.job, row.queue, tags_of(row.tags), at=now, word="cancelled")

    def count() -> None:
        tally.write(db)
        tally.clear()

    acted = _each(db, ids, change, count)
    db.ring()
    return acted


def edit(db: Database, job_id: int, new: Edit, *, by: str, now: int) -> Acted:
    def change(row: _Row) -> None:
        _edit(db, row, new, by, now)

    acted = _each(db, [job_id], change)
    db.ring()
    return acted


def _edit(db: Database, row: _Row, new: Edit, by: str, now: int) -> None:
    if row.finished or row.status == "running":
        raise _RefusedError(f"job {row.id} is {row.status}: it has started")
    if new.unique_hash is not None and new.unique_hash != row.unique_hash:
        holder = holder_of(db.connection, new.unique_hash, now)
        if holder is not None:
            raise _RefusedError(f"the unique key {new.unique_key!r} is held by job {holder}")
    run_at = row.run_at if new.run_at is None else new.run_at
    status = row.status
    if new.run_at is not None and status != "blocked":
        # A retry stays a retry until it is due.
        status = "pending" if run_at <= now else "retrying" if status == "retrying" else "scheduled"
    _must_change(db.run(
        "change.edit", id=row.id, was=row.status, status=status, run_at=run_at, payload=new.payload,
        options=new.options, queue=new.queue, priority=new.priority,
        max_attempts=new.max_attempts, expires_at=new.expires_at,
        tags=None if new.tags is None else json.dumps(list(new.tags), ensure_ascii=False), unique_key=new.unique_key,
        unique_hash=new.unique_hash,
    ))  # fmt: skip
    changed = [name for name in Edit.__slots__ if getattr(new, name) is not None and name != "unique_hash"]
    db.run("turn.event", **event(
        "job.edited", now, job_id=row.id, job=row.job, from_status=row.status, to_status=status, by=by,
        details=json.dumps({"changed": changed}),
    ))  # fmt: skip


def delete(
    db: Database, ids: Sequence[int], *, by: str, now: int, first: LogsGo = no_logs
) -> tuple[Acted, tuple[int, ...]]:
    going: list[int] = []
    gone: list[int] = []

    def change(row: _Row) -> None:
        if not row.finished:
            raise _RefusedError(f"job {row.id} is {row.status}: cancel it first")
        attempts = [found[0] for found in db.rows("change.attempt_ids", id=row.id)]
        db.run("change.delete_attempts", id=row.id)
        _must_change(db.run("change.delete", id=row.id, was=row.status))
        db.run("turn.event", **event("job.deleted", now, job_id=row.id, job=row.job, from_status=row.status, by=by))
        going.extend(attempts)

    def logs_go() -> None:
        first(going)
        gone.extend(going)
        going.clear()

    return _each(db, ids, change, logs_go), tuple(gone)


def _each(
    db: Database, ids: Sequence[int], change: Callable[[_Row], None], at_last: Callable[[], None] = lambda: None
) -> Acted:
    """Change each job or say why not, so many in one transaction; `at_last` is done at the end of each."""
    changed: list[int] = []
    refused: list[tuple[int, Refusal, str]] = []
    for chunk in _chunks(list(dict.fromkeys(ids))):
        with db.transaction():
            for id_ in chunk:
                found = db.row("change.one", id=id_)
                if found is None:
                    refused.append((id_, "not_found", f"there is no job {id_}"))
                    continue
                try:
                    change(_Row(*found))
                except _RefusedError as refusal:
                    refused.append((id_, "conflict", str(refusal)))
                else:
                    changed.append(id_)
            at_last()
    return Acted(tuple(changed), tuple(refused))


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]


def _must_change(rows: int) -> None:
    if rows != 1:
        # Read in this very transaction, so nobody else can have changed it.
        raise RuntimeError("a job was not in the status it had been read in")
