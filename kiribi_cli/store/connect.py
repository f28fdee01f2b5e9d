"""Opens the database file and begins transactions on it: driver, pragmas, waiting for the writer before us.

On the hot path of `kiribi enqueue`: imports the driver and what Python has loaded anyway. What goes wrong is put
into words by trouble.py, what is new or old is made right by migrate.py; both are loaded when they are needed.
"""

import os
import sys

from kiribi_cli import clock
from kiribi_cli.store import line

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    driver = sqlite3
else:
    try:
        import pysqlite3.dbapi2 as driver
    except ImportError:
        import sqlite3 as driver
    # Without these the driver asks each None how to bind it, which takes 0.9 us: more than half of what a row costs.
    driver.register_adapter(type(None), {}.get)
    driver.register_adapter(bytes, bytes)

SCHEMA_VERSION = 2
APPLICATION_ID = 0x6B697269  # "kiri", in the file header: another program's SQLite file is never taken for ours
BUSY_S = 30.0
# Pages in the WAL at which a commit checkpoints.
CHECKPOINT_PAGES = 1000
# Bytes of WAL from which a SQLite with the WAL-reset bug checkpoints.
WAL_BYTES = 4 * 1024 * 1024
# Bytes of WAL that a short-lived program leaves behind: 200 pages.
WAL_BYTES_HOT = 200 * 4120


def journal_is_safe(version: "tuple[int, ...]") -> bool:
    """Tell whether this SQLite is free of the WAL-reset bug: fixed in 3.51.3 and the back-ports 3.50.7 and 3.44.6.

    >>> [journal_is_safe(v) for v in ((3, 40, 1), (3, 44, 6), (3, 50, 6), (3, 50, 7), (3, 51, 2), (3, 53, 0))]
    [False, True, False, True, False, True]
    """
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


SAFE = journal_is_safe(driver.sqlite_version_info)


def run_dir(db_path: str) -> str:
    """Name the folder of locks and sockets: `run` beside kiribi.db, `NAME-run` beside any other database."""
    return _beside(db_path, "run")


def logs_dir(db_path: str) -> str:
    """Name the default folder of logs: `logs` beside kiribi.db, `NAME-logs` beside any other database."""
    return _beside(db_path, "logs")


def _beside(db_path: str, what: str) -> str:
    folder, name = os.path.split(os.path.abspath(db_path))
    return os.path.join(folder, what if name == "kiribi.db" else f"{name}-{what}")


def connect(
    path: str, *, durability: str = "full", read_only: bool = False, checkpoint_pages: int = CHECKPOINT_PAGES
) -> "driver.Connection":
    """Connect to a database file that exists. Raises what the driver raises; look through trouble.py.

    `durability`: "full" (an acknowledged write survives a power cut) or "normal".
    """
    escaped = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    # timeout=0: SQLite's own waiting is unfair, with four writers the slowest waited 3 s; see begin().
    connection = driver.connect(
        f"file://{escaped}?mode={'ro' if read_only else 'rw'}", uri=True, timeout=0, isolation_level=None
    )
    try:
        patiently(connection, "PRAGMA synchronous=" + ("NORMAL" if durability == "normal" else "FULL"))
        if not SAFE:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            # So that the file gets short when the WAL begins anew: by its length it is known when the next one is due.
            connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES // 4:d}")
        elif checkpoint_pages != 1000:
            connection.execute(f"PRAGMA wal_autocheckpoint={checkpoint_pages:d}")
        if sys.platform == "darwin":
            connection.execute("PRAGMA fullfsync=1")
    except BaseException:
        connection.close()
        raise
    return connection


# Until the process ends.
_left_open: "list[driver.Connection]" = []


def let_go(path: str, connection: "driver.Connection") -> None:
    """Be done with a database that is refused, and change no byte of it.

    The last to close would copy the WAL into it: where there is one, the connection is left to the end of the process.
    """
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    try:
        left = os.stat(path + "-wal").st_size
    except OSError:
        left = 0
    if left:
        _left_open.append(connection)
    else:
        connection.close()


def is_busy(error: BaseException) -> bool:
    # The low byte: SQLITE_BUSY and its kinds. LOCKED (6) is a mistake of ours and no reason to wait.
    return isinstance(error, driver.OperationalError) and getattr(error, "sqlite_errorcode", 0) & 0xFF == 5


def patiently(
    connection: "driver.Connection", sql: str, values: "Any" = (), *, alone: bool = False, patience_s: float = BUSY_S
) -> "driver.Cursor":
    """Execute a statement; while another process stands in the way try again, for so many seconds.

    `alone`: nobody else tries, so it may be tried often.
    """
    try:
        return connection.execute(sql, values)
    except driver.OperationalError as error:
        if not is_busy(error):
            raise
    deadline = clock.monotonic() + patience_s
    tries = 0
    while True:
        clock.sleep(0.000_1 if alone and tries < 200 else _pause(tries))
        tries += 1
        try:
            return connection.execute(sql, values)
        except driver.OperationalError as error:
            if not is_busy(error) or clock.monotonic() > deadline:
                raise


def _pause(tries: int) -> float:
    """Seconds: about half a millisecond, each process a little different from the others and from its last time."""
    spread = (os.getpid() * 7919 + tries * 104_729) % 1000 / 1000
    return (0.000_3 + 0.000_4 * spread) * (1 if tries < 40 else 3)


def begin(connection: "driver.Connection", run_dir: str | None = None, *, patience_s: float = BUSY_S) -> None:
    """Begin a write transaction. Deferred ones fail with a "busy" that no waiting cures, so there are none.

    With `run_dir` writers take their turns (line.py): only the first in the line tries to get in.
    """
    place = line.enter(run_dir) if run_dir else None
    try:
        if place is None and run_dir and not _begun(connection):
            place = line.enter(run_dir, make=True)
        if not connection.in_transaction:
            patiently(connection, "BEGIN IMMEDIATE", alone=place is not None, patience_s=patience_s)
    finally:
        line.leave(place)


def _begun(connection: "driver.Connection") -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except driver.OperationalError as error:
        if not is_busy(error):
            raise
        return False
    return True


def commit(connection: "driver.Connection") -> None:
    """Make it durable."""
    connection.execute("COMMIT")


def is_current(connection: "driver.Connection") -> bool:
    """Tell whether the schema is the one this kiribi knows. Costs no system call inside a transaction."""
    version = patiently(connection, "PRAGMA user_version").fetchone()[0]
    return bool(
        version == SCHEMA_VERSION and patiently(connection, "PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    )


def identity(path: str) -> "tuple[int, int] | None":
    """Device and inode of the file at `path`: whoever opened it notices by this that it was deleted or replaced."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def keep_wal_short(path: str, connection: "driver.Connection", *, durability: str = "full") -> None:
    """Begin the WAL anew when it has become long, for programs that come and go with nobody else there.

    Each of them recovers the database by reading all of the WAL, and does not know that its predecessor has
    checkpointed: without an end to it, the WAL would grow with every one.
    """
    if not SAFE:
        checkpoint_defensively(path, connection, durability=durability)
        return
    try:
        if os.stat(path + "-wal").st_size >= WAL_BYTES_HOT:
            # While others read or write it says that it is busy, and does what it can.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except (OSError, driver.Error):
        # What was enqueued is safe in the WAL, whatever keeps it from being copied; the next one tries again.
        return


def checkpoint_defensively(path: str, connection: "driver.Connection", *, durability: str = "full") -> None:
    """For a SQLite with the WAL-reset bug: checkpoint while a sibling connection keeps every writer out.

    The bug needs a writer that restarts the WAL while somebody checkpoints it. Does nothing while the WAL is
    short, or when the lock is taken: the next commit will try again.
    """
    try:
        if os.stat(path + "-wal").st_size < WAL_BYTES:
            return
    except OSError:
        return
    sibling = connect(path, durability=durability)
    try:
        sibling.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        sibling.execute("ROLLBACK")
    except driver.OperationalError as error:
        if not is_busy(error):
            raise
    finally:
        sibling.close()
