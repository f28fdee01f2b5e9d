"""What is wrong or risky on this machine, each finding with the command that mends it. Looks only, changes nothing."""

import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from kiribi_cli.actions.crew import crew
from kiribi_cli.actions.finding import Finding, Machine
from kiribi_cli.actions.place import place, traffic
from kiribi_cli.config.discover import FILE_NAME, Database, Found
from kiribi_cli.config.model import Config
from kiribi_cli.config.read import check
from kiribi_cli.core.durations import age, spell_size
from kiribi_cli.runner.logs_dir import strays
from kiribi_cli.store.base import Store
from kiribi_cli.store.connect import SAFE, driver

# Jobs stand in a queue for less than this where somebody works on it.
STUCK_MS = 10 * 60_000
# A cancelled job has kill_after to end, which is seconds.
CANCEL_MS = 60_000
# Clocks of one machine do not differ; a minute is a jump.
JUMP_MS = 60_000
CLOCK = "timedatectl set-ntp true"
YEAR_2025_MS = 1_735_689_600_000


def examine(machine: Machine, *, deep: bool = False) -> Iterator[Finding]:
    """Look at everything, in the order in which one thing rests on another."""
    yield from _sqlite(machine.store)
    for error in machine.errors:
        yield Finding("refused", "problem", error.message, error.hint)
    yield from _configuration(machine)
    if machine.database is not None:
        yield from place(machine.database, machine.config or Config())
    yield from _clock(machine)
    if machine.store is not None and machine.database is not None:
        yield from traffic(machine.database.path)
        yield from crew(machine.store, machine.database, machine.now)
        yield from _jobs(machine.store, machine.config, machine.now)
        yield from _published(machine.store)
        yield from _logs(machine.store, machine.database)
        yield from _deep(machine.store) if deep else ()


def _sqlite(store: Store | None) -> Iterator[Finding]:
    version = f"SQLite {driver.sqlite_version} ({driver.__name__.partition('.')[0]})"
    if store is not None:
        info = store.info()
        version = f"{version}, journal {info['journal_mode']}, durability {info['durability']},"
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
    if _is_open(found.path):
        message = f"others may write to {found.path}: whoever does decides what runs as you"
        yield Finding("config", "problem", message, f"chmod go-w {quote(str(found.path))}")
    yield from _shadowed(found, found.path)


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _shadowed(found: Found, path: Path) -> Iterator[Finding]:
    """Other files of the name that somebody might believe to be in use."""
    above = [folder / FILE_NAME for folder in path.parent.parents] if found.walked else []
    walked = [folder / FILE_NAME for folder in (Path.cwd(), *Path.cwd().parents)] if not found.walked else []
    for other in (*above, *walked):
        if other.is_file() and not other.samefile(path):
            message = f"{path} is used ({found.origin}), and hides {other}"
            yield Finding("config", "warning", message, f"to use the other: kiribi -c {other} ...; or put it elsewhere")


def _clock(machine: Machine) -> Iterator[Finding]:
    now = machine.now
    if now < YEAR_2025_MS:
        yield Finding("clock", "problem", "the clock of this machine is years behind", CLOCK)
        return
    newest = machine.store.latest(None) if machine.store else None
    job = machine.store.job(newest, now=now) if machine.store and newest is not None else None
    if job is not None and job.created_at > now + JUMP_MS:
        ahead = age(job.created_at - now)
        message = f"the newest job ({job.id}) was enqueued {ahead} in the future: the clock has been set back"
        yield Finding("clock", "warning", message, f"{CLOCK}; jobs with a time wait until it is there again")
        return
    beats = [worker.heartbeat_at for worker in machine.store.workers()] if machine.store else []
    if beats and max(beats) > now + JUMP_MS:
        message = f"a worker was heard {age(max(beats) - now)} in the future: the clock has been set back"
        yield Finding("clock", "warning", message, CLOCK)
        return
    yield Finding("clock", "ok", "the clock agrees with the history")


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
        if job.cancel_requested_at is not None and now - job.cancel_requested_at > CANCEL_MS:
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


def _published(store: Store) -> Iterator[Finding]:
    """Definitions for programs that enqueue by SQL, of files that are not there any more."""
    for path in store.publishers():
        if not Path(path).exists():
            message = f"programs can still enqueue by SQL what {path} defined, which is gone"
            yield Finding("config", "warning", message, f"kiribi def publish --withdraw {quote(path)}")


def _logs(store: Store, database: Database) -> Iterator[Finding]:
    lost = strays(database.logs, store.unknown_attempts)
    if lost.attempt_ids:
        count = len(lost.attempt_ids)
        words = "log belongs" if count == 1 else "logs belong"
        message = f"{count} {words} to no job any more ({spell_size(lost.freed)})"
        yield Finding("logs", "warning", message, "kiribi sweep --logs-only")
    else:
        yield Finding("logs", "ok", "every log belongs to a job")


def _deep(store: Store) -> Iterator[Finding]:
    sentences = list(store.verify())
    for sentence in sentences:
        yield Finding("database", "problem", sentence, "kiribi help verify")
    if not sentences:
        yield Finding("database", "ok", "the database is whole, and its rules hold")
