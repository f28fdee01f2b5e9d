"""Anything people and workers do, in any order, against a model small enough to be believed."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kiribi_cli.core.definition import Retention
from kiribi_cli.core.settle import Cancel, Complete, Fail, Release, Retry, Snooze
from kiribi_cli.store.base import Filter, Keep
from tests.store.hand import Hand, job

WAITING = ("scheduled", "pending", "retrying")
FINISHED = ("completed", "failed", "cancelled")
NAMES = st.sampled_from(["Import", "Mailer"])
KEYS = st.sampled_from([None, None, None, "7", "8"])
UNTIL = st.sampled_from(["pending", "unfinished"])
LATER = st.sampled_from([0, 0, 0, 500, 5000])


@dataclass
class Model:
    """A job as the semantics describe it."""

    id: int
    name: str
    status: str
    run_at: int
    priority: int = 0
    key: str | None = None
    until: str = "unfinished"
    attempts: int = 0
    tries: int = 0
    token: int = 0
    holder: str | None = None
    cancel: bool = False

    @property
    def holds(self) -> bool:
        if self.key is None or self.status in FINISHED:
            return False
        return self.until == "unfinished" or self.status != "running"


class Life(RuleBasedStateMachine):
    """Two workers on one database, and people who get in the way."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.store = self.open_store()
        self.hands = {"one": Hand(self.store, "one"), "other": Hand(self.open_store(), "other")}
        self.jobs: dict[int, Model] = {}
        self.now = 1000
        self.ended = 0

    # -- time

    @rule(ms=st.sampled_from([1, 100, 1000, 10_000]))
    def time_passes(self, ms):
        self.now += ms

    # -- people

    @rule(name=NAMES, priority=st.integers(-2, 2), key=KEYS, until=UNTIL, later=LATER)
    def enqueue(self, name, priority, key, until, later):
        new = job(name, created_at=self.now, run_at=self.now + later, priority=priority)
        if key is not None:
            new |= job(name, key=key, created_at=self.now, run_at=self.now + later, unique_until=until)
            new["priority"] = priority
        (answer,) = self.store.insert([new], now=self.now)
        there = next((m for m in self.jobs.values() if key and m.name == name and m.key == key and m.holds), None)
        assert answer.deduplicated == (there is not None)
        if there is not None:
            assert answer.id == there.id
            return
        status = "scheduled" if later else "pending"
        self.jobs[answer.id] = Model(answer.id, name, status, self.now + later, priority, key, until)

    @rule(data=st.data())
    @precondition(lambda self: self.jobs)
    def cancel(self, data):
        model = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        acted = self.store.cancel([model.id], by="ann", now=self.now)
        if model.status in FINISHED:
            assert acted.changed == ()
            return
        assert acted.changed == (model.id,)
        if model.status == "running":
            model.cancel = True
        else:
            model.status = "cancelled"
            self.ended += 1

    @rule(data=st.data())
    @precondition(lambda self: self.jobs)
    def retry(self, data):
        model = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        acted = self.store.retry([model.id], by="ann", now=self.now)
        taken = any(
            m.holds and m.key == model.key and m.name == model.name for m in self.jobs.values() if m is not model
        )
        if model.status == "retrying":
            assert acted.changed == (model.id,)
        elif model.status not in ("failed", "cancelled") or (model.key and taken):
            assert acted.changed == ()
            return
        model.status, model.run_at, model.cancel = "pending", self.now, False

    @rule(data=st.data())
    @precondition(lambda self: self.jobs)
    def delete(self, data):
        model = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        acted, attempts = self.store.delete([model.id], by="ann", now=self.now)
        assert bool(acted.changed) == (model.status in FINISHED)
        if acted.changed:
            assert len(attempts) == model.tries
            del self.jobs[model.id]

    @rule()
    def sweep(self):
        self.store.sweep(Keep(Retention(1000, 1000, 1000, 1000, keep_last=1), {}, None), now=self.now)
        left = {one.id for one in self.store.find(Filter(), now=self.now)}
        gone = [self.jobs.pop(id_) for id_ in set(self.jobs) - left]
        assert all(model.status in FINISHED for model in gone)
        for name in ("Import", "Mailer"):
            if any(model.name == name for model in gone):
                assert any(m.name == name and m.status in FINISHED for m in self.jobs.values())

    # -- workers

    @rule(
        target=claims,
        who=st.sampled_from(["one", "other"]),
        slots=st.integers(1, 3),
        limit=st.sampled_from([None, 1, 2]),
    )
    def claim(self, who, slots, limit):
        limits = {} if limit is None else {"lane_concurrency": {"Import": limit}}
        claimed = self.hands[who].claim(now=self.now, slots=slots, **limits)
        assert [claim.job_id for claim in claimed] == self._expected(slots, limit)
        for claim in claimed:
            model = self.jobs[claim.job_id]
            model.status, model.holder = "running", who
            model.attempts += 1
            model.tries += 1
            model.token = claim.attempt_id
            assert claim.attempts == model.attempts
        return multiple(*claimed)

    def _expected(self, slots, limit):
        running = sum(m.status == "running" and m.name == "Import" for m in self.jobs.values())
        ready = sorted(
            (m for m in self.jobs.values() if m.status in WAITING and m.run_at <= self.now),
            key=lambda m: (-m.priority, m.run_at, m.id),
        )
        chosen = []
        for model in ready:
            if limit is not None and model.name == "Import":
                if running >= limit:
                    continue
                running += 1
            if len(chosen) < slots:
                chosen.append(model.id)
        return chosen

    @rule(
        claim=consumes(claims), who=st.sampled_from(["one", "other"]),
        decision=st.sampled_from([Complete(), Fail("attempts_used"), Cancel("bob"), "retry", "snooze", Release()]),
    )  # fmt: skip
    def settle(self, claim, who, decision):
        decision = {"retry": Retry(self.now + 2000), "snooze": Snooze(self.now + 3000)}.get(decision, decision) if isinstance(decision, str) else decision  # fmt: skip
        model = self.jobs.get(claim.job_id)
        live = (
            model is not None and model.status == "running" and model.holder == who and model.token == claim.attempt_id
        )
        turn = self.hands[who].end(claim, decision, now=self.now)
        assert bool(turn.lost) == (not live)
        if live:
            self._end(model, decision)

    def _end(self, model, decision):
        again = isinstance(decision, (Retry, Snooze, Release))
        if isinstance(decision, (Snooze, Release)):
            model.attempts -= 1
        others = any(
            m.holds and (m.name, m.key) == (model.name, model.key) for m in self.jobs.values() if m is not model
        )
        superseded = again and model.key and model.until == "pending" and others
        if again and (model.cancel or superseded):
            model.status = "cancelled"
        elif again:
            model.status = {Retry: "retrying", Snooze: "scheduled", Release: "pending"}[type(decision)]
            model.run_at = getattr(decision, "at", model.run_at)
        else:
            model.status = {Complete: "completed", Fail: "failed", Cancel: "cancelled"}[type(decision)]
        self.ended += model.status in FINISHED

    @rule(claim=consumes(claims), who=st.sampled_from(["one", "other"]))
    def give_back(self, claim, who):
        model = self.jobs.get(claim.job_id)
        live = (
            model is not None and model.status == "running" and model.holder == who and model.token == claim.attempt_id
        )
        self.store_of(who).turn(self.hands[who].id, now=self.now, returned=[claim])
        if not live:
            return
        others = any(
            m.holds and (m.name, m.key) == (model.name, model.key) for m in self.jobs.values() if m is not model
        )
        model.attempts -= 1
        model.tries -= 1
        if model.cancel or (model.key and model.until == "pending" and others):
            model.status = "cancelled"
            self.ended += 1
            return
        model.status = "pending"

    @rule(target=claims, who=st.sampled_from(["one", "other"]))
    def rescue(self, who):
        """The other worker's jobs are taken over, as when it died; it may wake up later."""
        other = "other" if who == "one" else "one"
        held = self.store_of(who).held_by(self.hands[other].id)
        taken = self.store_of(who).take_over(held, by=self.hands[who].id, now=self.now)
        assert {claim.job_id for claim in taken} == {
            m.id for m in self.jobs.values() if m.status == "running" and m.holder == other
        }  # fmt: skip
        for claim in taken:
            self.jobs[claim.job_id].holder = who
        return multiple(*taken)

    def store_of(self, who):
        return self.hands[who].store

    # -- what always holds

    @invariant()
    def the_store_agrees_with_the_model(self):
        seen = {one.id: one for one in self.store.find(Filter(), now=0)}
        due = self._due()
        assert {id_: self._shown(one.status, id_, due) for id_, one in seen.items()} == {
            id_: self._shown(model.status, id_, due) for id_, model in self.jobs.items()
        }  # fmt: skip
        for id_, model in self.jobs.items():
            assert (seen[id_].attempts, seen[id_].attempt) == (model.attempts, model.tries)

    def _due(self):
        return {m.id for m in self.jobs.values() if m.status in WAITING and m.run_at <= self.now}

    def _shown(self, status, id_, due):
        return "pending" if id_ in due and status in WAITING else str(status)

    @rule()
    def nothing_is_broken(self):
        assert list(self.store.verify()) == []

    @invariant()
    def statistics_count_every_end(self):
        rows = self.store.hours("job", since=0, until=1 << 50)
        assert sum(row.completed + row.failed + row.cancelled for row in rows) == self.ended

    def teardown(self):
        for hand in self.hands.values():
            hand.die()


@pytest.mark.parametrize("examples", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_whatever_happens_the_store_does_what_the_model_says(open_store, tmp_path, examples):
    from itertools import count

    from kiribi_cli.store.sqlite import SqliteStore

    numbers = count()

    class OnThisBackend(Life):
        def __init__(self):
            self.number = next(numbers)
            self.opened = []
            super().__init__()

        def open_store(self):
            self.opened.append(
                SqliteStore.open(tmp_path / str(self.number) / "kiribi.db", create=True, durability="normal")
            )
            return self.opened[-1]

        def teardown(self):
            super().teardown()
            for store in self.opened:
                store.close()

    run_state_machine_as_test(
        OnThisBackend,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        ),
    )  # fmt: skip
