"""Faults to plant in a store, to see whether the tests can fail: each breaks one promise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from kiribi_cli.store import change, claim, insert, settle, statements, sweep, tally, turn
from kiribi_cli.store.database import by_position
from kiribi_cli.store.sqlite import SqliteStore

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Plant:
    """One fault. `breaks`: the promise of semantics.md that is gone with it.

    `sql`: (statement, its text, the faulty text) to be changed; `schema`: (a piece of the schema, what stands there
    instead), or a statement; `code`: a patch.
    """

    name: str
    breaks: str
    sql: tuple[tuple[str, str, str], ...] = ()
    schema: tuple[tuple[str, str], ...] = ()
    code: Patch | None = None


@contextmanager
def planted(plant: Plant) -> Iterator[None]:
    """Change statements and code; what is done to the schema is done to a file (`spoil`)."""
    before = dict(statements._known)
    by_position.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for name, old, new in plant.sql:
            text = statements.statement(name)
            assert old in text, f"{plant.name}: {name} does not say {old!r}"
            statements._known[name] = text.replace(old, new)
        if plant.schema:
            # It would say at once that the schema is not ours; what that costs is to be found.
            patch.setattr(SqliteStore, "verify", lambda _: iter(()))
        if plant.code is not None:
            plant.code(patch)
        try:
            yield
        finally:
            statements._known.clear()
            statements._known.update(before)
            by_position.cache_clear()


def spoil(connection: Any, plant: Plant) -> None:
    """Change the schema of an empty database."""
    connection.execute("PRAGMA writable_schema=ON")
    for old, new in plant.schema:
        if old.startswith("DROP"):
            connection.execute(old)
            continue
        sql = "UPDATE sqlite_schema SET sql = replace(sql, :old, :new) WHERE instr(sql, :old)"
        assert connection.execute(sql, {"old": old, "new": new}).rowcount >= 1, f"{plant.name}: no {old!r}"
    connection.execute("PRAGMA writable_schema=RESET")


def _instead(module: Any, name: str, made: Callable[[Any], Any]) -> Patch:
    """Put in the place of a function what `made` makes of it."""
    return lambda patch: patch.setattr(module, name, made(getattr(module, name)))


def _no_holder(_: Any) -> Any:
    """As if somebody took the key between the look and the write."""
    return lambda connection, unique_hash, now: None


def _without(*types: str) -> Callable[[Any], Any]:
    """Events of these types are forgotten."""
    return lambda events: lambda *args: [one for one in events(*args) if one["type"] not in types]


def _commit_first(come_due: Any) -> Any:
    def come_due_later(db: Any, now: int) -> Any:
        db.connection.execute("COMMIT")
        db.connection.execute("BEGIN IMMEDIATE")
        return come_due(db, now)

    return come_due_later


def _event(type_: str, column: str, wrong: str) -> tuple[str, str, str]:
    return "turn.event", f":{column}", f"iif(:type = '{type_}', {wrong}, :{column})"


def _no_event(type_: str) -> tuple[str, str, str]:
    """Forget one type."""
    values = ":at, :type, :job_id, :job, :from_status, :to_status, :attempt, :final, :exit_code, :by, :reason, :details"
    return "turn.event", f"VALUES ({values})", f"SELECT {values} WHERE :type <> '{type_}'"


MINE = " AND worker_id = :worker_id"
TOKEN = " AND attempt_id = :attempt_id"

FENCE = (
    Plant("anybody settles", "4: a worker that lost its claim changes nothing", sql=(
        ("turn.held", MINE, ""), ("turn.settle", MINE, ""))),
    Plant("an old token settles what ran", "4: every attempt has a number of its own, the fence", sql=(
        ("turn.ran_jobs", " AND +jobs.attempt_id = ran.id", ""),)),
    Plant("a lost claim is not told", "4: what is refused is logged, so it is told", code=_instead(
        settle, "_settle_each", lambda real: lambda *args: real(*args) and ())),
    Plant("anybody begins", "4: a zombie's beginning moves no time of the job", sql=(("turn.began_job", MINE, ""),)),
    Plant("anybody begins an attempt", "4: nor makes it an attempt", sql=(("turn.began_attempt", MINE, ""),)),
    Plant("anybody tells of a beginning", "4: nor stands in its story", sql=(("turn.began_event", MINE, ""),)),
    Plant("an old token begins", "4: nor with a number that is over", sql=(("turn.began_job", TOKEN, ""),)),
    Plant("anybody gives back", "4: a zombie cannot make pending what runs elsewhere", sql=(
        ("turn.held", MINE, ""), ("turn.give_back", MINE, ""))),
    Plant("anybody tells of progress", "4: nor write its progress", sql=(
        ("turn.progress", "worker_id = :worker_id", ":worker_id > 0"),)),
    Plant("an old token tells of progress", "4: nor with an old number", sql=(
        ("turn.progress", "attempt_id = :attempt_id", ":attempt_id > 0"),)),
    Plant("two rescuers", "10: two rescuers never work at once", sql=(("workers.take_over", MINE, ""),)),
    Plant("the lost go on", "10: a worker that was declared lost can do nothing", sql=(
        ("turn.worker_name", " AND stopped_at IS NULL", ""),)),
    Plant("a beginning is told twice", "2: each move once in the story", sql=(
        ("turn.began_event", "AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.id = :attempt_id)", ""),)),
    Plant("a short beginning is told twice", "2: also by the end of an attempt", sql=(
        ("turn.started", "WHERE NOT EXISTS (SELECT 1 FROM attempts WHERE id = :attempt_id)", ""),)),
    Plant("the dead keep the name", "10: what was taken over is its new worker's", sql=(
        ("workers.take_over", "worker = (SELECT name FROM workers WHERE id = :by)", "worker = worker"),)),
)  # fmt: skip

GUARDS = (
    Plant("what waits is claimed too early", "4: what is not due does not run", sql=(
        ("turn.due", "AND run_at <= :now", ""),)),
    Plant("a retry never comes due", "5: the next try comes", sql=(
        ("turn.due", "status IN ('scheduled', 'retrying')", "status = 'scheduled'"),)),
    Plant("what runs is claimed by hand", "4: two attempts of one job never run at once", sql=(
        ("turn.this_one", "status = 'pending'", "status IN ('pending', 'running')"), ("turn.start", " AND status = 'pending'", ""))),
    Plant("what has ended is claimed by hand", "2: what has ended does not run by itself", sql=(
        ("turn.this_one", "status = 'pending'", "status IN ('pending', 'failed')"), ("turn.start", " AND status = 'pending'", ""))),
    Plant("what has ended is cancelled", "2: only the legal moves", code=_instead(
        change._Row, "finished", lambda _: property(lambda row: row.status == "completed"))),
    Plant("what has not ended is deleted", "12: nothing is deleted that has not ended", sql=(
        ("change.delete", " AND finished_at IS NOT NULL", ""),
        ("change.one", "SELECT id, job, status", "SELECT id, job, iif(status = 'scheduled', 'failed', status) AS status"),
        ("change.delete", " AND status = :was", ""))),
    Plant("what runs is reopened", "2: only what has ended is run again", code=_instead(
        change._Row, "finished", lambda _: property(lambda row: row.status != "pending"))),
    Plant("what is completed runs again", "2: only with --force", code=_instead(
        change, "_retry", lambda real: lambda *args, **values: real(*args, **{**values, "force": True}))),
    Plant("a sweep deletes what runs again", "12: a sweep asks again before it deletes", sql=(
        ("sweep.still_finished", " AND finished_at IS NOT NULL", ""), ("sweep.delete_jobs", " AND finished_at IS NOT NULL", ""))),
    Plant("a worker leaves with jobs", "10: no job is left behind", sql=(
        ("workers.holds_something", "WHERE ", "WHERE 0 AND "),)),
    Plant("a cancelled job comes back", "5: what was cancelled while it ran does not wait again", sql=(
        ("turn.held", "cancel_requested_at", "NULL"),)),
    Plant("a cancel outlives a retry", "2: what is run again was not cancelled", sql=(
        ("change.reopen", "cancel_requested_at = NULL, ", ""),)),
    Plant("the expired run", "3: what is too late does not start", sql=(
        ("turn.too_late", "AND status <> 'running'", "AND status = 'scheduled'"),)),
    Plant("nobody looks whether something expires", "3: an idle queue expires, too", sql=(
        ("turn.next_expiry", "AND status <> 'running'", "AND status = 'scheduled'"),)),
    Plant("a transaction in two", "4: one transaction: all of a turn, or nothing", code=_instead(
        turn, "_come_due", _commit_first)),
)  # fmt: skip

ORDER = (
    Plant("priority means nothing", "4: higher priority first", sql=(
        ("turn.in_lane", "ORDER BY priority DESC, run_at, id", "ORDER BY run_at, id"),)),
    Plant("the newest first", "4: then older first", sql=(
        ("turn.in_lane", "priority DESC, run_at, id", "priority DESC, run_at DESC, id DESC"),)),
    Plant("lanes are not ordered", "4: also among definitions", code=_instead(
        claim, "_rank", lambda real: lambda row: (0, *real(row)[1:]))),
    Plant("one too many of a definition or queue", "7: concurrency holds", code=_instead(
        claim, "_left", lambda real: lambda limit, *rest: real(None if limit is None else limit + 1, *rest))),
    Plant("a limit is in the way of all", "4: what cannot run now does not block others behind it", code=_instead(
        claim, "room", lambda real: lambda *args: _first_lane(real(*args)))),
)  # fmt: skip

UNIQUE = (
    Plant("no index", "6: the database enforces it", schema=(("DROP INDEX jobs_unique", ""),)),
    Plant("a race for a key", "6: no race can break it (here the index stands)", code=_instead(
        insert, "holder_of", _no_holder)),
    Plant("a race without the index", "6: and here two jobs hold one key", schema=(("DROP INDEX jobs_unique", ""),),
          code=_instead(insert, "holder_of", _no_holder)),
    Plant("a key is not let go at the end", "6: until it has ended", sql=(
        ("turn.settle", "WHEN :ended_at IS NOT NULL AND unique_until IN ('pending', 'unfinished') THEN NULL", ""),)),
    Plant("a key is not let go by what ran", "6: the same", sql=(
        ("turn.ran_jobs", "unique_until IN ('pending', 'unfinished') THEN NULL", "unique_until = 'pending' THEN NULL"),)),
    Plant("a key is not let go by what gives up", "6: the same", sql=(
        ("turn.give_up", "unique_until IN ('pending', 'unfinished') THEN NULL", "unique_until = 'pending' THEN NULL"),)),
    Plant("a key is let go too early", "6: unfinished means until it has ended", sql=(
        ("turn.start", "unique_until = 'pending'", "unique_until IS NOT NULL"),)),
    Plant("a key is kept by what started", "6: pending means until it starts", sql=(
        ("turn.start", "unique_until = 'pending'", "0"),)),
    Plant("a retry does not take its key again", "6: waiting again, it is in the way again", sql=(
        ("turn.settle", "WHEN :ended_at IS NULL AND unique_until = 'pending' THEN unique_hash", ""),)),
    Plant("duplicates are not coalesced", "6: a retry that would collide is coalesced", code=_instead(
        settle, "holder_of", _no_holder)),
    Plant("a period ends with the job", "6: a period lasts from enqueue, whatever becomes of the job", sql=(
        ("turn.settle", "unique_until IN ('pending', 'unfinished') THEN NULL", "1 THEN NULL"),)),
    Plant("a reopened job has no key", "6: run again, it is unique again", sql=(
        ("change.reopen", "unique_hold = :unique_hold", "unique_hold = NULL"),)),
    Plant("an edit takes a key that is held", "6: whoever changes the payload", code=_instead(
        change, "holder_of", _no_holder)),
    Plant("SQL deletes the holder", "6: by every door", schema=(
        ("DELETE FROM jobs WHERE id = last_insert_rowid() AND unique_hash IS NOT unique_hold;",
         "DELETE FROM jobs WHERE unique_hash = (SELECT unique_hash FROM jobs WHERE id = last_insert_rowid());"),)),
    Plant("SQL asks nobody", "6: by every door, also where a conflict is an error", schema=(
        ("WHERE id = last_insert_rowid() AND unique_hash IS NOT unique_hold AND on_conflict = 'error'",
         "WHERE id = last_insert_rowid() AND 0"),)),
)  # fmt: skip

COUNTED = (
    Plant("a snooze spends the attempt", "5: attempt refunded", sql=(
        ("turn.settle", "attempts = attempts - :refund", "attempts = attempts"),)),
    Plant("a lost worker refunds", "5: a job that kills its worker runs out of attempts", code=_instead(
        settle, "_apply", lambda real: lambda written, tally, it, *rest: (
            real(written, tally, it, *rest),
            it.outcome == "worker_lost" and written.jobs[-1].update(refund=1)))),
    Plant("given back but spent", "4: a claim given back leaves no trace", sql=(
        ("turn.give_back", "attempts = attempts - 1", "attempts = attempts"),)),
    Plant("snoozes are not counted", "5: at most max_snoozes", sql=(("turn.settle", "snoozes + :snoozed", "snoozes"),)),
    Plant("what never began was interrupted", "5: at most five times", code=_instead(
        settle, "_apply", lambda real: lambda written, tally, it, *rest: (
            real(written, tally, it, *rest), written.jobs[-1].update(interrupted=int(it.outcome == "interrupted"))))),
    Plant("a retry grants nothing", "2: attempts are appended", sql=(
        ("change.reopen", "max_attempts = :max_attempts", "max_attempts = max_attempts"),)),
    Plant("a token comes back", "4: never reused", sql=(
        ("turn.take_attempt_ids", "seq = seq + :n", "seq = (SELECT coalesce(max(id), 0) FROM attempts) + :n"),)),
    Plant("an id comes back", "3: an id never returns", schema=(
        ("id INTEGER PRIMARY KEY AUTOINCREMENT,\n  job TEXT", "id INTEGER PRIMARY KEY,\n  job TEXT"),)),
    Plant("the wait begins anew", "5: first start - due", sql=(
        ("turn.began_job", "CASE WHEN first_started_at IS NULL THEN max(:started_at - run_at, 0) ELSE wait_ms END",
         "max(:started_at - run_at, 0)"),)),
    Plant("a result of another", "5: each attempt keeps its own", sql=(
        ("turn.ran_result", "WHERE id = :job_id", "WHERE id >= :job_id"),)),
    Plant("a time of another", "5: each attempt keeps its own", sql=(
        ("turn.ran_jobs", "finished_at = ran.finished_at", "finished_at = ran.started_at"),)),
)  # fmt: skip

TOLD = (
    Plant("a cancel is not told", "2: every move is an event", sql=(_no_event("job.cancelled"),)),
    Plant("an expiry is not told", "2: every move is an event", sql=(_no_event("job.expired"),)),
    Plant("an edit is told wrongly", "2: from, to", sql=(_event("job.edited", "from_status", "'pending'"),)),
    Plant("a retry is told wrongly", "2: from, to", sql=(_event("job.retrying", "to_status", "'pending'"),)),
    Plant("nobody did it", "2: by whom", sql=(_event("job.cancelled", "by", "NULL"),)),
    Plant("an interruption is not told", "2: every move is an event", code=_instead(
        settle, "_events", _without("job.interrupted"))),
    Plant("a lost worker is not told", "5: worker lost", code=_instead(settle, "_events", _without("job.worker_lost"))),
    Plant("a batch is one short", "2: a job of a batch has its event", code=_instead(
        insert, "event_of", lambda real: lambda row, seq, span, *rest: real(row, seq, max(span - 1, 1), *rest))),
    Plant("counted twice", "12: statistics", code=_instead(
        tally.Tally, "add", lambda real: lambda self, *args, **values: (real(self, *args, **values), real(self, *args, **values)))),
    Plant("counted and not added", "12: statistics", sql=(
        ("turn.add_stats", "failed = failed + excluded.failed", "failed = excluded.failed"),)),
    Plant("a give-up is not counted", "12: statistics", code=_instead(
        turn, "Tally", lambda real: type("Lazy", (real,), {"write": lambda self, db: None}))),
    Plant("counted in another queue", "12: statistics", sql=(("turn.add_stats", ":queue", "'default'"),)),
    Plant("what was put off is measured", "12: durations of work that was done", code=_instead(
        settle, "_apply", lambda real: lambda written, tally, it, *rest: (
            real(written, tally, it, *rest),
            it.outcome == "snoozed" and tally.add(it.claim.job, it.claim.queue, (), at=it.finished_at, durations_ms=(1,))))),
    Plant("due is not pending", "2: due counts as pending", sql=(("now.timed_all", "count(*) FILTER (WHERE run_at <= :now)", "0"),)),
    Plant("a period is swept", "6: a period outlives its job", sql=(
        ("sweep.of_status", "unique_hold IS NOT NULL AND CAST(unique_until AS INTEGER) > :now", "0"),
        ("sweep.of_name", "unique_hold IS NOT NULL AND CAST(unique_until AS INTEGER) > :now", "0"))),
    Plant("the young are swept", "12: by age", code=_instead(
        sweep, "_is_old", lambda real: lambda keep, status, job, at, now: real(keep, status, job, at, now + 60_000))),
    Plant("attempts are left behind", "12: deleted with their job", sql=(("sweep.delete_attempts", "WHERE ", "WHERE 0 AND "),)),
)  # fmt: skip

# Without its CHECK or key the database takes what no program may write.
NONSENSE = tuple(
    Plant(f"no check: {old[:60]}", "2: the database refuses nonsense", schema=((old, new),))
    for old, new in (
        (" OR status = 'failed' OR status = 'cancelled' OR status = 'skipped')", " OR status <> '')"),
        ("CHECK ((attempt_id IS NOT NULL) = (status = 'running'))", "CHECK (1)"),
        ("CHECK ((worker_id IS NOT NULL) = (status = 'running'))", "CHECK (1)"),
        (
            "CHECK ((finished_at IS NOT NULL) = (status = 'completed' OR status = 'failed'",
            "CHECK ((1) = (1 OR status = 'failed'",
        ),
        ("CHECK (unique_hold IS NULL OR unique_hold = unique_hash)", "CHECK (1)"),
        ("CHECK (attempts >= 0)", ""),
        ("CHECK ((outcome = 'running') = (finished_at IS NULL))", "CHECK (1)"),
        ("CHECK ((outcome = 'running') = (decision IS NULL))", "CHECK (1)"),
        ("CHECK ((stopped_at IS NOT NULL) = (state IN ('stopped', 'lost')))", "CHECK (1)"),
    )
)


def _first_lane(room: Any) -> Any:
    room.heads = sorted(room.heads)[:1]
    return room


PLANTS = (*FENCE, *GUARDS, *ORDER, *UNIQUE, *COUNTED, *TOLD, *NONSENSE)
