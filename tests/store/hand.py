"""A worker moved by hand, and the values it needs."""

import os
from collections.abc import Sequence
from typing import Any

from kiribi_cli.core.job import NewJob, Problem
from kiribi_cli.core.outcome import Usage
from kiribi_cli.core.settle import Decision
from kiribi_cli.core.unique import unique_hash
from kiribi_cli.store.base import Claim, Filter, NewWorker, Running, Settlement, Store, Turn, Want

OUTCOMES = {
    "Complete": "completed", "Retry": "failed", "Fail": "failed", "Snooze": "snoozed", "Release": "interrupted",
    "Cancel": "cancelled",
}  # fmt: skip


def job(name: str = "Import", **values: Any) -> NewJob:
    """A new job. `key` makes it unique."""
    key = values.pop("key", None)
    new: dict[str, Any] = {"job": name, "kind": "command", "created_at": values.get("run_at", 1000)} | values
    if key is not None:
        new |= {"unique_key": key, "unique_hash": unique_hash(name, key)}
        new.setdefault("unique_until", "unfinished")
        new.setdefault("on_conflict", "skip")
    return new  # type: ignore[return-value]


class Hand:
    """A worker, moved by hand: it claims and settles when the test says so, at the time the test says."""

    def __init__(self, store: Store, name: str = "w", slots: int = 4, now: int = 1, kind: Any = "worker") -> None:
        self.store = store
        self.worker = NewWorker(name, os.uname().nodename, os.getpid(), f"{name}-1", "1.0", kind, slots, None, None)
        self.lock = store.liveness(self.worker)  # type: ignore[attr-defined]
        self.id = store.register(self.worker, now=now)
        self.slots = slots

    def want(self, slots: int | None = None, lanes: Sequence[str] = ("Import", "Mailer", ""), **limits: Any) -> Want:
        return Want(self.slots if slots is None else slots, frozenset(lanes), **limits)

    def claim(self, now: int = 1000, slots: int | None = None, **limits: Any) -> tuple[Claim, ...]:
        return self.store.turn(self.id, now=now, want=self.want(slots, **limits)).claims

    def claim_one(self, now: int = 1000, **limits: Any) -> Claim:
        (claim,) = self.claim(now, slots=1, **limits)
        return claim

    def end(self, claim: Claim, decision: Decision, now: int = 2000, **values: Any) -> Turn:
        return self.store.turn(self.id, now=now, settlements=[settlement(claim, decision, now, **values)])

    def run(self, decision: Decision, now: int = 2000, **values: Any) -> Claim:
        """Claim one and end it."""
        claim = self.claim_one(now)
        assert not self.end(claim, decision, now, **values).lost
        return claim

    def die(self) -> None:
        self.lock.close()


def settlement(claim: Claim, decision: Decision, now: int, **values: Any) -> Settlement:
    given: dict[str, Any] = {
        "outcome": OUTCOMES[type(decision).__name__], "started_at": now - 10, "finished_at": now, "duration_ms": 10,
        "usage": Usage(4, 2, 1024),
    } | values  # fmt: skip
    if given["outcome"] == "failed":
        given.setdefault("error", Problem("exit", "exit 1: boom", "f00"))
    return Settlement(claim, decision, **given)


def begun(claim: Claim, started_at: int) -> Running:
    return Running(claim.attempt_id, claim.job_id, started_at, 4711, '["boot", 1, 2]', '["true"]', "/tmp")


def statuses(store: Store, now: int = 10_000_000) -> dict[int, str]:
    return {job.id: str(job.status) for job in store.find(Filter(), now=now)}
