"""Attempts that began and completed between two turns: most of them, where jobs are short. Written all together."""

import json
from collections.abc import Sequence

from kiribi_cli.core.settle import Complete
from kiribi_cli.store.base import Settlement
from kiribi_cli.store.database import Database
from kiribi_cli.store.tally import Tally

# Attempts whose events share a row; reading one of them reads all.
TOGETHER = 250


def is_of_that_kind(it: Settlement) -> bool:
    """Tell whether nothing is to be said of it but that it ran: exit 0, nobody has been told of its beginning."""
    return (
        it.decision.__class__ is Complete
        and it.running is not None
        and it.exit_code == 0
        and it.error is None
        and it.started_at is not None
    )


def settle_ran(
    db: Database, worker_id: int, worker: str, host: str, ran: Sequence[Settlement], now: int, tally: Tally
) -> bool:
    """Write all of them, within the caller's transaction. False, and nothing is changed: not every claim holds."""
    if not ran:
        return True
    db.connection.execute("SAVEPOINT ran")
    if not _write(db, worker_id, worker, host, ran, now):
        db.connection.execute("ROLLBACK TO ran")
        db.connection.execute("RELEASE ran")
        return False
    db.connection.execute("RELEASE ran")
    tally.add_ran(ran)
    return True


def _write(db: Database, worker_id: int, worker: str, host: str, ran: Sequence[Settlement], now: int) -> bool:
    seqs = _write_events(db, worker, ran, now)
    rows = [_attempt(it, worker, host, seq) for it, seq in zip(ran, seqs, strict=True)]
    if db.run_tuples("turn.ran_attempt", rows) != len(ran):
        return False
    ids = json.dumps([it.claim.attempt_id for it in ran])
    if db.run("turn.ran_jobs", ids=ids, worker_id=worker_id) != len(ran):
        return False
    results = [(it.result, it.claim.job_id) for it in ran if it.result is not None]
    if results:
        db.run_tuples("turn.ran_result", results)
    return True


def _attempt(it: Settlement, worker: str, host: str, event_seq: int) -> tuple[object, ...]:
    claim, usage, running = it.claim, it.usage, it.running
    assert running is not None  # noqa: S101  (is_of_that_kind)
    return (
        claim.attempt_id, claim.job_id, claim.attempt, it.started_at, it.finished_at, it.duration_ms,
        usage.cpu_user_ms, usage.cpu_system_ms, usage.max_rss_bytes, it.log_bytes, worker, host, running.pid,
        running.process, running.command, running.cwd, event_seq,
    )  # fmt: skip


def _write_events(db: Database, worker: str, ran: Sequence[Settlement], now: int) -> list[int]:
    """Write the events, some hundred attempts of one definition to a row; answer the number of the row of each."""
    seq = db.value("insert.last_seq") or 0
    seqs = [0] * len(ran)
    rows = []
    for job, places in _by_job(ran).items():
        for begin in range(0, len(places), TOGETHER):
            some = places[begin : begin + TOGETHER]
            seq += 2 * len(some)
            details = [
                (it.claim.job_id, it.claim.attempt, it.started_at, it.finished_at)
                for it in (ran[place] for place in some)
            ]
            rows.append((seq, now, 2 * len(some), job, worker, json.dumps(details, separators=(",", ":"))))
            for place in some:
                seqs[place] = seq
    db.run_tuples("turn.ran_event", rows)
    return seqs


def _by_job(ran: Sequence[Settlement]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, it in enumerate(ran):
        places.setdefault(it.claim.job, []).append(place)
    return places
