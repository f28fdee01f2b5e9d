"""Whatever people, workers, programs and accidents do to a store, in any order; after each step the store is asked
whether it agrees with the model (model.py)."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kiribi_cli.actions.why import explain
from kiribi_cli.core.definition import Retention
from kiribi_cli.core.job import Status
from kiribi_cli.core.settle import Complete
from kiribi_cli.errors import KiribiError
from kiribi_cli.store.base import Claim, Edit, Filter, Keep, Settlement, Want
from kiribi_cli.store.connect import driver
from tests.store import drawn, model
from tests.store.drawn import BACK_MOST, EVERYTHING, MINUTE, NONSENSE, PERIOD, PUBLISHED
from tests.store.hand import begun
from tests.store.stage import Mate, Stage, hash_of

SOME_JOBS = precondition(lambda self: self.world.jobs)


class Accident(Exception):
    """Something that nobody thought of, in the middle of a transaction."""


class Failing:
    """What a worker wants; to ask how much of it is an accident. By then all else of the turn has been written."""

    @property
    def slots(self) -> int:
        raise Accident


class Life(RuleBasedStateMachine):
    """A database, the workers on it, and all who get in their way."""

    def __init__(self, open_store: Callable[[], Any]) -> None:
        super().__init__()
        self.stage = Stage(open_store)
        self.world = self.stage.world
        self.store = self.stage.store
        self.reader: tuple[Any, Any] | None = None

    @property
    def now(self) -> int:
        return self.stage.now

    def _one(self, data: Any, crew: list[Mate]) -> Mate:
        return crew[data.draw(st.integers(0, len(crew) - 1))]

    def _job(self, data: Any) -> model.Job:
        return self.world.jobs[data.draw(st.sampled_from(sorted(self.world.jobs)))]

    def _ids(self, data: Any) -> list[int]:
        """Draw one or some, and sometimes one that is not there."""
        ids = [*sorted(self.world.jobs), self.world.highest_id + 7]
        return list(data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True)))

    @initialize(scene=drawn.SCENES)
    def a_scene(self, scene: str) -> None:
        if scene == "nothing":
            return
        stage, mate = self.stage, self.stage.mates[0]
        for name, key, until in (("Import", "7", "pending"), ("Mailer", "8", "unfinished"), ("", "7", PERIOD), ("Import", None, "pending")):  # fmt: skip
            stage.enqueue([stage.new(name, key=key, until=until, tags=("x",) if key else ())])
        if scene == "queued":
            return
        stage.turn(mate, want=EVERYTHING)
        if scene == "retrying":
            stage.turn(mate, ends=[stage.end(mate, claim, "retry") for claim in mate.claims])
        elif scene == "ended":
            stage.turn(mate, ends=[stage.end(mate, claim, "complete") for claim in mate.claims])
        elif scene == "one behind":
            stage.enqueue([stage.new("Import", key="7", until="pending")])
        else:
            stage.turn(mate, begins=mate.claims[:2])
        if scene in ("dead", "rescued"):
            stage.die(mate)
            self._stay_two()
        if scene == "rescued":
            stage.take_over(stage.mates[1], stage.store.held_by(mate.id))

    @rule(ms=drawn.PASSING)
    def time_passes(self, ms: int) -> None:
        self.stage.pass_time(ms)
        if ms < 0:
            event("the clock was turned back")

    # -- enqueueing

    @rule(news=st.lists(drawn.NEW, min_size=1, max_size=3), insists=drawn.RARELY)
    def enqueue(self, news: list[Any], insists: bool) -> None:
        self.stage.enqueue([self.stage.new(*new) for new in news], insists=insists)

    @rule(new=drawn.NEW, times=st.integers(1, 3))
    def enqueue_alike(self, new: Any, times: int) -> None:
        """Many that differ in their payload only."""
        jobs = [self.stage.new(*new) for _ in range(times)]
        for n, job in enumerate(jobs):
            job.key, job.payload = None, json.dumps({"n": n})
        ids = self.store.insert_alike(self.stage.row(jobs[0]), [str(job.payload) for job in jobs], now=self.now)
        for job, id_ in zip(jobs, ids, strict=True):
            assert self.world.enqueue(job, id_, "ann", self.now) == id_

    @rule(name=st.sampled_from([*PUBLISHED]), n=st.integers(6, 8), later=drawn.LATER, queue=st.sampled_from([None, "fast"]))  # fmt: skip
    def enqueue_by_sql(self, name: str, n: int, later: int, queue: str | None) -> None:
        """From a program in any language: the key is made from the payload, where the definition has one."""
        until = {"Import": self.now + PERIOD, "Mailer": "pending", "Report": "unfinished"}[name]
        key = None if name == "Report" else str(n)
        due = self.now + max(later, 0)
        job = model.Job(
            0, name, queue or "default", 0, (), json.dumps({"n": n}), self.now, due, "", key=key, until=until
        )
        sql, values = "INSERT INTO enqueue (job, payload, queue, run_at) VALUES (?, ?, ?, ?)", (
            name, job.payload, queue, datetime.fromtimestamp((self.now + later) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        )  # fmt: skip
        if self.world.conflict([job], [name == "Mailer"], self.now):
            with pytest.raises(driver.IntegrityError, match="held by another job"):
                self.stage.other.execute(sql, values)
            return
        before = self.store.latest(None)
        self.stage.other.execute(sql, values)
        newest = self.store.latest(None) or 0
        assert (newest == (before or 0)) == (key is not None and self.world.holder_at(job, self.now) is not None)
        if newest != before:
            self.world.enqueue(job, newest, None, self.now)

    # -- workers

    @rule(data=st.data(), slots=st.sampled_from([1, 2, 4, 4]))
    def a_worker_claims(self, data: Any, slots: int) -> None:
        mate = self._one(data, self.stage.crew(alive=True))
        self.stage.turn(mate, want=Want(slots, EVERYTHING.lanes))

    @rule(data=st.data(), ends=st.lists(drawn.ENDS, min_size=1, max_size=3))
    def attempts_end(self, data: Any, ends: list[str]) -> None:
        """Of a worker that is, or that believes to be, at work."""
        crew = [mate for mate in self.stage.crew() if mate.claims] or self.stage.crew()
        mate = self._one(data, crew)
        self._end(mate, [self.stage.end(mate, claim, how) for claim, how in zip(mate.claims, ends, strict=False)])

    def _end(self, mate: Mate, ends: list[Settlement], **others: Any) -> None:
        # Attempts that only ran come first, as a turn writes them.
        ends.sort(
            key=lambda it: not (isinstance(it.decision, Complete) and it.running is not None and it.exit_code == 0)
        )
        self.stage.turn(mate, ends=ends, **others)

    @rule(
        data=st.data(),
        before=st.sampled_from(["nothing", "begun", "settled", "settled", "given back"]),
        wakes=drawn.OFTEN,
    )
    def a_worker_is_taken_for_dead(self, data: Any, before: str, wakes: bool) -> None:
        """Another takes over what it has, and goes on with it; and then it wakes up, and goes on as well."""
        stage, crew = self.stage, self.stage.crew(alive=True)
        sleeper = self._one(data, [mate for mate in crew if mate.claims] or crew)
        if not sleeper.claims:
            stage.turn(sleeper, want=EVERYTHING)
        other = next(mate for mate in crew if mate is not sleeper)
        mine = list(sleeper.claims)
        stage.take_over(other, other.hand.store.held_by(sleeper.id))
        ours = [claim for claim in mine if self.world.live(claim, other.id)]
        if before == "begun":
            stage.turn(other, begins=ours)
        elif before == "settled":
            self._end(other, [stage.end(other, claim, data.draw(drawn.ENDS)) for claim in ours])
        elif before == "given back":
            stage.turn(other, returned=[claim for claim in ours if claim.attempt_id not in self.world.attempts])
        if before in ("settled", "given back"):
            # Some of it may wait again, and be claimed by whom it was lost.
            stage.turn(data.draw(st.sampled_from([sleeper, sleeper, other])), want=EVERYTHING)
        if wakes:
            self._goes_on(sleeper, mine, data)

    def _goes_on(self, mate: Mate, claims: list[Claim], data: Any) -> None:
        doing = data.draw(st.sampled_from(["begin", "complete", "end", "give back"]))
        stale = [claim for claim in claims if not self.world.live(claim, mate.id)]
        hows = st.just("complete") if doing == "complete" else drawn.ENDS
        ends = [self.stage.end(mate, claim, data.draw(hows)) for claim in stale if doing in ("complete", "end")]
        self._end(mate, ends, begins=stale if doing == "begin" else (), returned=stale if doing == "give back" else ())

    @rule(data=st.data(), want=drawn.WANTS)
    def a_worker_takes_its_turn(self, data: Any, want: Want | None) -> None:
        """Whatever there is to be told, in one transaction."""
        mate = self._one(data, self.stage.crew())
        begins: list[Claim] = []
        ends: list[Settlement] = []
        returned: list[Claim] = []
        for claim in mate.claims:
            match data.draw(drawn.DOINGS):
                case "begin":
                    begins.append(claim)
                case "end":
                    ends.append(self.stage.end(mate, claim, data.draw(drawn.ENDS)))
                case "give back" if claim.attempt_id not in self.world.attempts:
                    returned.append(claim)
        if mate.past and data.draw(drawn.RARELY):
            past = data.draw(st.sampled_from(mate.past))
            begins.append(past)
            ends.append(self.stage.end(mate, past, data.draw(drawn.ENDS)))
        self._end(mate, ends, begins=begins, returned=returned, want=want if mate.alive else None)

    @rule(data=st.data())
    @SOME_JOBS
    def claim_this_one(self, data: Any) -> None:
        """As `kiribi run` does with a job of its own that waits: whatever limits and times say."""
        mate, job = self._one(data, self.stage.crew(alive=True)), self._job(data)
        claim = mate.hand.store.claim_job(mate.id, job.id, now=self.now)
        assert (claim is None) == (job.status not in model.WAITING)
        if claim is None:
            return
        if job.status != "pending":
            job.status, job.run_at = "pending", min(job.run_at, self.now)
        self.stage.expect(mate, claim)

    @rule(data=st.data(), name=st.sampled_from(["Import", ""]), key=drawn.KEYS)
    def somebody_runs_a_job_here(self, data: Any, name: str, key: str | None) -> None:
        """`kiribi run`, which is a worker of its own job."""
        runners = [mate for mate in self.stage.crew(alive=True) if mate.kind == "run"] or [self.stage.hire("run")]
        self.stage.run_here(runners[0], self.stage.new(name, key=key))

    # -- workers that die

    @rule(data=st.data())
    def a_worker_dies(self, data: Any) -> None:
        alive = self.stage.crew(alive=True)
        self.stage.die(self._one(data, [mate for mate in alive if mate.claims] or alive))
        self._stay_two()

    def _stay_two(self) -> None:
        if sum(mate.kind == "worker" for mate in self.stage.crew(alive=True)) < 2:
            self.stage.hire()

    @rule(data=st.data(), how=st.sampled_from(["at once", "at once", "look", "late"]))
    @precondition(lambda self: self.stage.crew(alive=False))
    def rescue(self, data: Any, how: str) -> None:
        """A worker looks at what the dead hold, and takes it over: at once, or when others may have been there too."""
        mate = self._one(data, self.stage.crew(alive=True))
        gone = self.stage.crew(alive=False)
        dead = self._one(data, [mate for mate in gone if self.world.held_by(mate.id)] or gone)
        if how == "late":
            self.stage.take_over(mate, mate.found)
            return
        assert {one.id for one in self.store.dead_workers()} == {one.id for one in self.stage.crew(alive=False)}
        held = mate.hand.store.held_by(dead.id)
        assert [one.claim.attempt_id for one in held] == [job.token for job in self.world.held_by(dead.id)]
        for one in held:
            told = self.world.attempts.get(one.claim.attempt_id)
            assert (one.worker_id, one.started_at) == (dead.id, told.started_at if told else None)
        if how == "look":
            mate.found = held
        else:
            self.stage.take_over(mate, held)

    @rule(data=st.data(), dead=drawn.OFTEN)
    def a_worker_is_signed_off(self, data: Any, dead: bool) -> None:
        """A dead one by its rescuer, a living one by itself; not as long as it holds something."""
        mate = self._one(data, self.stage.crew(alive=not dead) or self.stage.crew())
        lost = not mate.alive or mate.kind == "run"
        if self.world.held_by(mate.id):
            with pytest.raises(RuntimeError, match="still holds jobs"):
                self.store.deregister(mate.id, now=self.now, lost=lost)
            return
        for _ in "twice":
            self.store.deregister(mate.id, now=self.now, lost=lost)
        if mate.kind == "run":
            self.world.lose_runner(mate.id, self.now)
        self.stage.die(mate)
        mate.buried = True
        self._stay_two()

    @rule(data=st.data(), how=drawn.ENDS)
    @precondition(lambda self: any(mate.buried and (mate.past or mate.claims) for mate in self.stage.mates))
    def the_buried_come_back(self, data: Any, how: str) -> None:
        mate = self._one(data, [mate for mate in self.stage.mates if mate.buried and (mate.past or mate.claims)])
        claim = data.draw(st.sampled_from([*mate.past, *mate.claims]))
        before = self.stage.dump()
        with pytest.raises(KiribiError, match="not registered any more"):
            mate.hand.store.turn(mate.id, now=self.now, want=EVERYTHING, settlements=[self.stage.end(mate, claim, how)])
        assert self.stage.dump() == before
        event("a worker that was declared lost came back")

    # -- accidents

    @rule(data=st.data(), how=drawn.ENDS)
    def an_accident_in_the_middle_of_a_turn(self, data: Any, how: str) -> None:
        """Nothing of the turn stays."""
        mate = self._one(data, [mate for mate in self.stage.crew() if mate.claims] or self.stage.crew())
        ends = [self.stage.end(mate, claim, how) for claim in mate.claims[1:3]]
        before = self.stage.dump()
        with pytest.raises(Accident):
            mate.hand.store.turn(
                mate.id, now=self.now, want=Failing(), settlements=ends,
                returned=[claim for claim in mate.claims[3:] if claim.attempt_id not in self.world.attempts],
                began=[begun(claim, self.now) for claim in mate.claims[:1]],
            )  # fmt: skip
        assert self.stage.dump() == before
        if any(self.world.live(it.claim, mate.id) for it in ends):
            event("an accident undid the end of an attempt")

    @rule(data=st.data(), what=st.sampled_from(["act", "nonsense", "reopen", "read", "read"]))
    def something_else_happens(self, data: Any, what: str) -> None:
        {
            "act": self._an_act_fails, "nonsense": self._nobody_writes_nonsense, "reopen": self._a_connection_is_opened_anew,
            "read": self._somebody_reads_for_long,
        }[what](data)  # fmt: skip

    def _an_act_fails(self, data: Any) -> None:
        """Of many acts in one transaction none stays if one cannot be done."""
        ids = [*sorted(self.world.jobs)[-1:], object()]
        before = self.stage.dump()
        for act in (self.store.cancel, self.store.retry, self.store.delete):
            with pytest.raises(driver.Error):
                act(ids, by="ann", now=self.now)
        good, bad = self.stage.new("Import", key="7", until="pending"), self.stage.new("Mailer", priority=5000)
        with pytest.raises(driver.Error):
            self.store.insert([self.stage.row(good), self.stage.row(bad)], now=self.now)
        assert self.stage.dump() == before

    def _nobody_writes_nonsense(self, data: Any) -> None:
        for sql in NONSENSE:
            self.stage.other.execute("BEGIN IMMEDIATE")
            try:
                written = self.stage.other.execute(sql).rowcount
            except driver.IntegrityError:
                written = 0
            finally:
                self.stage.other.execute("ROLLBACK")
            assert written == 0, f"the database took this: {sql}"

    def _a_connection_is_opened_anew(self, data: Any) -> None:
        mate = self._one(data, self.stage.crew())
        if mate.hand.store is self.store:
            return
        mate.hand.store.close()
        self.stage.opened.remove(mate.hand.store)
        mate.hand.store = self.stage.open_store()
        self.stage.opened.append(mate.hand.store)

    def _somebody_reads_for_long(self, data: Any) -> None:
        """A reader sees one moment, however long it takes, and keeps nobody from writing."""
        if self.reader is None:
            connection = driver.connect(self.store.path, isolation_level=None)
            connection.execute("BEGIN")
            self.reader = connection, self.stage.dump(connection)
            return
        connection, before = self.reader
        assert self.stage.dump(connection) == before
        connection.close()
        self.reader = None

    # -- people

    @rule(data=st.data(), signal=st.sampled_from([None, "SIGKILL"]), by=st.sampled_from(["ann", "bob"]))
    @SOME_JOBS
    def cancel(self, data: Any, signal: str | None, by: str) -> None:
        ids = self._ids(data)
        acted = self.store.cancel(ids, by=by, now=self.now, signal=signal)
        self._acted(acted, {id_: self.world.cancel(id_, by, signal, self.now) for id_ in ids})

    @rule(data=st.data(), force=st.booleans(), more=st.sampled_from([None, None, 2]), later=st.sampled_from([0, 0, 5000]))  # fmt: skip
    @SOME_JOBS
    def retry(self, data: Any, force: bool, more: int | None, later: int) -> None:
        ids, at = self._ids(data), self.now + later
        acted = self.store.retry(ids, by="ann", now=self.now, force=force, more=more, run_at=dict.fromkeys(ids, at))
        self._acted(acted, {
            id_: self.world.retry(id_, "ann", force=force, more=more, run_at=at, now=self.now) for id_ in ids
        })  # fmt: skip

    def _acted(self, acted: Any, expected: dict[int, bool]) -> None:
        assert acted.changed == tuple(id_ for id_, did in expected.items() if did)
        assert [(id_, code) for id_, code, _ in acted.refused] == [
            (id_, "conflict" if id_ in self.world.jobs else "not_found") for id_, did in expected.items() if not did
        ]  # fmt: skip
        if acted.changed:
            event("somebody changed a job")

    @rule(data=st.data(), new=drawn.EDITS, key=st.sampled_from([None, None, "7", "8"]), later=st.sampled_from([None, None, 0, 5000]))  # fmt: skip
    @SOME_JOBS
    def edit(self, data: Any, new: Edit, key: str | None, later: int | None) -> None:
        job = self._job(data)
        # Only what is unique has a key to change.
        key = key if job.key is not None else None
        values = {name: getattr(new, name) for name in Edit.__slots__} | {
            "run_at": None if later is None else self.now + later, "unique_key": key,
            "unique_hash": None if key is None else hash_of(job, key),
        }  # fmt: skip
        acted = self.store.edit(job.id, Edit(**values), by="ann", now=self.now)
        self._acted(acted, {job.id: self.world.edit(job.id, Edit(**values), key, "ann", self.now)})

    @rule(data=st.data())
    @SOME_JOBS
    def delete(self, data: Any) -> None:
        ids = self._ids(data)
        known = set(self.world.jobs)
        acted, gone = self.store.delete(ids, by="ann", now=self.now)
        attempts = {id_: self.world.delete(id_, "ann", self.now) for id_ in ids}
        assert acted.changed == tuple(id_ for id_ in ids if attempts[id_] is not None)
        assert [(id_, code == "conflict") for id_, code, _ in acted.refused] == [
            (id_, id_ in known) for id_ in ids if attempts[id_] is None
        ]  # fmt: skip
        assert set(gone) == {attempt_id for some in attempts.values() for attempt_id in some or ()}

    # -- history

    @rule(keep=drawn.RULES, quicker=st.booleans())
    def sweep(self, keep: Retention, quicker: bool) -> None:
        """Batch by batch; sometimes a person is quicker, and runs a job again that was about to go."""
        if quicker:
            self._retry_what_is_about_to_go(keep)
        foreseen = self.store.sweepable(Keep(keep, {}, None), now=self.now)
        gone: Counter[str] = Counter()
        attempts: list[int] = []
        more = True
        while more:
            swept = self.store.sweep(Keep(keep, {}, None), now=self.now, batch=2)
            gone.update(swept.jobs)
            attempts += swept.attempt_ids
            more = swept.more
        statuses, tokens = self.world.sweep(keep, self.now)
        assert gone == Counter(foreseen.jobs) == statuses
        assert sorted(attempts) == sorted(foreseen.attempt_ids) == sorted(tokens)
        if statuses:
            event("history was swept")

    def _retry_what_is_about_to_go(self, keep: Retention) -> None:
        """Between the look of a sweep and its deleting, everything that has ended is run again."""
        database, other, now = self.store._db, self.stage.open_store(), self.now
        begin = database.transaction
        ids = [id_ for id_, job in sorted(self.world.jobs.items()) if job.finished]

        def transaction() -> Any:
            database.transaction = begin
            other.retry(ids, by="ann", now=now, force=True)
            for id_ in ids:
                self.world.retry(id_, "ann", force=True, more=None, run_at=now, now=now)
            event("a retry came between a sweep and its victims")
            return begin()

        database.transaction = transaction
        try:
            self.store.sweep(Keep(keep, {}, None), now=now, batch=1000)
        finally:
            database.transaction = begin
            other.close()
        # What could not run again, because another has its key, was swept.
        for id_ in set(ids) - {one.id for one in self.store.jobs(ids, now=0)}:
            assert self.world.jobs[id_].finished
            self.world._forget(self.world.jobs[id_])

    @rule(age=st.sampled_from([0, 90 * MINUTE]))
    def sweep_events(self, age: int) -> None:
        keep = Keep(Retention(None, None, None, None), {}, age)
        while self.store.sweep(keep, now=self.now).more:
            pass
        self.stage.story.sweep_agrees(self.store, before=self.now - age + BACK_MOST)

    # -- what people are told

    @rule(data=st.data())
    def somebody_looks(self, data: Any) -> None:
        world, now, store = self.world, self.now, self.store
        counted = store.now(now=now)
        due = [job.run_at for job in world.jobs.values() if job.shown(now) == "pending"]
        assert (counted.pending, counted.running, counted.scheduled, counted.retrying) == tuple(
            world.count_of([status], now) for status in ("pending", "running", "scheduled", "retrying")
        )
        assert counted.oldest_pending_at == min(due, default=None)
        assert store.next_due() == world.next_due()
        running = sorted(id_ for id_, job in world.jobs.items() if job.status == "running")
        assert [one.id for one in store.running()] == running
        for name in (None, "Import"):
            newest = max((id_ for id_, job in world.jobs.items() if name in (None, job.name)), default=None)
            assert store.latest(name) == newest
        for mate in self.stage.crew():
            asked = [
                (job.token, job.id, job.cancel_by or "", job.cancel_signal)
                for job in world.held_by(mate.id) if job.cancel_at is not None
            ]  # fmt: skip
            told = store.cancel_requests(mate.id)
            assert sorted((one.attempt_id, one.job_id, one.by, one.signal) for one in told) == asked
        self._find(data)
        self._ask_why()

    def _ask_why(self) -> None:
        for one in self.store.jobs(sorted(self.world.jobs), now=self.now):
            job = self.world.jobs[one.id]
            if one.status is not Status.PENDING:
                answer = explain(self.store, one, self.store.attempts(one.id), now=self.now, known=None)
                assert answer.code == self.world.why(job)
            elif job.status == "pending":
                others = [other for other in self.world.jobs.values() if other.status == "pending"]
                ahead = sum(other.rank < job.rank and other.queue == job.queue for other in others)
                assert self.store.ahead_of(one, now=self.now) == ahead

    def _find(self, data: Any) -> None:
        statuses, time, ago, queues, names = data.draw(drawn.SEARCHES)
        since = None if ago is None else self.now - ago
        which = Filter(statuses=tuple(map(Status, statuses)), time=time, since=since, queues=queues, names=names)
        expected = [
            job.id for job in self.world.jobs.values()
            if (not statuses or job.shown(self.now) in statuses)
            and (since is None or (getattr(job, f"{time}_at") or 0) >= since)
            and (not queues or job.queue in queues) and (not names or job.name[0] in {name[0] for name in names})
        ]  # fmt: skip
        assert [one.id for one in self.store.find(which, now=self.now)] == sorted(expected, reverse=True)
        assert self.store.count(which, now=self.now) == len(expected)

    # -- what always holds

    @invariant()
    def the_store_agrees_with_the_model(self) -> None:
        self.stage.agrees()

    def teardown(self) -> None:
        if self.reader is not None:
            self.reader[0].close()
        self.stage.close()
