"""A store, the model of it, and the workers on it. Each verb does a thing to both, and compares what both answer."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import event

from kiribi_cli.core.job import Problem
from kiribi_cli.core.outcome import Usage
from kiribi_cli.core.settle import Cancel, Complete, Fail, Release, Retry, Snooze
from kiribi_cli.core.unique import unique_hash
from kiribi_cli.store.base import Claim, Held, Inserted, Settlement, UniqueTaken, Want
from kiribi_cli.store.connect import driver
from tests.store import agreeing, model
from tests.store.drawn import BACK_MOST, PUBLISHED, START
from tests.store.hand import Hand, begun, settlement
from tests.store.hand import job as new_job

TABLES = ("jobs", "attempts", "events", "stats", "histograms", "workers", "definitions", "sqlite_sequence")


@dataclass(repr=False)
class Mate:
    """A worker as itself sees it: the claims it believes to have, and when those began that it has told of."""

    hand: Hand
    kind: str = "worker"
    alive: bool = True
    buried: bool = False
    claims: list[Claim] = field(default_factory=list)
    past: list[Claim] = field(default_factory=list)
    began: dict[int, int] = field(default_factory=dict)
    # What it found with the dead, and has not taken over yet.
    found: list[Held] = field(default_factory=list)

    @property
    def id(self) -> int:
        return self.hand.id


class Stage:
    """`now` is the time of everybody, and may be turned back."""

    def __init__(self, open_store: Callable[[], Any]) -> None:
        self.open_store = open_store
        self.store = open_store()
        self.opened = [self.store]
        self.now = self.latest = START
        self.world = model.World()
        self.mates: list[Mate] = []
        self.other, self.clock = self._program()
        self.store.publish(
            "/jobs.toml", [_published(name, queue) for name in PUBLISHED for queue in ("default", "fast")]
        )
        for _ in range(2):
            self.hire()
        self.story = agreeing.Story(self.store.last_seq())

    def _program(self) -> tuple[Any, Any]:
        """Connect as a program in any language would; only that its `now` is ours."""
        other, clock = driver.connect(self.store.path, isolation_level=None), driver.connect(":memory:")

        def julianday(text: str) -> float | None:
            if text == "now":
                return 2440587.5 + self.now / 86_400_000
            answer: float | None = clock.execute("SELECT julianday(?)", (text,)).fetchone()[0]
            return answer

        other.create_function("julianday", 1, julianday)
        return other, clock

    def hire(self, kind: str = "worker") -> Mate:
        store = self.store if len(self.mates) % 2 else self.open_store()
        if store is not self.store:
            self.opened.append(store)
        mate = Mate(Hand(store, f"w{len(self.mates)}", now=self.now, kind=kind), kind)
        self.world.workers[mate.id] = mate.hand.worker.name
        self.mates.append(mate)
        return mate

    def crew(self, *, alive: bool | None = None) -> list[Mate]:
        """Those who are not signed off."""
        return [mate for mate in self.mates if not mate.buried and alive in (None, mate.alive)]

    def pass_time(self, ms: int) -> None:
        self.now = max(self.now + ms, self.latest - BACK_MOST)
        self.latest = max(self.now, self.latest)

    # -- enqueueing

    def new(
        self, name: str, queue: str = "default", priority: int = 0, tags: tuple[str, ...] = (), key: str | None = None,
        until: Any = "unfinished", later: int = 0, expires: int | None = None, n: int = 0,
    ) -> model.Job:  # fmt: skip
        """Make a job as the model has it; without a name it is a command."""
        return model.Job(
            0, name or "true", queue, priority, tags, json.dumps({"n": n}), self.now, self.now + later, "",
            expires_at=None if expires is None else self.now + max(later, 0) + expires, adhoc=not name, key=key,
            until=self.now + until if isinstance(until, int) else until,
        )  # fmt: skip

    def row(self, job: model.Job, *, insists: bool = False) -> Any:
        values: dict[str, Any] = {
            "queue": job.queue, "priority": job.priority, "payload": job.payload, "created_at": job.created_at,
            "run_at": job.run_at, "expires_at": job.expires_at, "adhoc": int(job.adhoc), "origin_by": "ann",
            "tags": json.dumps(list(job.tags)) if job.tags else None,
        }  # fmt: skip
        if job.key is not None:
            values |= {
                "unique_key": job.key, "unique_hash": hash_of(job, job.key),
                "unique_until": job.until - self.now if isinstance(job.until, int) else job.until,
                "on_conflict": "error" if insists else "skip",
            }  # fmt: skip
        return new_job(job.name, **values)

    def enqueue(self, news: Sequence[model.Job], *, insists: bool = False) -> None:
        refusal = self.world.conflict(news, [insists] * len(news), self.now)
        rows = [self.row(job, insists=insists) for job in news]
        if refusal is not None:
            event("an enqueue was refused")
            with pytest.raises(UniqueTaken) as raised:
                self.store.insert(rows, now=self.now)
            assert (raised.value.index, raised.value.holder) == refusal
            return
        for job, answer in zip(news, self.store.insert(rows, now=self.now), strict=True):
            known = answer.id in self.world.jobs
            id_ = self.world.enqueue(job, answer.id, "ann", self.now)
            assert (answer.id, answer.deduplicated) == (id_, known)
            if known:
                event("a duplicate was enqueued")

    def run_here(self, mate: Mate, job: model.Job) -> None:
        """As `kiribi run` does: the job is its own, and no other worker's while it lives."""
        got = mate.hand.store.start_here(mate.id, self.row(job), now=self.now)
        if isinstance(got, Inserted):
            assert (got.deduplicated, got.id) == (True, self.world.enqueue(job, got.id, "ann", self.now))
            return
        assert self.world.enqueue(job, got.job_id, "ann", self.now) == got.job_id
        job.own = mate.id
        self.expect(mate, got)

    # -- the turns of workers

    def turn(
        self, mate: Mate, *, begins: Sequence[Claim] = (), ends: Sequence[Settlement] = (),
        returned: Sequence[Claim] = (), want: Want | None = None,
    ) -> None:  # fmt: skip
        """Take a turn; whoever lost all its claims changes nothing at all."""
        world, now, due = self.world, self.now, self.world.next_due()
        began = [begun(claim, self.beginning(mate, claim)) for claim in begins]
        about = [*begins, *(it.claim for it in ends), *returned]
        stale = about and not any(world.live(claim, mate.id) for claim in about)
        before = self.dump() if stale and want is None and (due is None or due > now) else None
        turn = mate.hand.store.turn(
            mate.id, now=now, want=want, began=began, settlements=ends, returned=returned,
            progress=[(claim.attempt_id, str(now)) for claim in begins],
        )  # fmt: skip
        if before is not None:
            event("a worker that lost its claim came back")
            assert self.dump() == before
        for claim, running in zip(begins, began, strict=True):
            world.begin(claim, mate.id, running)
            if (live := world.live(claim, mate.id)) is not None:
                live.progress = str(now)
        lost = tuple(it for it in ends if not world.settle(it, mate.id, now))
        for claim in returned:
            world.give_back(claim, mate.id, now)
        expired = world.come_due(now)
        assert turn.lost == lost
        assert list(turn.expired) == expired
        assert [claim.job_id for claim in turn.claims] == (world.claimable(want) if want else [])
        for claim in turn.claims:
            self.expect(mate, claim)
        self._remember(mate, about[len(begins) :], began)
        self._tell(ends, lost, expired, turn.claims)

    def beginning(self, mate: Mate, claim: Claim) -> int:
        """When it began: as it said itself, or as the launcher said to the worker before, or now."""
        told = self.world.attempts.get(claim.attempt_id)
        return mate.began.get(claim.attempt_id) or (told.started_at if told else self.now - 10)

    def _remember(self, mate: Mate, over: Sequence[Claim], began: Sequence[Any]) -> None:
        gone = {claim.attempt_id for claim in over}
        mate.past += [claim for claim in over if claim not in mate.past]
        mate.claims = [claim for claim in mate.claims if claim.attempt_id not in gone]
        mate.began |= {one.attempt_id: one.started_at for one in began}

    def _tell(self, ends: Any, lost: Any, expired: Any, claims: Any) -> None:
        for happened, what in (
            (claims, "jobs were claimed"), (lost, "a claim was lost"), (len(lost) < len(ends), "an attempt ended"),
            (expired, "a job expired"),
            (any(move.type == "job.superseded" for move in self.world.moves), "a job was superseded"),
        ):  # fmt: skip
            if happened:
                event(what)

    def expect(self, mate: Mate, claim: Claim) -> None:
        """A claim says what the model says of the job."""
        job = self.world.jobs[claim.job_id]
        first = job.first_started_at is None
        self.world.claim(job.id, claim.attempt_id, mate.id)
        assert (claim.job, claim.adhoc, claim.queue, claim.priority, claim.tags, claim.payload) == (
            job.name, job.adhoc, job.queue, job.priority, job.tags, job.payload,
        )  # fmt: skip
        assert (claim.attempt, claim.attempts, claim.max_attempts, claim.snoozes, claim.interruptions) == (
            job.attempt, job.attempts, job.max_attempts, job.snoozes, job.interruptions,
        )  # fmt: skip
        assert (claim.run_at, claim.created_at, claim.first) == (job.run_at, job.created_at, first)
        mate.claims.append(claim)

    def end(self, mate: Mate, claim: Claim, how: str) -> Settlement:
        """What a worker says of an attempt that is over. Of one that it took over it hears anew that it began."""
        told = claim.attempt_id in mate.began
        started = self.beginning(mate, claim)
        values: dict[str, Any] = {
            "started_at": started, "duration_ms": 10 + claim.job_id % 3, "usage": Usage(4, 2, 1024 + claim.job_id),
            "running": None if told else begun(claim, started), "log_bytes": claim.attempt_id,
        }  # fmt: skip
        never = {"started_at": None, "running": None, "duration_ms": 0, "usage": Usage()}
        lost = never | {"outcome": "worker_lost", "error": Problem("worker_lost", "its worker died", "aa")}
        decision, more = {
            "complete": (Complete(), {"exit_code": 0, "result": "1" if claim.job_id % 2 else None}),
            "other code": (Complete(), {"exit_code": 3}),
            "retry": (Retry(self.now + 2000), {"exit_code": 1}),
            "retry now": (Retry(self.now), {"outcome": "timed_out", "error": Problem("timeout", "late", "bb")}),
            "fail": (Fail("final_code"), {"exit_code": 65}),
            "snooze": (Snooze(self.now + 3000), {"exit_code": 75}),
            "release": (Release(), {}),
            "untouched": (Release(), never),
            "cancel": (Cancel("bob"), {}),
            "lost": (Retry(self.now + 1000), lost),
            "lost for good": (Fail("attempts_used"), lost),
            "never started": (Fail("never_started"), lost | {"outcome": "never_started"}),
        }[how]
        return settlement(claim, decision, self.now, **values | more)

    # -- workers that die

    def die(self, mate: Mate) -> None:
        mate.hand.die()
        mate.alive = False

    def take_over(self, mate: Mate, held: Sequence[Held]) -> None:
        taken = mate.hand.store.take_over(held, by=mate.id, now=self.now)
        assert taken == [one.claim for one in held if self.world.take_over(one.claim, one.worker_id, mate.id)]
        mate.claims += [claim for claim in taken if claim not in mate.claims]
        if taken:
            event("a rescue took over live attempts")
        if len(taken) < len(held):
            event("a rescuer came too late")

    # -- all of it

    def agrees(self) -> None:
        """Compare everything that can be read with everything that is known."""
        agreeing.jobs_agree(self.store, self.world)
        agreeing.keys_agree(self.store, self.world)
        agreeing.attempts_agree(self.store, self.world)
        agreeing.statistics_agree(self.store, self.world, START - 3 * model.HOUR, self.latest + 3 * model.HOUR)
        self.story.agrees(self.store, self.world)
        assert list(self.store.verify()) == []

    def dump(self, connection: Any = None) -> list[Any]:
        """Every row of every table."""
        return [(connection or self.other).execute(f"SELECT * FROM {table}").fetchall() for table in TABLES]

    def close(self) -> None:
        for mate in self.mates:
            mate.hand.die()
        for store in self.opened:
            store.close()
        self.other.close()
        self.clock.close()


def _published(name: str, queue: str) -> Any:
    return {
        "job": name, "queue": queue, "own": int(queue == "default"), "kind": "command", "priority": 0, "tags": None,
        "max_attempts": model.ATTEMPTS, "options": None, "expires_ms": None, "payload_max": 1000, **PUBLISHED[name],
    }  # fmt: skip


def hash_of(job: model.Job, key: str) -> bytes:
    return unique_hash("" if job.adhoc else job.name, key)
