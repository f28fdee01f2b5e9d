"""Whether a store agrees with the model: everything that can be read of it, compared with everything that is known."""

from collections import Counter
from typing import Any

from tests.store.model import Attempt, Job, Move, World

# As they are called in both.
OF_JOB = (
    "id", "adhoc", "status", "queue", "priority", "tags", "payload", "created_at", "run_at", "expires_at", "attempts",
    "attempt", "max_attempts", "snoozes", "interruptions", "first_started_at", "wait_ms", "started_at", "finished_at",
    "duration_ms", "total_ms", "exit_code", "reason", "result", "progress", "worker",
)  # fmt: skip
OF_ATTEMPT = (
    "id", "job_id", "attempt", "started_at", "worker", "outcome", "decision", "exit_code", "finished_at", "duration_ms",
    "log_bytes", "next_attempt_at", "pid",
)  # fmt: skip
OF_HOUR = (
    "completed", "failed", "cancelled", "skipped", "retried", "attempts", "duration_ms_sum", "duration_ms_max",
    "wait_ms_sum", "wait_ms_max", "cpu_ms_sum", "max_rss_bytes",
)  # fmt: skip


def jobs_agree(store: Any, world: World) -> None:
    # With a time before all others each status is what is written.
    seen = {one.id: one for one in store.jobs(range(1, world.highest_id + 9), now=0)}
    assert sorted(seen) == sorted(world.jobs)
    for id_, job in world.jobs.items():
        assert _seen_job(seen[id_]) == _known_job(job)


def _seen_job(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in OF_JOB} | {
        "name": one.job, "key": one.unique_key, "error": one.error.kind if one.error else None, "token": one.attempt_id,
        "cancel_at": one.cancel_requested_at, "cancel_by": one.cancel_requested_by,
    }  # fmt: skip


def _known_job(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in (*OF_JOB, "name", "key", "error", "token", "cancel_at", "cancel_by")}


def keys_agree(store: Any, world: World) -> None:
    held = {id_ for (id_,) in store._db.connection.execute("SELECT id FROM jobs WHERE unique_hold IS NOT NULL")}
    assert held == {id_ for id_, job in world.jobs.items() if job.holds}


def attempts_agree(store: Any, world: World) -> None:
    known: dict[int, list[dict[str, Any]]] = {}
    for _, one in sorted(world.attempts.items()):
        known.setdefault(one.job_id, []).append(_known_attempt(one))
    for id_ in world.jobs:
        assert [_seen_attempt(one) for one in store.attempts(id_)] == known.get(id_, [])


def _seen_attempt(one: Any) -> dict[str, Any]:
    cpu = None if one.cpu_user_ms is None else one.cpu_user_ms + one.cpu_system_ms
    return {name: getattr(one, name) for name in OF_ATTEMPT} | {
        "error": one.error.kind if one.error else None, "cpu_ms": cpu,
    }  # fmt: skip


def _known_attempt(one: Attempt) -> dict[str, Any]:
    return {name: getattr(one, name) for name in (*OF_ATTEMPT, "error", "cpu_ms")}


def statistics_agree(store: Any, world: World, since: int, until: int) -> None:
    seen: Counter[tuple[Any, ...]] = Counter()
    times: Counter[tuple[Any, ...]] = Counter()
    for dimension in ("job", "tag", "error"):
        for row in store.hours(dimension, since=since, until=until):
            where = dimension, row.key, row.queue, row.hour
            seen[*where, "rows"] += 1
            for column in OF_HOUR:
                if getattr(row, column):
                    seen[*where, column] = getattr(row, column)
        for one in store.histogram(dimension, since=since, until=until, hourly=True):
            times[dimension, one.key, one.queue, one.hour, one.measure, one.bucket] = one.n
    assert seen == world.stats
    assert times == world.times


class Story:
    """The events read so far: each move once, in order, without a gap in the numbers; the same for each job alone."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        # Those up to here have been swept.
        self.swept = 0
        self.of_job: dict[int, list[tuple[int, Move]]] = {}

    def agrees(self, store: Any, world: World) -> None:
        told: dict[int, list[Move]] = {}
        for one in store.events(from_seq=self.seq + 1):
            assert one.seq == self.seq + 1
            self.seq = one.seq
            if one.job_id is not None:
                told.setdefault(one.job_id, []).append(_move(one))
                self.of_job.setdefault(one.job_id, []).append((one.seq, _move(one)))
        known: dict[int, list[Move]] = {}
        for move in world.moves:
            known.setdefault(move.job_id, []).append(move._replace(final=move.final or None))
        world.moves.clear()
        assert told == known
        assert store.last_seq() in (self.seq, 0 if self.swept == self.seq else self.seq)
        for id_ in known.keys() & world.jobs.keys():
            alone = [(one.seq, _move(one)) for one in store.events(job_id=id_)]
            assert alone == [(seq, move) for seq, move in self.of_job[id_] if seq > self.swept]

    def sweep_agrees(self, store: Any, before: int) -> None:
        """What has gone is the oldest, nothing in between, and nothing that is younger than `before`."""
        left = [one.seq for one in store.events()]
        was, self.swept = self.swept, max(self.swept, left[0] - 1 if left else self.seq)
        assert left == list(range(self.swept + 1, self.seq + 1))
        gone = [move for told in self.of_job.values() for seq, move in told if was < seq <= self.swept]
        assert all(move.at < before for move in gone)


def _move(one: Any) -> Move:
    return Move(
        one.type, one.job_id, one.at, one.from_status, one.to_status, one.attempt, one.final or None, one.exit_code,
        one.by, one.reason,
    )  # fmt: skip
