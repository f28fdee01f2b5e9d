"""Settling: ends attempts and moves their jobs, where the claim still holds. Has no opinions: the decision is given."""

from collections.abc import Sequence
from typing import Any, assert_never

from kiribi_cli.core.job import EventType, Problem
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.core.settle import Cancel, Complete, Decision, Fail, Release, Retry, Snooze
from kiribi_cli.store import trouble
from kiribi_cli.store.base import Settlement
from kiribi_cli.store.database import Database, Row
from kiribi_cli.store.events import event
from kiribi_cli.store.insert import holder_of
from kiribi_cli.store.ran import is_of_that_kind, settle_ran
from kiribi_cli.store.tally import Tally


@dataclass(frozen=True, slots=True)
class Superseded:
    """It would wait again, but a job with the same unique key waits already and does the work."""

    holder: int


@dataclass(frozen=True, slots=True)
class Move:
    """Where a decision takes the job."""

    word: str
    status: str
    event: EventType
    reason: str | None = None
    run_at: int | None = None
    counted: str | None = None
    final: bool = False
    error: Problem | None = None
    details: str | None = None


def move(decision: Decision | Superseded, settlement: Settlement) -> Move:
    match decision:
        case Complete():
            return Move("complete", "completed", "job.completed", "completed", counted="completed", final=True)
        case Retry(at):
            return Move("retry", "retrying", "job.retrying", "backoff", at, counted="retried", error=settlement.error)
        case Snooze(at):
            return Move("snooze", "scheduled", "job.snoozed", "snoozed", at)
        case Release():
            return Move("release", "pending", "job.interrupted")
        case Fail(reason):
            return Move("fail", "failed", "job.failed", reason, counted="failed", final=True, error=settlement.error)
        case Cancel(by):
            error = Problem("cancelled", f"cancelled by {by}", "")
            return Move(
                "cancel", "cancelled", "job.cancelled", "cancelled", counted="cancelled", final=True, error=error
            )
        case Superseded(holder):
            error = Problem("superseded", f"job {holder} with the same unique key does the work", "")
            return Move(
                "cancel", "cancelled", "job.superseded", "superseded", counted="cancelled", final=True, error=error,
                details=f'{{"holder":{holder}}}',
            )  # fmt: skip
        case _:
            assert_never(decision)


@dataclass(slots=True)
class _Written:
    """What one turn writes, statement by statement."""

    # What began and ended between two turns: told before the rows of the attempts are written.
    started: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    lost: list[Settlement] = field(default_factory=list)


def settle(
    db: Database, worker_id: int, worker: str, host: str, settlements: Sequence[Settlement], now: int
) -> tuple[Settlement, ...]:
    """Apply settlements within the caller's transaction; answer those whose claim is lost: they change nothing."""
    if not settlements:
        return ()
    tally = Tally()
    ran = [it for it in settlements if is_of_that_kind(it)]
    rest = settlements
    if settle_ran(db, worker_id, worker, host, ran, now, tally):
        rest = [it for it in settlements if not is_of_that_kind(it)] if len(ran) < len(settlements) else ()
    lost = _settle_each(db, worker_id, worker, host, rest, now, tally)
    tally.write(db)
    return lost


def _settle_each(
    db: Database, worker_id: int, worker: str, host: str, settlements: Sequence[Settlement], now: int, tally: Tally
) -> tuple[Settlement, ...]:
    if not settlements:
        return ()
    held: dict[int, Row] = {row[0]: row for row in db.rows("turn.held", worker_id=worker_id)}
    written = _Written()
    for settlement in settlements:
        live = held.pop(settlement.claim.attempt_id, None)
        if live is None or live[1] != settlement.claim.job_id:
            written.lost.append(settlement)
            continue
        decision = _final_decision(db, live, settlement.decision, now)
        _apply(written, tally, settlement, move(decision, settlement), worker_id, worker, host)
        if isinstance(decision, (Retry, Snooze, Release)) and live[4] == "pending":
            # It takes its unique key again, at once: the next one of this turn must see it.
            _write_moves(db, written)
    _write_moves(db, written)
    db.run_many("turn.event", written.events)
    return tuple(written.lost)


def _final_decision(db: Database, live: Row, decision: Decision, now: int) -> Decision | Superseded:
    _, _, cancelled_by, cancelled_at, unique_until, unique_hash = live
    if isinstance(decision, (Complete, Fail, Cancel)):
        return decision
    if cancelled_at is not None:
        # Asked for while it ran; it must not come back.
        return Cancel(cancelled_by or "")
    if unique_until == "pending" and (holder := holder_of(db.connection, unique_hash, now)) is not None:
        return Superseded(holder)
    return decision


def _apply(written: _Written, tally: Tally, it: Settlement, to: Move, worker_id: int, worker: str, host: str) -> None:
    claim, error = it.claim, to.error
    # By what happened, also where the job then ends for another reason.
    refund = isinstance(it.decision, (Snooze, Release))
    values = {
        "job_id": claim.job_id, "attempt_id": claim.attempt_id, "exit_code": it.exit_code, "signal": it.signal,
        "error_kind": error.kind if error else None, "error_message": error.message if error else None,
        "error_fingerprint": error.fingerprint if error else None, "started_at": it.started_at,
        "duration_ms": it.duration_ms,
    }  # fmt: skip
    written.jobs.append(values | {
        "status": to.status, "worker_id": worker_id, "run_at": to.run_at,
        "ended_at": it.finished_at if to.final else None,
        "refund": int(refund), "snoozed": int(to.word == "snooze"), "reason": to.reason,
        # Given back untouched is no interruption of anything.
        "interrupted": int(to.word == "release" and it.started_at is not None), "result": it.result,
    })  # fmt: skip
    own = it.error or error
    written.attempts.append(values | {
        "attempt": claim.attempt, "worker": worker, "host": host,
        "outcome": it.outcome, "decision": to.word, "finished_at": it.finished_at, "next_attempt_at": to.run_at,
        "error_kind": own.kind if own else None, "error_message": own.message if own else None,
        "error_fingerprint": own.fingerprint if own else None, "cpu_user_ms": it.usage.cpu_user_ms,
        "cpu_system_ms": it.usage.cpu_system_ms, "max_rss_bytes": it.usage.max_rss_bytes, "log_bytes": it.log_bytes,
        "pid": it.running.pid if it.running else None, "process": it.running.process if it.running else None,
        "command": it.running.command if it.running else None, "cwd": it.running.cwd if it.running else None,
    })  # fmt: skip
    if it.running is not None:
        written.started.append(_started(it, worker))
    written.events.extend(_events(it, to, worker))
    # What was cut short or put off says nothing about how long the work takes.
    measured = it.started_at is not None and not refund
    tally.add(
        claim.job, claim.queue, claim.tags, at=it.finished_at, error=it.error if to.word in ("retry", "fail") else None,
        word=to.counted, attempts=1, durations_ms=(it.duration_ms,) if measured else (),
        waits_ms=(max(it.started_at - claim.run_at, 0),) if claim.first and it.started_at is not None else (),
        cpu_ms=it.usage.cpu_user_ms + it.usage.cpu_system_ms, max_rss_bytes=it.usage.max_rss_bytes,
    )  # fmt: skip


def _events(it: Settlement, to: Move, worker: str) -> list[dict[str, Any]]:
    claim = it.claim
    moved = event(
        to.event, it.finished_at, job_id=claim.job_id, job=claim.job, from_status="running", to_status=to.status,
        attempt=claim.attempt, final=1 if to.final else 0, exit_code=it.exit_code, by=worker, reason=to.reason,
        details=to.details,
    )  # fmt: skip
    if it.outcome != "worker_lost":
        return [moved]
    lost = event(
        "job.worker_lost", it.finished_at, job_id=claim.job_id, job=claim.job, attempt=claim.attempt, by=worker
    )
    return [lost, moved]


def _started(it: Settlement, worker: str) -> dict[str, Any]:
    claim = it.claim
    return {
        "at": it.finished_at if it.started_at is None else it.started_at, "job_id": claim.job_id, "job": claim.job,
        "attempt": claim.attempt, "by": worker, "attempt_id": claim.attempt_id,
    }  # fmt: skip


def _write_moves(db: Database, written: _Written) -> None:
    """Write both sides; each names the state it expects, and all of them must have found it."""
    if written.started:
        db.run_many("turn.started", written.started)
    moved = db.run_many("turn.settle", written.jobs) if written.jobs else 0
    ended = db.run_many("turn.end_attempt", written.attempts) if written.attempts else 0
    if moved != len(written.jobs) or ended != len(written.attempts):
        raise trouble.disagrees(db.path)
    written.started.clear()
    written.jobs.clear()
    written.attempts.clear()
