"""The store on SQLite: opens the file and says which module does what. The promises stand in base.py."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kiribi_cli import clock
from kiribi_cli.core.job import Attempt, Event, Job, NewJob, Status
from kiribi_cli.errors import KiribiError
from kiribi_cli.store import (
    bell,
    change,
    connect,
    find,
    house,
    insert,
    liveness,
    look,
    migrate,
    story,
    sweep,
    transfer,
    trouble,
    turn,
    workers,
)
from kiribi_cli.store.base import (
    Acted,
    Bucketed,
    CancelRequest,
    Claim,
    Edit,
    Filter,
    Held,
    HourRow,
    Inserted,
    Keep,
    LogsGo,
    NewWorker,
    Now,
    Running,
    Settlement,
    Sort,
    Swept,
    Turn,
    Want,
    Worker,
    no_logs,
)
from kiribi_cli.store.connect import driver
from kiribi_cli.store.database import Database
from kiribi_cli.store.events import event

if TYPE_CHECKING:
    from kiribi_cli.core.published import Published


class SqliteStore:
    """One connection to a database. Not shared between threads, never carried over a fork."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.path = db.path
        self.run_dir = db.run_dir
        self._version = db.pragma("data_version")
        self._swept_to = sweep.Place()

    @classmethod
    def open(
        cls, path: str | Path, *, create: bool, durability: str = "full", read_only: bool = False
    ) -> "SqliteStore":
        """Open; make it if it is missing and `create`; migrate an older one unless `read_only`. Raises STORE."""
        place = str(Path(path).absolute())
        if create and connect.identity(place) is None:
            migrate.create(place)
        try:
            connection = connect.connect(place, durability=durability, read_only=read_only)
        except trouble.ERRORS as error:
            raise trouble.raised(error, place) from error
        try:
            _make_current(connection, place, create=create, read_only=read_only)
            return cls(Database(connection, place, durability=durability))
        except trouble.ERRORS as error:
            connect.let_go(place, connection)
            raise trouble.raised(error, place) from error
        except BaseException:
            connect.let_go(place, connection)
            raise

    # -- enqueueing

    def insert(self, jobs: Sequence[NewJob], *, now: int) -> list[Inserted]:
        with self._db.transaction():
            answers = insert.insert_jobs(self._db.connection, jobs, now)
        self._db.ring()
        return [Inserted(id_, deduplicated) for id_, deduplicated in answers]

    def insert_alike(self, job: NewJob, payloads: Sequence[str], *, now: int) -> range:
        from kiribi_cli.store.bulk import insert_alike

        with self._db.transaction():
            ids = insert_alike(self._db.connection, job, payloads, now)
        self._db.ring()
        return ids

    def publish(self, config_path: str, definitions: "Sequence[Published]") -> bool:
        from kiribi_cli.store import door

        return door.publish(self._db, config_path, definitions)

    def publishers(self) -> list[str]:
        return [row[0] for row in self._db.rows("door.publishers")]

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
            self._db,
            worker_id,
            now=now,
            want=want,
            began=began,
            settlements=settlements,
            progress=progress,
            returned=returned,
        )

    def start_here(self, worker_id: int, job: NewJob, *, now: int) -> Claim | Inserted:
        return turn.start_here(self._db, worker_id, job, now)

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
        # An idle worker writes nothing for a long time, and would not learn that nobody finds its file any more.
        self._db.check_identity()
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

    def declare_lost(self, worker: Worker, *, by: int, silent_ms: int, now: int) -> list[Held] | None:
        return workers.declare_lost(self._db, worker, by, silent_ms, now)

    def take_over(self, held: Sequence[Held], *, by: int, now: int) -> list[Claim]:  # noqa: ARG002  (the protocol's)
        return workers.take_over(self._db, held, by)

    # -- looking

    def job(self, job_id: int, *, now: int) -> Job | None:
        return look.job(self._db, job_id, now)

    def jobs(self, ids: Sequence[int], *, now: int) -> list[Job]:
        return look.jobs(self._db, ids, now)

    def latest(self, name: str | None, nth: int = 1) -> int | None:
        return look.latest(self._db, name, nth)

    def find(
        self, which: Filter, *, now: int, sort: Sort = "created", descending: bool = True, limit: int | None = None
    ) -> Iterator[Job]:
        return find.find(self._db, which, now=now, sort=sort, descending=descending, limit=limit)

    def count(self, which: Filter, *, now: int, at_most: int | None = None) -> int:
        return find.count(self._db, which, now=now, at_most=at_most)

    def count_some(self, which: Filter, *, now: int, at_most: int) -> tuple[int, bool]:
        return find.count_some(self._db, which, now=now, at_most=at_most)

    def names(self) -> list[str]:
        return [row[0] for row in self._db.rows("look.names")]

    def queues(self) -> list[str]:
        return look.queues(self._db, clock.now_ms())

    def has_queue(self, queue: str) -> bool:
        return look.has_queue(self._db, queue, clock.now_ms())

    def waiting_names(self) -> list[str]:
        return look.waiting_names(self._db)

    def oldest_pending(self) -> int | None:
        oldest: int | None = self._db.value("now.oldest_pending")
        return oldest

    def attempts(self, job_id: int) -> list[Attempt]:
        return look.attempts(self._db, job_id)

    def attempt(self, attempt_id: int) -> Attempt | None:
        return look.attempt(self._db, attempt_id)

    def events(
        self, *, from_seq: int = 0, since: int | None = None, types: Sequence[str] = (), job_id: int | None = None
    ) -> Iterator[Event]:
        return story.events(self._db, from_seq=from_seq, since=since, types=types, job_id=job_id)

    def last_seq(self) -> int:
        return self._db.value("look.last_seq") or 0

    def workers(self, *, stopped_since: int | None = None) -> list[Worker]:
        return workers.listed(self._db, stopped_since)

    def running(self) -> list[Job]:
        return look.running(self._db)

    def now(self, *, now: int, names: Sequence[str] = ()) -> Now:
        return look.standing(self._db, now, names)

    def ahead_of(self, job: Job, *, now: int, at_most: int = 1000) -> int:  # noqa: ARG002  (the protocol's)
        return look.ahead_of(self._db, job, at_most)

    def hours(self, dimension: str, *, since: int, until: int, key: str | None = None) -> list[HourRow]:
        return look.hours(self._db, dimension, since, until, key)

    def histogram(
        self, dimension: str, *, since: int, until: int, key: str | None = None, hourly: bool = False
    ) -> list[Bucketed]:
        return look.histogram(self._db, dimension, since, until, key, hourly=hourly)

    # -- changing

    def retry(
        self, ids: Sequence[int], *, by: str, now: int, force: bool = False, more: int | None = None,
        run_at: Mapping[int, int] | None = None,
    ) -> Acted:  # fmt: skip
        return change.retry(self._db, ids, by=by, now=now, force=force, more=more, run_at=run_at or {})

    def cancel(self, ids: Sequence[int], *, by: str, now: int, signal: str | None = None) -> Acted:
        return change.cancel(self._db, ids, by=by, now=now, signal=signal)

    def edit(self, job_id: int, edit: Edit, *, by: str, now: int) -> Acted:
        return change.edit(self._db, job_id, edit, by=by, now=now)

    def delete(
        self, ids: Sequence[int], *, by: str, now: int, first: LogsGo = no_logs,
    ) -> tuple[Acted, tuple[int, ...]]:  # fmt: skip
        return change.delete(self._db, ids, by=by, now=now, first=first)

    def sweep(
        self, keep: Keep, *, now: int, batch: int = 500, statuses: Sequence[Status] = (), names: Sequence[str] = (),
        first: LogsGo = no_logs,
    ) -> Swept:  # fmt: skip
        return sweep.sweep(
            self._db, self._swept_to, keep, now=now, batch=batch, statuses=statuses, names=names, first=first
        )

    def sweepable(
        self, keep: Keep, *, now: int, statuses: Sequence[Status] = (), names: Sequence[str] = (),
    ) -> Swept:  # fmt: skip
        return sweep.sweepable(self._db, keep, now=now, statuses=statuses, names=names)

    def record(self, type_: str, *, now: int, by: str, reason: str | None = None, details: Any = None) -> None:
        import json

        with self._db.transaction():
            text = None if details is None else json.dumps(details)
            self._db.run("turn.event", **event(type_, now, by=by, reason=reason, details=text))

    def ask_to_stop(self, worker_ids: Sequence[int], how: Literal["drain", "now"], *, now: int) -> None:  # noqa: ARG002
        workers.ask_to_stop(self._db, worker_ids, how)

    # -- keeping house

    def info(self) -> dict[str, Any]:
        return house.info(self._db)

    def damage(self) -> KiribiError | None:
        try:
            whole = next(iter(self.verify()), None) is None
        except (ValueError, TypeError, LookupError):
            whole = False  # what it reads is nothing that was ever written
        return None if whole else trouble.damaged(self.path)

    def verify(self) -> Iterable[str]:
        from kiribi_cli.store.verify import verify

        return verify(self._db)

    def unknown_attempts(self, ids: Sequence[int]) -> list[int]:
        return house.unknown_attempts(self._db, ids)

    def backup(self, to: Path) -> None:
        house.backup(self._db, to)

    def vacuum(self) -> int:
        return house.vacuum(self._db)

    def export(self) -> Iterator[dict[str, Any]]:
        return transfer.export(self._db)

    def import_(self, records: Iterable[dict[str, Any]]) -> int:
        return transfer.import_(self._db, records)

    def hurry(self, patience_s: float) -> None:
        self._db.patience_s = patience_s

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
