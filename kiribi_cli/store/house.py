"""Keeping house: what the database is like, copies of it, space given back. Whether it is sound: verify.py."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store import connect, migrate, trouble
from kiribi_cli.store.connect import driver
from kiribi_cli.store.database import Database

_EXACT = 10_000
VACUUM_PAGES = 256


def info(db: Database) -> dict[str, Any]:
    """What `kiribi db info` shows; nothing in here gets slower with the history."""
    jobs, job_ids, attempts, attempt_ids, events, seqs = db.rows("house.rows", most=_EXACT + 1)[0]
    oldest = db.row("house.oldest")
    page = db.pragma("page_size")
    return {
        "path": db.path, "backend": "sqlite", "driver": driver.__name__.partition(".")[0],
        "sqlite_version": driver.sqlite_version, "safe": connect.SAFE, "verdict": verdict(),
        "schema_version": db.pragma("user_version"), "schema_known": connect.SCHEMA_VERSION,
        "journal_mode": db.pragma("journal_mode"), "durability": db.durability,
        "size_bytes": page * db.pragma("page_count"), "free_bytes": page * db.pragma("freelist_count"),
        "wal_bytes": _size(db.path + "-wal"), "page_size": page,
        # Beyond ten thousand the range of ids is told instead of a count.
        "rows": {"jobs": _rows(jobs, job_ids), "attempts": _rows(attempts, attempt_ids), "events": _rows(events, seqs)},
        "rows_exact": max(jobs, attempts, events) <= _EXACT,
        "oldest_job": None if oldest is None else {"id": oldest[0], "created_at": oldest[1]},
        "filesystem": migrate.filesystem(db.path),
    }  # fmt: skip


def verdict() -> str:
    """Say whether this SQLite is safe for several processes, and what kiribi does if not."""
    if connect.SAFE:
        return "free of the WAL-reset bug"
    return "has the WAL-reset bug (fixed in 3.51.3, 3.50.7, 3.44.6); kiribi checkpoints only while it keeps writers out"


def _rows(counted: int, span: int) -> int:
    return counted if counted <= _EXACT else span


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def unknown_attempts(db: Database, ids: Sequence[int]) -> list[int]:
    return [row[0] for row in db.rows("house.unknown_attempts", ids=json.dumps(list(ids)))]


def backup(db: Database, to: Path) -> None:
    """Copy the database as it is at this moment; the file appears whole or not at all."""
    if to.exists() and to.samefile(db.path):
        raise KiribiError(Code.USAGE, f"{to} is the database itself", hint="name another file")
    from kiribi_cli.partial import keep, partial

    try:
        with partial(to) as part:
            migrate.copy(db.connection, str(part))
            keep(part, to)
    except trouble.ERRORS as error:
        raise trouble.raised(error, str(to)) from error
    except OSError as error:
        raise KiribiError(Code.STORE, f"{to} cannot be written: {error.strerror}", hint="another FILE") from None


def vacuum(db: Database) -> int:
    """Give free pages back, so many in one transaction that writers wait no longer than for each other."""
    page, before = db.pragma("page_size"), db.pragma("page_count")
    if db.pragma("auto_vacuum") != 2:
        # Made by somebody else's hands (VACUUM INTO keeps the mode, a dump does not): once in one piece, then in steps.
        connect.patiently(db.connection, "PRAGMA auto_vacuum=INCREMENTAL")
        connect.patiently(db.connection, "VACUUM")
    while free := db.pragma("freelist_count"):
        with db.transaction():
            db.connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES:d})").fetchall()
        if db.pragma("freelist_count") >= free:
            break
    # The file becomes shorter only at a checkpoint, and its WAL only at one that finds no reader.
    if connect.SAFE:
        connect.patiently(db.connection, "PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return int(page * (before - db.pragma("page_count")))
