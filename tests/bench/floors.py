"""What the machine can do at best: the least that the same promise costs without kiribi. Each floor is a plain loop."""

import os
import sqlite3
import sys
import time
from pathlib import Path

SCHEMA = "CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, payload TEXT)"

# One durable insert into a database that is there: what `kiribi enqueue` is measured against.
INSERT_SCRIPT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA synchronous=FULL")
connection.execute("INSERT INTO jobs (name, payload) VALUES (?, ?)", ("Echo", '{"user": 42}'))
connection.close()
"""


def database(path: Path) -> Path:
    """Make the database of a floor, with the settings of kiribi's own: WAL, synchronous=FULL."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(SCHEMA)
    connection.close()
    return path


def bulk_rows_per_second(path: Path, payloads: list[str], size: int = 1000) -> float:
    """Insert rows in durable transactions of `size` with executemany."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    begun = time.perf_counter()
    for start in range(0, len(payloads), size):
        connection.execute("BEGIN IMMEDIATE")
        rows = [("Echo", payload) for payload in payloads[start : start + size]]
        connection.executemany("INSERT INTO jobs (name, payload) VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    rate = len(payloads) / (time.perf_counter() - begun)
    connection.close()
    return rate


def spawns_per_second(count: int, slots: int) -> float:
    """Start `true` with posix_spawn, `slots` at once, and wait; no pipes, nothing recorded."""
    program, environment, running = "/bin/true", dict(os.environ), 0
    begun = time.perf_counter()
    for _ in range(count):
        if running == slots:
            os.wait()
            running -= 1
        os.posix_spawn(program, [program], environment)
        running += 1
    for _ in range(running):
        os.wait()
    return count / (time.perf_counter() - begun)


def python() -> str:
    """The interpreter that runs kiribi here."""
    return sys.executable
