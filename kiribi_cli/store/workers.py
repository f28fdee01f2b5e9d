"""Workers in the database: registering, stopping, dying, and what they held."""

import json
from collections.abc import Sequence

from kiribi_cli import clock
from kiribi_cli.store import liveness
from kiribi_cli.store.base import CancelRequest, Claim, DeclaredLost, Held, NewWorker, Worker
from kiribi_cli.store.database import Database, Row
from kiribi_cli.store.events import event
from kiribi_cli.store.rows import tags_of, worker_of
from kiribi_cli.store.tally import Tally
from kiribi_cli.store.turn import own_lane


def register(db: Database, worker: NewWorker, now: int) -> int:
    with db.transaction():
        values = {
            "name": worker.name, "host": worker.host, "pid": worker.pid, "process": worker.process,
            "version": worker.version, "kind": worker.kind,
            "slots": worker.slots, "config_path": worker.config_path, "now": now,
            "queues": None if worker.queues is None else json.dumps(dict(worker.queues)),
        }  # fmt: skip
        db.run("workers.add", **values)
        id_ = int(db.value("insert.last_id"))
        db.run("turn.event", **event("worker.started", now, by=worker.name))
    return id_


def deregister(db: Database, worker_id: int, *, lost: bool, now: int) -> None:
    row = db.row("workers.one", id=worker_id)
    if row is None:
        return
    with db.transaction():
        if db.row("workers.holds_something", id=worker_id):
            raise RuntimeError(f"worker {worker_id} still holds jobs")
        if lost and row[6] == "run":
            _leave_waiting(db, worker_id, now)
        if db.run("workers.stop", id=worker_id, state="lost" if lost else "stopped", now=now):
            db.run("turn.event", **event("worker.lost" if lost else "worker.stopped", now, by=row[1]))
    liveness.forget(db.run_dir, row[1], row[3], row[4])


def _leave_waiting(db: Database, worker_id: int, now: int) -> None:
    """A `kiribi run` died between two attempts: workers go on with a definition, a command's environment is gone."""
    for id_, job, queue, tags, status, adhoc in db.rows("workers.left_waiting", lane=own_lane(worker_id)):
        if not adhoc:
            db.run("workers.to_usual_lane", id=id_)
            continue
        message = "the kiribi run that it belonged to is gone"
        db.run("turn.give_up", id=id_, status=status, now=now, reason="worker_lost", message=message, fingerprint="")
        values = event("job.cancelled", now, job_id=id_, job=job, from_status=status, to_status="cancelled", final=1,
                       reason="worker_lost")  # fmt: skip
        db.run("turn.event", **values)
        tally = Tally()
        tally.add(job, queue, tags_of(tags), at=now, word="cancelled")
        tally.write(db)


def heartbeat(db: Database, worker_id: int, state: str, now: int, *, low_disk: bool, config_error: str | None) -> None:
    """Raises DeclaredLost when others have taken it for lost meanwhile."""
    with db.transaction():
        values = {"id": worker_id, "state": state, "low_disk": int(low_disk), "config_error": config_error}
        if not db.run("workers.heartbeat", now=now, **values):
            raise DeclaredLost(worker_id)


def ask_to_stop(db: Database, worker_ids: Sequence[int], how: str) -> None:
    with db.transaction():
        db.run_many("workers.ask_to_stop", [{"id": id_, "how": how} for id_ in worker_ids])
    db.ring()


def cancel_requests(db: Database, worker_id: int) -> list[CancelRequest]:
    return [CancelRequest(*row) for row in db.rows("workers.cancel_requests", id=worker_id)]


def listed(db: Database, stopped_since: int | None) -> list[Worker]:
    rows = db.rows("workers.unstopped")
    gone = [] if stopped_since is None else db.rows("workers.stopped_since", since=stopped_since)
    return sorted([_seen(db, row) for row in rows] + [worker_of(row, alive=False) for row in gone], key=lambda w: w.id)


def dead(db: Database) -> list[Worker]:
    return [worker for row in db.rows("workers.unstopped") if not (worker := _seen(db, row)).alive]


def _seen(db: Database, row: Row) -> Worker:
    # The only place of the store that reads the clock: whoever asks who is alive means now.
    alive = liveness.is_alive(db.run_dir, row[1], row[3], row[4], heartbeat_at=row[10], now=clock.now_ms())
    return worker_of(row, alive=alive)


def held_by(db: Database, worker_id: int) -> list[Held]:
    return [_held(row, worker_id) for row in db.rows("workers.held_by", id=worker_id)]


def declare_lost(db: Database, worker: Worker, by: int, silent_ms: int, now: int) -> list[Held] | None:
    with db.transaction():
        # One transaction: whoever wakes up meanwhile either shows that it lives before this, or finds itself fenced.
        if not db.run("workers.declare_lost", id=worker.id, heartbeat_at=worker.heartbeat_at, now=now):
            return None
        held = held_by(db, worker.id)
        for one in held:
            _move(db, one, by)
        details = json.dumps({"silent_ms": silent_ms, "declared_by": by})
        db.run("turn.event", **event("worker.lost", now, by=worker.name, reason="silent", details=details))
    liveness.forget(db.run_dir, worker.name, worker.pid, worker.process)
    return held


def _held(row: Row, worker_id: int) -> Held:
    (
        id_, job, kind, adhoc, queue, priority, tags, payload, options, attempt, attempts, max_attempts, snoozes,
        interruptions, run_at, created_at, first, schedule, scheduled_for, flow, step, attempt_id, pid, process,
        started_at,
    ) = row  # fmt: skip
    claim = Claim(
        attempt_id, id_, job, kind, bool(adhoc), queue, priority, tags_of(tags), payload, options, attempt, attempts,
        max_attempts, snoozes, interruptions, run_at, created_at, bool(first), schedule, scheduled_for, flow, step,
    )  # fmt: skip
    return Held(claim, pid, process, started_at, worker_id)


def take_over(db: Database, held: Sequence[Held], by: int) -> list[Claim]:
    if not held:
        return []
    with db.transaction():
        return [one.claim for one in held if _move(db, one, by)]


def _move(db: Database, one: Held, by: int) -> bool:
    claim = one.claim
    token = {"job_id": claim.job_id, "attempt_id": claim.attempt_id, "worker_id": one.worker_id}
    return bool(db.run("workers.take_over", by=by, **token))
