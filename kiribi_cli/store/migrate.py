"""Makes a new database, and brings an older one to the schema of this kiribi, in one transaction, after a backup."""

import os
from pathlib import Path

from kiribi_cli import clock, private
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store import connect, trouble
from kiribi_cli.store.connect import APPLICATION_ID, SCHEMA_VERSION, driver
from kiribi_cli.store.liveness import is_alive
from kiribi_cli.store.statements import statement

_HERE = Path(__file__).parent
MIGRATIONS = _HERE / "migrations"
# What locks of SQLite are known not to work on, or to work only most of the time.
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "afs", "9p", "lustre", "beegfs")


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: a script that takes the schema from version - 1 to `version`."""

    version: int
    name: str
    script: str


def steps(folder: Path = MIGRATIONS) -> tuple[Step, ...]:
    """Read the migrations, NNNN_what_it_does.sql, NNNN being the version it leads to."""
    return tuple(
        Step(int(file.name[:4]), file.stem[5:].replace("_", " "), file.read_text("utf-8"))
        for file in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    )


def plan(version: int, known: tuple[Step, ...], target: int = SCHEMA_VERSION) -> tuple[Step, ...]:
    """Choose the steps from a version to the target, in order.

    >>> [step.version for step in plan(1, (Step(2, "a", ""), Step(3, "b", "")), 3)]
    [2, 3]
    """
    chosen = tuple(step for step in known if version < step.version <= target)
    if [step.version for step in chosen] != list(range(version + 1, target + 1)):
        raise ValueError(f"no way from schema {version} to {target}")
    return chosen


def create(path: str) -> None:
    """Make the file with nobody else's eyes on it, then the schema. Several processes may do it at once; one wins."""
    _refuse_remote(path)
    _make_folder(Path(path).absolute().parent)
    _make_file(path)
    connection = connect.connect(path)
    try:
        # Before the first table; gives space back in steps (`kiribi db vacuum`).
        connect.patiently(connection, "PRAGMA auto_vacuum=INCREMENTAL")
        connect.patiently(connection, "PRAGMA journal_mode=WAL").fetchall()
        connect.begin(connection)
        if not connect.is_current(connection):
            _write_schema(connection, path)
        connection.execute("COMMIT")
    except trouble.ERRORS as error:
        raise trouble.raised(error, path) from error
    finally:
        connection.close()


def _write_schema(connection: driver.Connection, path: str) -> None:
    refusal = trouble.unfit(connection, path)
    if refusal:
        raise refusal
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        # Older: migrating it is not the business of whoever only wanted it to be there.
        return
    run_script(connection, (_HERE / "sql" / "schema.sql").read_text("utf-8"))
    connection.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION:d}")


def _make_folder(folder: Path) -> None:
    try:
        private.make_folder(folder, durable=True)
    except OSError as error:
        raise KiribiError(
            Code.STORE, f"the folder {folder} cannot be made: {error.strerror}", hint="another place: --db PATH"
        ) from None


def _make_file(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise KiribiError(
            Code.STORE, f"the database {path} cannot be made: {error.strerror}", hint="another place: --db PATH"
        ) from None
    # SQLite gives -wal and -shm the mode of the file itself.
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)


def run_script(connection: driver.Connection, script: str) -> None:
    """Execute statements within the transaction that is open: executescript() would commit it first."""
    statement = ""
    for piece in script.split(";")[:-1]:
        statement += piece + ";"
        # Not where the semicolon stands in a comment, a string or the body of a trigger.
        if driver.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def version_of(connection: driver.Connection) -> int:
    return int(connect.patiently(connection, "PRAGMA user_version").fetchone()[0])


def upgrade(
    connection: driver.Connection, path: str, known: tuple[Step, ...], target: int = SCHEMA_VERSION
) -> str | None:
    """Bring an older database to `target`; answer the path of the backup made before, None if there was nothing to do.

    Refused (STORE, nothing changed) while a worker of the older version is alive.
    """
    if not plan(version_of(connection), known, target):
        return None
    # From here on nobody else writes: what is copied is what is migrated, and of two that want to, one finds it done.
    connect.begin(connection)
    try:
        before = version_of(connection)
        todo = plan(before, known, target)
        if not todo:
            return None
        _refuse_while_in_use(connection, path)
        kept = _backup(path, before)
        for step in todo:
            run_script(connection, step.script)
            connection.execute(f"PRAGMA user_version={step.version:d}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return kept


def _refuse_while_in_use(connection: driver.Connection, path: str) -> None:
    for name, pid, process, heartbeat_at in connection.execute(statement("workers.alive_in_any_version")).fetchall():
        if is_alive(connect.run_dir(path), name, pid, process, heartbeat_at=heartbeat_at, now=clock.now_ms()):
            raise KiribiError(
                Code.STORE,
                f"the database {path} must be migrated, and worker {name} of the older kiribi is still running",
                hint="kiribi stop, with the older kiribi; then again",
            )


def _backup(path: str, version: int) -> str:
    """Keep a copy beside the database, durable on return. Only who holds the write lock makes one.

    A copy that was cut off, also by a kill, is made again; one that an earlier migration completed is replaced.
    """
    kept = trouble.backup_of(path, version)
    partial = f"{kept}-unfinished"
    reader = connect.connect(path)
    try:
        copy(reader, partial)
        Path(partial).replace(kept)
        private.sync_folder(os.path.dirname(kept))  # noqa: PTH120  (as private.py has it)
    except OSError as error:
        raise _no_backup(kept, error.strerror) from None
    except driver.Error as error:
        told = trouble.raised(error, partial)
        raise _no_backup(kept, told.message) from error
    finally:
        reader.close()
        # Gone already, unless something was raised.
        remove(partial)
    return kept


def _no_backup(kept: str, why: str | None) -> KiribiError:
    return KiribiError(
        Code.STORE,
        f"the backup {kept} cannot be made: {why}; the database is as it was",
        hint="make room beside the database, then again",
    )


def copy(connection: driver.Connection, to: str) -> None:
    """Copy the database as it is at this moment into a new file of mode 0600, its content durable on return."""
    remove(to)
    descriptor = os.open(to, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    # Into an empty file is allowed, so it is ours alone from its first byte.
    # As bytes: a path need not be UTF-8.
    connect.patiently(connection, "VACUUM INTO CAST(:to AS TEXT)", {"to": os.fsencode(to)})
    target = connect.connect(to)
    try:
        # So that it can be put in the place of the other as it is.
        target.execute("PRAGMA journal_mode=WAL").fetchall()
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        target.close()


def remove(path: str) -> None:
    """Delete a database that nobody uses, and what belongs to it."""
    for end in ("", "-journal", "-wal", "-shm"):
        Path(path + end).unlink(missing_ok=True)


def _refuse_remote(path: str) -> None:
    kind = filesystem(path)
    if kind and (kind in _REMOTE or kind.startswith("fuse")):
        raise KiribiError(
            Code.STORE,
            f"{path} is on a network filesystem ({kind}), where a database that several processes use is not safe",
            hint="put it on a local disk (--db PATH); for several hosts PostgreSQL will be the way",
        )


def filesystem(path: str) -> str | None:
    """Name the type of the filesystem that holds `path` (or would); None where the system does not tell."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    device = place.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    for mount in mounts:
        fields = mount.split(" ")
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return None
