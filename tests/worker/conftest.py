"""A worker whose loop the tests step themselves: real SQLite, real hands, no daemon."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kiribi_cli.config.discover import find_database
from kiribi_cli.config.model import Config
from kiribi_cli.config.read import read
from kiribi_cli.core.job import Job, NewJob
from kiribi_cli.core.options import with_command
from kiribi_cli.core.plan import new_job, plan_of
from kiribi_cli.store.base import DeclaredLost
from kiribi_cli.store.liveness import Liveness
from kiribi_cli.store.sqlite import SqliteStore
from kiribi_cli.worker.journal import Journal
from kiribi_cli.worker.setup import Enlisted, Wish, enlist
from kiribi_cli.worker.signals import Signals
from kiribi_cli.worker.worker import Worker
from tests.invariants import check_databases

STEPS = 2_000


class Yard:
    """A folder with jobs.toml and a database; makes workers and jobs, and steps the former."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = io.StringIO()
        self.workers: list[Worker] = []
        self.locks: list[Liveness] = []
        self.stores: list[SqliteStore] = []
        (folder / "jobs.toml").write_text("")
        self.store = self._open()

    def define(self, text: str) -> None:
        (self.folder / "jobs.toml").write_text(text)

    @property
    def config(self) -> Config:
        return read(self.folder / "jobs.toml")

    def _open(self) -> SqliteStore:
        store = SqliteStore.open(self.folder / "kiribi.db", create=True)
        self.stores.append(store)
        return store

    def enlisted(self, wish: Wish) -> Enlisted:
        database = find_database(str(self.folder / "kiribi.db"), os.environ, self.config, self.folder)
        return enlist(self._open(), self.config, database, wish, Journal(self.log, "text"), read=lambda: self.config)

    def worker(self, name: str = "w1", **wishes: object) -> Worker:
        made = self.enlisted(Wish(name=name, **{"slots": 2, **wishes}))  # type: ignore[arg-type]
        who = made.setup.identity
        self.locks.append(Liveness(made.setup.run_dir, who.name, who.pid, who.process))
        common = made.store, made.definitions, made.place, made.setup, made.journal
        worker = Worker(*common, Signals(), self.locks[-1])
        worker.begin()
        self.workers.append(worker)
        return worker

    def enqueue(self, name: str, payload: str | None = None, **columns: object) -> int:
        plan = plan_of(self.config.definitions[name])
        from kiribi_cli.clock import now_ms

        now = now_ms()
        row: NewJob = new_job(plan, payload, None, now=now, run_at=None, origin_kind="cli", origin_by="t", parent=None)
        row.update(columns)  # type: ignore[typeddict-item]
        return self.store.insert([row], now=now)[0].id

    def command(self, *argv: str, **columns: object) -> int:
        from kiribi_cli.clock import now_ms

        plan = plan_of(self.config.adhoc(argv[0], argv, str(self.folder)))
        plan["options"] = with_command(plan["options"], argv, str(self.folder))
        now = now_ms()
        row: NewJob = new_job(plan, None, None, now=now, run_at=None, origin_kind="cli", origin_by="t", parent=None)
        row.update(columns)  # type: ignore[typeddict-item]
        return self.store.insert([row], now=now)[0].id

    def job(self, job_id: int) -> Job:
        found = self.store.job(job_id, now=0)
        assert found is not None
        return found

    def until(self, worker: Worker, true: Callable[[], object]) -> None:
        """Step until something is so; each step ends by itself when something stirs."""
        for _ in range(STEPS):
            if true():
                return
            worker.step(min(0.05, worker.patience()))
        pytest.fail(f"not so after {STEPS} steps; the log says:\n{self.log.getvalue()}")

    def until_finished(self, worker: Worker, *job_ids: int) -> None:
        self.until(worker, lambda: all(self.job(job_id).finished_at is not None for job_id in job_ids))

    def close(self) -> None:
        for worker in self.workers:
            try:
                worker.stop_jobs(kill_after_ms=0)
            except DeclaredLost:
                worker.begin_anew()
                worker.stop_jobs(kill_after_ms=0)
            for _ in range(STEPS):
                if worker.finished():
                    break
                worker.step(min(0.05, worker.patience()))
            worker.end()
        for lock in self.locks:
            lock.close()
        for store in self.stores:
            store.close()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()
    check_databases([tmp_path / "kiribi.db"])
