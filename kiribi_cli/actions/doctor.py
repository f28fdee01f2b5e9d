"""What is wrong or risky on this machine, each finding with the command that mends it. Looks only, changes nothing."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from kiribi_cli.config.discover import FILE_NAME, Database, Found, network_disk, network_sentence
from kiribi_cli.config.model import Config
from kiribi_cli.config.read import check
from kiribi_cli.core.durations import age, spell_size
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import KiribiError
from kiribi_cli.private import distrust
from kiribi_cli.runner.logs_dir import strays
from kiribi_cli.runner.process import leftovers, look
from kiribi_cli.store.base import Store, Worker
from kiribi_cli.store.connect import SAFE, driver
from kiribi_cli.store.liveness import LEASE_MS

# Jobs stand in a queue for less than this where somebody works on it.
STUCK_MS = 10 * 60_000
# Clocks of one machine do not differ; a minute is a jump.
JUMP_MS = 60_000
YEAR_2025_MS = 1_735_689_600_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `mend`: the command or act that puts it right, None where nothing is to be done."""

    check: str
    status: Literal["ok", "warning", "problem"]
    message: str
    mend: str | None = None

    def as_object(self) -> dict[str, str | None]:
        return {"check": self.check, "status": self.status, "message": self.message, "mend": self.mend}


@dataclass(frozen=True, slots=True)
class Machine:
    """What is looked at; what could not be had is None, and an error says why."""

    found: Found | None
    config: Config | None
    database: Database | None
    store: Store | None
    errors: tuple[KiribiError, ...]
    env: Mapping[str, str]
    now: int


def examine(machine: Machine, *, deep: bool = False) -> Iterator[Finding]:
    """Look at everything, in the order in which one thing rests on another."""
    yield from _sqlite()
    for error in machine.errors:
        yield Finding("refused", "problem", error.message, error.hint)
    yield from _configuration(machine)
    if machine.database is not None:
        yield from _place(machine.database, machine.config or Config())
    yield from _clock(machine)
    if machine.store is not None and machine.database is not None:
        yield from _workers(machine.store, machine.database, machine.now)
        yield from _jobs(machine.store, machine.config, machine.now)
        yield from _logs(machine.store, machine.database)
        yield from _deep(machine.store) if deep else ()


def _sqlite() -> Iterator[Finding]:
    version = f"SQLite {driver.sqlite_version} ({driver.__name__.partition('.')[0]})"
    if SAFE:
        yield Finding("sqlite", "ok", f"{version} is free of the WAL-reset bug")
        return
    yield Finding(
        "sqlite",
        "warning",
        f"{version} can, rarely, damage a database that several processes write; kiribi checkpoints defensively",
        "pip install 'pysqlite3>=0.6.1', or a Python with SQLite 3.51.3 or newer",
    )


def _configuration(machine: Machine) -> Iterator[Finding]:
    found = machine.found
    if found is None:
        return
    if found.path is None:
        yield Finding("config", "ok", "there is no jobs.toml here or above: commands behind -- need none")
        return
    problems = check(found.path)
    errors = [problem for problem in problems if problem.severity == "error"]
    warnings = len(problems) - len(errors)
    if errors:
        yield Finding("config", "problem", f"{found.path} is broken: {errors[0]}", f"kiribi check {found.path}")
    elif warnings:
        yield Finding("config", "warning", f"{found.path} has {warnings} warnings: {problems[0]}", "kiribi check")
    else:
        yield Finding("config", "ok", f"{found.path} is fine ({found.origin})")
    yield from _shadowed(found, found.path)


def _shadowed(found: Found, path: Path) -> Iterator[Finding]:
    """Other files of the name that somebody might believe to be in use."""
    above = [folder / FILE_NAME for folder in path.parent.parents] if found.walked else []
    walked = [folder / FILE_NAME for folder in (Path.cwd(), *Path.cwd().parents)] if not found.walked else []
    for other in (*above, *walked):
        if other.is_file() and not other.samefile(path):
            message = f"{path} is used ({found.origin}), and hides {other}"
            yield Finding("config", "warning", message, f"to use the other: kiribi -c {other} ...; or put it elsewhere")


def _place(database: Database, config: Config) -> Iterator[Finding]:
    path = database.path
    if kind := network_disk(path):
        yield Finding("filesystem", "problem", network_sentence(path, kind), "put it on a local disk: --db PATH")
    if not path.exists():
        yield Finding(
            "database", "warning", f"there is no database at {path} yet", "kiribi init; kiribi enqueue makes it too"
        )
        return
    yield Finding("database", "ok", f"{path} ({database.origin})")
    yield from _permissions(database)
    yield from _space(path, config)


def _permissions(database: Database) -> Iterator[Finding]:
    path = database.path
    files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm")), database.logs, database.run]
    open_to_others = [file for file in files if file.exists() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    for file in open_to_others:
        yield Finding("permissions", "problem", f"others can look into {file}", f"chmod go= {file}")
    if why := distrust(path):
        yield Finding("permissions", "problem", why.format(noun="the file"), f"ls -l {path}")
    for place in (path, path.parent):
        if not os.access(place, os.W_OK):
            yield Finding("permissions", "problem", f"you cannot write to {place}", f"ls -ld {place}")
    if not open_to_others:
        yield Finding("permissions", "ok", "database, logs and sockets are for you alone")


def _space(path: Path, config: Config) -> Iterator[Finding]:
    status = os.statvfs(path.parent)
    free = status.f_bavail * status.f_frsize
    warning, _ = config.health.disk_free
    told = f"{spell_size(free)} free on the disk of the database"
    if free < config.worker.min_free:
        message = f"{told}: below worker.min_free ({spell_size(config.worker.min_free)}), workers claim nothing"
        yield Finding("disk", "problem", message, "kiribi sweep -n shows what could go")
    elif free < warning:
        yield Finding("disk", "warning", told, "kiribi sweep -n shows what could go")
    else:
        yield Finding("disk", "ok", told)
    if status.f_files and status.f_favail < 1_000:
        yield Finding("disk", "problem", f"only {status.f_favail} files can be made on this disk", "kiribi sweep")


def _clock(machine: Machine) -> Iterator[Finding]:
    now = machine.now
    if now < YEAR_2025_MS:
        yield Finding("clock", "problem", "the clock of this machine is years behind", "timedatectl, or date -s")
        return
    newest = machine.store.latest(None) if machine.store else None
    job = machine.store.job(newest, now=now) if machine.store and newest is not None else None
    if job is not None and job.created_at > now + JUMP_MS:
        ahead = age(job.created_at - now)
        message = f"the newest job ({job.id}) was enqueued {ahead} in the future: the clock has been set back"
        yield Finding("clock", "warning", message, "timedatectl; jobs with a time wait until the clock is there again")
        return
    yield Finding("clock", "ok", "the clock agrees with the history")


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


def _workers(store: Store, database: Database, now: int) -> Iterator[Finding]:
    dead = store.dead_workers()
    for worker in dead:
        held = store.held_by(worker.id)
        left = leftovers([one.claim.attempt_id for one in held], str(database.path)) if held else []
        processes = f", of which {len(left)} processes are left" if left else ""
        message = f"worker {worker.name} is dead and held {len(held)} jobs{processes}"
        yield Finding("workers", "problem" if held else "warning", message, "kiribi recover")
    alive = [worker for worker in store.workers() if worker.alive and worker.kind == "worker"]
    yield from _silent(alive, now)
    for worker in alive:
        if worker.config_error:
            message = f"worker {worker.name} goes on with its old definitions: {worker.config_error}"
            yield Finding("workers", "problem", message, f"kiribi check {worker.config_path or ''}".rstrip())
        if worker.low_disk:
            yield Finding(
                "workers", "problem", f"worker {worker.name} claims nothing: the disk is nearly full", "kiribi sweep"
            )
    if not dead:
        yield Finding("workers", "ok", f"{len(alive)} alive, none dead")


def _jobs(store: Store, config: Config | None, now: int) -> Iterator[Finding]:
    standing = store.now(now=now)
    waiting = now - standing.oldest_pending_at if standing.oldest_pending_at is not None else 0
    alive = any(worker.alive and worker.kind == "worker" for worker in store.workers())
    told = list(_homeless(store, config))
    if waiting > STUCK_MS and not alive:
        message = f"{standing.pending} jobs are pending, the oldest for {age(waiting)}, and no worker is alive"
        told.append(Finding("jobs", "warning", message, "kiribi worker"))
    elif waiting > STUCK_MS:
        oldest = store.oldest_pending()
        mend = f"kiribi why {oldest}" if oldest is not None else "kiribi ls --status pending"
        told.append(Finding("jobs", "warning", f"the oldest pending job waits for {age(waiting)}", mend))
    for job in store.running():
        if job.cancel_requested_at is not None and now - job.cancel_requested_at > STUCK_MS:
            message = f"job {job.id} was to be cancelled {age(now - job.cancel_requested_at)} ago and still runs"
            told.append(Finding("jobs", "warning", message, f"kiribi cancel {job.id} --now"))
    yield from told or [Finding("jobs", "ok", f"{standing.pending} pending, {standing.running} running, none is stuck")]


def _homeless(store: Store, config: Config | None) -> Iterator[Finding]:
    """Waiting jobs whose definition is gone."""
    if config is None:
        return
    gone = set(store.waiting_names()) - set(config.definitions)
    for name in sorted(gone):
        message = f"jobs of {name} wait, and jobs.toml has no such definition"
        yield Finding("jobs", "problem", message, f"bring it back, or: kiribi cancel --job {name}")


def _logs(store: Store, database: Database) -> Iterator[Finding]:
    lost = strays(database.logs, store.unknown_attempts)
    if lost.attempt_ids:
        message = f"{len(lost.attempt_ids)} logs belong to no job any more ({spell_size(lost.freed)})"
        yield Finding("logs", "warning", message, "kiribi sweep --logs-only")
    else:
        yield Finding("logs", "ok", "every log belongs to a job")


def _deep(store: Store) -> Iterator[Finding]:
    sentences = list(store.verify())
    for sentence in sentences:
        yield Finding("database", "problem", sentence, "kiribi db backup FILE, then kiribi db export and import")
    if not sentences:
        yield Finding("database", "ok", "the database is whole, and its rules hold")


def worst(findings: Iterable[Finding]) -> str:
    """Give the worst status there is.

    >>> worst([Finding("a", "ok", ""), Finding("b", "warning", "")])
    'warning'
    """
    order: Callable[[str], int] = ("ok", "warning", "problem").index
    return max((finding.status for finding in findings), key=order, default="ok")
