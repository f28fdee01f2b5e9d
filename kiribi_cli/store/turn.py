"""One turn of a worker: what began, ended, is due, is too late, can start: one transaction, one fsync."""

from collections.abc import Sequence

from kiribi_cli.core.durations import spell
from kiribi_cli.core.job import NewJob
from kiribi_cli.store import claim as claiming
from kiribi_cli.store.base import Claim, DeclaredLost, Inserted, Running, Settlement, Turn, Want
from kiribi_cli.store.database import Database, Row
from kiribi_cli.store.events import event
from kiribi_cli.store.insert import holder_of, insert_jobs
from kiribi_cli.store.rows import tags_of
from kiribi_cli.store.settle import settle
from kiribi_cli.store.tally import Tally

# So that a turn stays short when a million jobs come due at once; the next turn goes on.
DUE_AT_ONCE = 2000


def take_turn(
    db: Database, worker_id: int, *, now: int, want: Want | None, began: Sequence[Running],
    settlements: Sequence[Settlement], progress: Sequence[tuple[int, str]], returned: Sequence[Claim] = (),
) -> Turn:  # fmt: skip
    """As Store.turn promises. An idle worker that finds nothing writes nothing."""
    if not (began or settlements or progress or returned) and not _is_something_to_do(db, want, now):
        return Turn()
    with db.transaction():
        name, host = _worker(db, worker_id)
        _record_begun(db, worker_id, name, host, began)
        _record_progress(db, worker_id, progress)
        lost = settle(db, worker_id, name, host, settlements, now)
        _give_back(db, worker_id, name, returned, now)
        due, expired = _come_due(db, now)
        claims: tuple[Claim, ...] = ()
        if want is not None and want.slots > 0:
            claims = claiming.start(db, claiming.pick(db, want), worker_id, name)
    return Turn(claims, lost, due >= DUE_AT_ONCE or len(expired) >= DUE_AT_ONCE, expired)


def _is_something_to_do(db: Database, want: Want | None, now: int) -> bool:
    moment = next_due(db)
    if moment is not None and moment <= now:
        return True
    return want is not None and want.slots > 0 and bool(claiming.room(db, want).heads)


def next_due(db: Database) -> int | None:
    moments = [m for m in (db.value("turn.next_due"), db.value("turn.next_expiry")) if m is not None]
    return min(moments, default=None)


def _worker(db: Database, worker_id: int) -> tuple[str, str]:
    row = db.row("turn.worker_name", worker_id=worker_id)
    if row is None:
        raise DeclaredLost(worker_id)
    return row[0], row[1]


def _record_begun(db: Database, worker_id: int, worker: str, host: str, began: Sequence[Running]) -> None:
    if not began:
        return
    values = [one._asdict() | {"worker_id": worker_id, "worker": worker, "host": host} for one in began]
    # The row of the attempt last: by it the others know what has been told already, to the worker before us.
    db.run_many("turn.began_job", values)
    db.run_many("turn.began_event", values)
    db.run_many("turn.began_attempt", values)


def _record_progress(db: Database, worker_id: int, progress: Sequence[tuple[int, str]]) -> None:
    if progress:
        db.run_tuples("turn.progress", [(text, worker_id, attempt_id) for attempt_id, text in progress])


def _give_back(db: Database, worker_id: int, worker: str, returned: Sequence[Claim], now: int) -> None:
    """Undo claims that never began. One that is cancelled, or whose unique key is taken meanwhile, ends instead."""
    held: dict[int, Row] = {row[0]: row for row in db.rows("turn.held", worker_id=worker_id)} if returned else {}
    tally = Tally()
    for claim in returned:
        live = held.pop(claim.attempt_id, None)
        if live is None:
            continue
        holder = holder_of(db.connection, live[5], now) if live[4] == "pending" else None
        token = {"job_id": claim.job_id, "attempt_id": claim.attempt_id}
        db.run("turn.give_back", **token, worker_id=worker_id, take=int(holder is None))
        if live[3] is not None:
            _end_unstarted(db, claim, "cancelled", f"cancelled by {live[2] or ''}", worker, now)
        elif holder is not None:
            _end_unstarted(db, claim, "superseded", f"job {holder} with the same unique key does the work", worker, now)
        else:
            continue
        tally.add(claim.job, claim.queue, claim.tags, at=now, word="cancelled")
    tally.write(db)


def _end_unstarted(db: Database, claim: Claim, reason: str, message: str, worker: str, now: int) -> None:
    db.run("turn.give_up", id=claim.job_id, status="pending", now=now, reason=reason, message=message, fingerprint="")
    db.run("turn.event", **event(
        f"job.{reason}", now, job_id=claim.job_id, job=claim.job, from_status="running", to_status="cancelled", final=1,
        by=worker, reason=reason,
    ))  # fmt: skip


def _come_due(db: Database, now: int) -> tuple[int, tuple[int, ...]]:
    """Move what is due to pending and end what is too late. To look whether there is any costs a tenth of that."""
    moment = next_due(db)
    if moment is None or moment > now:
        return 0, ()
    return db.run("turn.due", now=now, most=DUE_AT_ONCE), _expire(db, now)


def _expire(db: Database, now: int) -> tuple[int, ...]:
    rows = db.rows("turn.too_late", now=now, most=DUE_AT_ONCE)
    if not rows:
        return ()
    tally = Tally()
    for id_, job, queue, tags, status, created_at, expires_at in rows:
        message = f"not started within {spell(expires_at - created_at)}"
        db.run("turn.give_up", id=id_, status=status, now=now, reason="expired", message=message, fingerprint="")
        db.run("turn.event", **event(
            "job.expired", now, job_id=id_, job=job, from_status=status, to_status="cancelled", final=1,
            reason="expired",
        ))  # fmt: skip
        tally.add(job, queue, tags_of(tags), at=now, word="cancelled")
    tally.write(db)
    return tuple(row[0] for row in rows)


def start_here(db: Database, worker_id: int, job: NewJob, now: int) -> Claim | Inserted:
    """Insert and claim at once, in a lane of its own, which no worker knows."""
    mine: NewJob = {**job, "lane": own_lane(worker_id), "on_conflict": "skip"}
    with db.transaction():
        name, _ = _worker(db, worker_id)
        ((id_, deduplicated),) = insert_jobs(db.connection, [mine], now)
        if deduplicated:
            return Inserted(id_, deduplicated=True)
        return claiming.start(db, db.rows("turn.this_one", id=id_), worker_id, name)[0]


def own_lane(worker_id: int) -> str:
    # No definition is called that: names hold no colon.
    return f"run:{worker_id}"


def claim_job(db: Database, worker_id: int, job_id: int, now: int) -> Claim | None:
    """Claim this very job, whatever limits and times say; None if it is not waiting."""
    with db.transaction():
        name, _ = _worker(db, worker_id)
        db.run("turn.make_pending", id=job_id, now=now)
        row = db.row("turn.this_one", id=job_id)
        if row is None:
            return None
        return claiming.start(db, [row], worker_id, name)[0]
