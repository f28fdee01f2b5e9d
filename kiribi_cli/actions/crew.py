"""Who works on the database and who only seems to: dead, stopped, silent workers, and what they left on this host."""

import os
from collections.abc import Iterable, Iterator
from itertools import groupby

from kiribi_cli.actions.finding import Finding
from kiribi_cli.actions.remains import Stray, headless, old_files, strays, words_of
from kiribi_cli.config.discover import Database
from kiribi_cli.core.durations import age
from kiribi_cli.runner.process import leftovers, look
from kiribi_cli.store.base import Store, Worker
from kiribi_cli.store.liveness import LEASE_MS


def crew(store: Store, database: Database, now: int) -> Iterator[Finding]:
    """Look at the workers, and for processes and files that nobody answers for."""
    told = [*_dead(store, database), *_living(store, now), *_hands(database), *_left(store, database)]
    if not any(finding.check == "workers" for finding in told):
        alive = sum(worker.alive and worker.kind == "worker" for worker in store.workers())
        yield Finding("workers", "ok", f"{alive} alive, none dead")
    yield from told
    old = old_files(store, database.run)
    if old:
        message = f"{len(old)} files in {database.run} are of workers and attempts that are over"
        yield Finding("processes", "warning", message, "kiribi recover")
    if not old and not any(finding.check == "processes" for finding in told):
        yield Finding("processes", "ok", "nothing is left of attempts that are over")


def _dead(store: Store, database: Database) -> Iterator[Finding]:
    for worker in store.dead_workers():
        held = store.held_by(worker.id)
        jobs = [one.claim.job_id for one in held]
        left = leftovers([one.claim.attempt_id for one in held], str(database.path), (), jobs) if held else []
        pids = ", ".join(str(process.pid) for process in left)
        processes = f"; still alive of them: process {pids}" if left else ""
        message = f"worker {worker.name} is dead and held {_jobs(len(held))}{processes}"
        yield Finding("workers", "problem" if held else "warning", message, "kiribi recover")


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"


def _living(store: Store, now: int) -> Iterator[Finding]:
    alive = [worker for worker in store.workers() if worker.alive and worker.kind == "worker"]
    yield from _silent(alive, now)
    for worker in alive:
        if worker.config_error:
            message = f"worker {worker.name} goes on with its old definitions: {worker.config_error}"
            yield Finding("workers", "problem", message, f"kiribi check {worker.config_path or ''}".rstrip())
        if worker.low_disk:
            message = f"worker {worker.name} claims nothing: the disk is nearly full"
            yield Finding("workers", "problem", message, "kiribi sweep")


def _silent(alive: Iterable[Worker], now: int) -> Iterator[Finding]:
    """Workers that hold their lock and do nothing."""
    for worker in alive:
        process = look(worker.pid) if worker.host == os.uname().nodename else None
        since = age(now - worker.heartbeat_at)
        if process is not None and process.state in "Tt":
            message = f"worker {worker.name} is stopped (Ctrl-Z, or kill -STOP), last heard {since} ago"
            yield Finding("workers", "problem", message, f"kill -CONT {worker.pid}, or: kiribi recover")
        elif now - worker.heartbeat_at > LEASE_MS:
            message = f"worker {worker.name} lives, but has not been heard for {since}"
            yield Finding("workers", "problem", message, "kiribi recover takes its jobs over")


def _hands(database: Database) -> Iterator[Finding]:
    for one in headless(database.run):
        message = f"process {one.pid} still sees to the jobs of a worker that is dead (it was process {one.brain[0]})"
        mend = "kiribi worker takes over what may live on, kiribi recover ends it"
        yield Finding("workers", "warning", message, mend)


def _left(store: Store, database: Database) -> Iterator[Finding]:
    """Processes of attempts that are over, one finding for each attempt."""
    found = sorted(strays(store, str(database.path)), key=_place)
    for (job, _), some in groupby(found, key=_place):
        left = list(some)
        pids = ", ".join(f"{one.process.pid} ({words_of(one.process)})" for one in left)
        if left[0].is_cut_off:
            message = f"job {job} was cut off ({left[0].outcome}), and of it are left: process {pids}"
            yield Finding("processes", "problem", message, "kiribi recover")
        else:
            message = f"job {job} has ended and left running: process {pids}"
            mend = "kill " + " ".join(str(one.process.pid) for one in left)
            yield Finding("processes", "warning", message, f"nothing, if that is meant; else: {mend}")


def _place(one: Stray) -> tuple[int, int]:
    return one.job, one.attempt
