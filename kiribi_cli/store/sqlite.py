"""The store on SQLite: opens the file and says which module does what. The promises stand in base.py."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from kiribi_cli import clock
from kiribi_cli.core.job import Attempt, Event, Job, NewJob, Status
from kiribi_cli.store import bell, connect, insert, liveness, look, migrate, trouble, turn, workers
from kiribi_cli.store.base import (
    CancelRequest,
    Claim,
    Filter,
    Held,
    HourRow,
    Inserted,
    NewWorker,
    Now,
    Running,
    Settlement,
    Turn,
    Want,
    Worker,
)
from kiribi_cli.store.connect import driver
from kiribi_cli.store.database import Database
from kiribi_cli.store.events import event


class SqliteStore:
    """One connection to a database. Not shared between threads, never carried over a fork."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.path = db.path
        self.run_dir = db.run_dir
        self._version = db.pragma("data_version")

    @classmethod
    def open(cls, path: str | Path, *, create: bool, durability: str = "full", read_only: bool = False) -> "SqliteStore":
        """Open; make it if it is missing and `create`; migrate an older one unless `read_only`. Raises KiribiError(STORE)."""
        place = os.path.abspath(path)
        if create and connect.identity(place) is None:
            migrate.create(place)
        try:
            connection = connect.connect(place, durability=durability, read_only=read_only)
        except driver.Error as error:
            raise trouble.raised(error, place) from error
        try:
            _make_current(connection, place, create=create, read_only=read_only)
            return cls(Database(connection, place, durability=durability))
        except driver.Error as error:
            connection.close()
            raise trouble.raised(error, place) from error
        except BaseException:
            connection.close()
            raise

    # -- enqueueing

    def insert(self, jobs: Sequence[NewJob], *, now: int) -> list[Inserted]:
        with self._db.transaction():
            answers = insert.insert_jobs(self._db.connection, jobs, now)
        self._db.ring()
        return [Inserted(id_, deduplicated) for id_, deduplicated in answers]

    # -- working

    def liveness(self, worker: NewWorker) -> liveness.Liveness:
        """Take the lock that proves `worker` alive. Hold it as long as the worker lives; take it before `register`."""
        return liveness.Liveness(self.run_dir, worker.name, worker.pid, worker.process)

    def register(self, worker: NewWorker, *, now: int) -> int:
        return workers.register(self._db, worker, now)

    def heartbeat(
        self, worker_id: int, *, state: str, now: int, low_disk: bool = False, config_error: str | None = None
    ) -> None:
        workers.heartbeat(self._db, worker_id, state, now, low_disk=low_disk, config_error=config_error)

    def deregister(self, worker_id: int, *, now: int, lost: bool = False) -> None:
        workers.deregister(self._db, worker_id, lost=lost, now=now)

    def turn(
        self,
        worker_id: int,
        *,
        now: int,
        want: Want | None = None,
        began: Sequence[Running] = (),
        settlements: Sequence[Settlement] = (),
        progress: Sequence[tuple[int, str]] = (),
        returned: Sequence[Claim] = (),
    ) -> Turn:
        return turn.take_turn(
            self._db, worker_id, now=now, want=want, began=began, settlements=settlements, progress=progress, returned=returned
        )

    def claim_job(self, worker_id: int, job_id: int, *, now: int) -> Claim | None:
        return turn.claim_job(self._db, worker_id, job_id, now)

    def next_due(self) -> int | None:
        return turn.next_due(self._db)

    def cancel_requests(self, worker_id: int) -> list[CancelRequest]:
        return workers.cancel_requests(self._db, worker_id)

    def stop_requested(self, worker_id: int) -> Literal["drain", "now"] | None:
        asked: Literal["drain", "now"] | None = self._db.value("workers.stop_requested", id=worker_id)
        return asked

    def changed(self) -> bool:
        version = self._db.pragma("data_version")
        changed = bool(version != self._version)
        self._version = version
        return changed

    def listen(self, worker_id: int) -> bell.Listener:
        return bell.Listener(self.run_dir, worker_id)

    def dead_workers(self) -> list[Worker]:
        return workers.dead(self._db)

    def held_by(self, worker_id: int) -> list[Held]:
        return workers.held_by(self._db, worker_id)

    def take_over(self, held: Sequence[Held], *, by: int, now: int) -> list[Claim]:
        return workers.take_over(self._db, held, by)

    # -- looking

    def job(self, job_id: int, *, now: int) -> Job | None:
        return look.job(self._db, job_id, now)

    def jobs(self, ids: Sequence[int], *, now: int) -> list[Job]:
        return look.jobs(self._db, ids, now)

    def latest(self, name: str | None, nth: int = 1) -> int | None:
        return look.latest(self._db, name, nth)

    def names(self) -> list[str]:
        return [row[0] for row in self._db.rows("look.names")]

    def queues(self) -> list[str]:
        return look.queues(self._db, clock.now_ms())

    def attempts(self, job_id: int) -> list[Attempt]:
        return look.attempts(self._db, job_id)

    def attempt(self, attempt_id: int) -> Attempt | None:
        return look.attempt(self._db, attempt_id)

    def last_seq(self) -> int:
        return self._db.value("look.last_seq") or 0

    def workers(self, *, stopped_since: int | None = None) -> list[Worker]:
        return workers.listed(self._db, stopped_since)

    def running(self) -> list[Job]:
        return look.running(self._db)

    def now(self, *, now: int, names: Sequence[str] = ()) -> Now:
        return look.standing(self._db, now, names)

    def ahead_of(self, job: Job, *, now: int, at_most: int = 1000) -> int:
        return look.ahead_of(self._db, job, at_most)

    def hours(self, dimension: str, *, since: int, until: int, key: str | None = None) -> list[HourRow]:
        return look.hours(self._db, dimension, since, until, key)

    def histogram(
        self, dimension: str, measure: str, *, since: int, until: int
    ) -> dict[tuple[str, str], dict[int, int]]:
        return look.histogram(self._db, dimension, measure, since, until)

    # -- changing

    def record(self, type_: str, *, now: int, by: str, reason: str | None = None, details: Any = None) -> None:
        import json

        with self._db.transaction():
            text = None if details is None else json.dumps(details)
            self._db.run("turn.event", **event(type_, now, by=by, reason=reason, details=text))

    def ask_to_stop(self, worker_ids: Sequence[int], how: Literal["drain", "now"], *, now: int) -> None:
        workers.ask_to_stop(self._db, worker_ids, how)

    # -- keeping house

    def close(self) -> None:
        self._db.close()


def _make_current(connection: driver.Connection, path: str, *, create: bool, read_only: bool) -> None:
    """See that the schema is ours: create it in an empty file, migrate an older one, refuse the rest."""
    if connect.is_current(connection):
        if not read_only:
            # Costs nothing where it is so already; a file put in its place from elsewhere may not be.
            connect.patiently(connection, "PRAGMA journal_mode=WAL").fetchall()
        return
    refusal = trouble.unfit(connection, path)
    if refusal:
        raise refusal
    if migrate.version_of(connection):
        if read_only:
            raise trouble.older(path)
        migrate.upgrade(connection, path, migrate.steps())
    elif create:
        migrate.create(path)
    else:
        raise trouble.missing(path)
