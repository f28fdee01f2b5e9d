"""Where the database stands: its file system, disk, permissions, what killed copies left, who holds it up."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from kiribi_cli import clock
from kiribi_cli.actions.finding import Finding
from kiribi_cli.config.discover import Database, network_disk, network_sentence
from kiribi_cli.config.model import Config
from kiribi_cli.core.durations import spell_size
from kiribi_cli.partial import left_behind
from kiribi_cli.private import distrust
from kiribi_cli.store.writer import Writer, readers, writer

# A writer is in and out in milliseconds; whoever is seen at each look for so long keeps everybody waiting.
_LOOKS = 20
_PAUSE_S = 0.1
# With checkpoints it stays at a few megabytes.
WAL_MAX = 64 * 1024 * 1024
_FEW_FILES = 1_000


def place(database: Database, config: Config) -> Iterator[Finding]:
    """Look at the files and the disk; the database itself is not opened."""
    path = database.path
    if kind := network_disk(path):
        yield Finding("filesystem", "problem", network_sentence(path, kind), "put it on a local disk: --db PATH")
    if not path.exists():
        message = f"there is no database at {path} yet"
        yield Finding("database", "warning", message, "kiribi init; kiribi enqueue makes it too")
        return
    yield Finding("database", "ok", f"{path} ({database.origin})")
    yield from _permissions(database)
    yield from _space(path.parent, "of the database", config)
    if database.logs.is_dir() and database.logs.stat().st_dev != path.parent.stat().st_dev:
        yield from _space(database.logs, "of the logs", config)
    yield from _half_copies(path)


def _permissions(database: Database) -> Iterator[Finding]:
    path = database.path
    beside = [path.with_name(path.name + end) for end in ("-wal", "-shm")]
    # These are made with the mode of the database, so it comes first.
    files = [path, database.logs, database.run, *(() if _is_open(path) else beside)]
    open_to_others = [file for file in files if _is_open(file)]
    for file in open_to_others:
        yield Finding("permissions", "problem", f"others can look into {file}", f"chmod go= {quote(str(file))}")
    for file in (path, path.parent):
        if why := distrust(file):
            noun = "the folder" if file.is_dir() else "the file"
            act = (
                f"chmod o-w {quote(str(file))}" if file.stat().st_mode & stat.S_IWOTH else f"ls -ld {quote(str(file))}"
            )
            yield Finding("permissions", "problem", why.format(noun=noun), act)
    if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
        message = f"the disk of {path.parent} is mounted read-only: nothing can be enqueued or run"
        yield Finding("filesystem", "problem", message, f"mount -o remount,rw {quote(str(_mount_point(path)))}")
    else:
        for one in (path, path.parent):
            if not os.access(one, os.W_OK):
                yield Finding("permissions", "problem", f"you cannot write to {one}", f"ls -ld {quote(str(one))}")
    if not open_to_others:
        yield Finding("permissions", "ok", "database, logs and sockets are for you alone")


def _is_open(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except FileNotFoundError:
        return False


def _mount_point(path: Path) -> Path:
    return next(folder for folder in path.resolve().parents if folder.is_mount())


def _space(folder: Path, what: str, config: Config) -> Iterator[Finding]:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    warning, _ = config.health.disk_free
    told = f"{spell_size(free)} free on the disk {what}"
    mend = "kiribi sweep -n shows what could go, kiribi sweep deletes it"
    if free < config.worker.min_free:
        least = f"worker.min_free ({spell_size(config.worker.min_free)})"
        yield Finding("disk", "problem", f"{told}: below {least}, workers claim nothing", mend)
    elif free < warning:
        yield Finding("disk", "warning", told, mend)
    else:
        yield Finding("disk", "ok", told)
    if status.f_files and status.f_favail < _FEW_FILES:
        yield Finding("disk", "problem", f"only {status.f_favail} files can be made on the disk {what}", mend)


def _half_copies(path: Path) -> Iterator[Finding]:
    names = (path.name, f"{path.name}.backup", f"{path.name}.export")
    left = [half for name in names for half in left_behind(path.with_name(name))]
    left += [half for kept in path.parent.glob(f"{path.name}.v*-backup") for half in left_behind(kept)]
    if left:
        size = sum(half.stat().st_size for half in left)
        message = f"half copies of the database, left by processes that were killed: {len(left)} ({spell_size(size)})"
        yield Finding("disk", "warning", message, "rm " + " ".join(quote(str(half)) for half in left))


def traffic(path: Path) -> Iterator[Finding]:
    """Look at who writes, and who reads for so long that the WAL cannot begin anew."""
    holder = _held_by(str(path))
    if holder is not None:
        state = ", which is stopped," if holder.is_stopped else ""
        message = f"process {holder.pid} ({holder.command}){state} keeps everybody else from writing to the database"
        mend = f"kill -CONT {holder.pid}" if holder.is_stopped else f"kill {holder.pid}"
        yield Finding("locks", "problem", message, mend)
    wal = path.with_name(path.name + "-wal")
    size = wal.stat().st_size if wal.exists() else 0
    if size > WAL_MAX:
        yield _long_wal(path, size)
    if holder is None and size <= WAL_MAX:
        yield Finding("locks", "ok", f"nobody holds the database up; its WAL has {spell_size(size)}")


def _held_by(path: str) -> Writer | None:
    first = writer(path)
    for _ in range(_LOOKS):
        if first is None:
            return None
        clock.sleep(_PAUSE_S)
        again = writer(path)
        if again is None or again.pid != first.pid:
            return None
    return first


def _long_wal(path: Path, size: int) -> Finding:
    told = f"the WAL of the database has grown to {spell_size(size)}"
    reading = readers(str(path))
    if not reading:
        return Finding("locks", "warning", told, "kiribi db vacuum")
    names = ", ".join(f"process {one.pid} ({one.command})" for one in reading)
    pids = " ".join(str(one.pid) for one in reading)
    message = f"{told}: {names} reads an old state of the database, so it cannot begin anew"
    return Finding("locks", "warning", message, f"kill {pids}")
