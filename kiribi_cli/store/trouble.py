"""Puts what the database driver raises into words. The one place where its errors become KiribiError(STORE)."""

import os
from pathlib import Path

from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.connect import APPLICATION_ID, BUSY_S, SCHEMA_VERSION, driver, patiently

# Primary result codes of SQLite (sqlite.org/rescode.html); the constants are not in every driver.
_PERM, _BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _PROTOCOL, _AUTH, _NOTADB = (
    3, 5, 6, 8, 10, 11, 13, 14, 15, 23, 26,
)  # fmt: skip


# What a driver raises: its own errors, and in place of them this one where the text that they quote is damaged.
ERRORS = (driver.Error, UnicodeDecodeError)


def explain(error: Exception, path: str, patience_s: float = BUSY_S) -> KiribiError | None:
    """Say what a person can do about it; None for a mistake of ours, which must crash."""
    if isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode to UTF-8"):
        return damaged(path)
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:
        case 5 | 15:
            return busy(path, patience_s)
        case 8 | 3 | 23:
            return _store(f"the database {path} cannot be written by you", f"ls -l {path}")
        case 10:
            name = getattr(error, "sqlite_errorname", "")
            return _store(f"reading or writing the database {path} failed ({name})", "kiribi doctor looks at the disk")
        case 11:
            return damaged(path)
        case 13:
            return _store(
                f"no space is left on the disk of the database {path}", "free some, for example with kiribi sweep"
            )
        case 14:
            return _cannot_open(path)
        case 26:
            return _store(
                f"{path} is not a database of kiribi: it is not an SQLite file", "another one: --db PATH", final=True
            )
        case 1 if any(words in str(error) for words in ("no such table", "no such column", "has no column named")):
            return foreign(path)
        case 1 if "unsupported file format" in str(error):
            return damaged(path)
        case _:
            return None


def raised(error: Exception, path: str, *, patience_s: float = BUSY_S) -> KiribiError:
    """Return what to raise instead of `error`; raises the error itself if it is a mistake of ours."""
    told = explain(error, path, patience_s)
    if told is None:
        raise error
    return told


def busy(path: str, patience_s: float) -> KiribiError:
    """Name who has been writing all the time, where the kernel tells."""
    from kiribi_cli.store.writer import writer

    who = writer(path)
    if who is None:
        sentence = f"the database {path} is busy: another process has been writing to it for {patience_s:g} s"
        return _store(sentence, "kiribi ps shows the workers; fuser on the file shows who else has it open")
    stopped = ", which is stopped (Ctrl-Z, or kill -STOP)," if who.is_stopped else ""
    sentence = f"the database {path} is busy: process {who.pid}{stopped} has been writing to it for {patience_s:g} s"
    hint = f"kill -CONT {who.pid} lets it go on" if who.is_stopped else f"it is: {who.command}"
    return _store(sentence, hint)


def _cannot_open(path: str) -> KiribiError:
    file = Path(path)
    if file.is_dir():
        return _store(f"{path} is a folder, not a database", "name the file: --db PATH")
    if not os.path.lexists(path):
        return missing(path)
    return _store(f"the database {path} cannot be opened by you", f"ls -ld {file.parent} {path}")


def damaged(path: str) -> KiribiError:
    hint = "kiribi db verify says where; kiribi db backup keeps a copy"
    return _store(f"the database {path} is damaged", hint, final=True)


def missing(path: str) -> KiribiError:
    return _store(f"there is no database {path}", "kiribi enqueue, run, worker and init create it")


def foreign(path: str) -> KiribiError:
    return _store(f"{path} is an SQLite database, but not one of kiribi", "another one: --db PATH")


def replaced(path: str) -> KiribiError:
    return _store(
        f"the database {path} was deleted or replaced, or emptied, while it was open; nothing more is written to it",
        "start again what was running",
        final=True,
    )


def newer(path: str, version: int) -> KiribiError:
    kept = backup_of(path, SCHEMA_VERSION)
    other = f", or put {kept} in its place, which was made before it was migrated" if Path(kept).exists() else ""
    return _store(
        f"the database {path} is of a newer kiribi (schema {version}, this one knows {SCHEMA_VERSION})",
        f"nothing was changed; install the newer kiribi{other}",
    )


def backup_of(path: str, version: int) -> str:
    """Name the copy that a migration from `version` keeps beside the database."""
    return f"{path}.v{version}-backup"


def older(path: str) -> KiribiError:
    return _store(f"the database {path} is of an older kiribi and must be migrated first", "kiribi db migrate")


def disagrees(path: str) -> KiribiError:
    return _store(f"jobs and attempts in {path} do not agree with each other", "kiribi db verify tells where")


def unfit(connection: driver.Connection, path: str) -> KiribiError | None:
    """Say why a database of another schema version is refused; None if it can be migrated or created."""
    # Patiently: while it is made, it has no WAL yet, and whoever writes keeps readers out.
    version = patiently(connection, "PRAGMA user_version").fetchone()[0]
    application = patiently(connection, "PRAGMA application_id").fetchone()[0]
    tables = patiently(connection, "SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION_ID and tables:
        return foreign(path)
    if application == APPLICATION_ID and version > SCHEMA_VERSION:
        return newer(path, version)
    return None


def _store(message: str, hint: str, *, final: bool = False) -> KiribiError:
    return KiribiError(Code.STORE, message, hint=hint, final=final)
