"""What the machine can do at best: the least that the same promise costs without kiribi. Each floor is a plain loop."""

import os
import signal
import socket
import sqlite3
import sys
import time
from pathlib import Path

SCHEMA = "CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, payload TEXT, status TEXT, ended INTEGER)"
INSERT = "INSERT INTO jobs (name, payload) VALUES (?, ?)"
END = "UPDATE jobs SET status = 'completed', ended = ? WHERE id = ?"

# One durable insert into a database that is there: what `kiribi enqueue` is measured against.
INSERT_SCRIPT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA synchronous=FULL")
connection.execute("INSERT INTO jobs (name, payload) VALUES (?, ?)", ("Echo", '{"user": 42}'))
connection.close()
"""


def python() -> str:
    """The interpreter that runs kiribi here."""
    return sys.executable


def database(path: Path) -> Path:
    """Make the database of a floor, with the settings of kiribi's own: WAL, synchronous=FULL."""
    connection = _open(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(SCHEMA)
    connection.close()
    return path


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def bulk_rows_per_second(path: Path, payloads: list[str], size: int = 1000) -> float:
    """Insert rows in durable transactions of `size` with executemany."""
    connection = _open(path)
    begun = time.perf_counter()
    for start in range(0, len(payloads), size):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, [("Echo", payload) for payload in payloads[start : start + size]])
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


def grouped_spawns_per_second(path: Path, count: int, slots: int) -> float:
    """The same, and each end recorded durably: one commit for all ends of 5 ms. No pipes, no output, no claims."""
    connection = _open(path)
    connection.executemany(INSERT, [("True", "{}")] * count)
    program, environment, running, ended = "/bin/true", dict(os.environ), dict[int, int](), list[tuple[int, int]]()
    begun = committed = time.perf_counter()
    for job in range(1, count + slots + 1):
        if len(running) == slots or job > count:
            pid, _ = os.wait() if running else (0, 0)
            ended.append((time.time_ns(), running.pop(pid, 0)))
        if time.perf_counter() - committed > 0.005 or job == count + slots:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(END, ended)
            connection.execute("COMMIT")
            ended, committed = [], time.perf_counter()
        if job <= count:
            running[os.posix_spawn(program, [program], environment)] = job
    rate = count / (time.perf_counter() - begun)
    [(left,)] = connection.execute("SELECT count(*) FROM jobs WHERE status IS NULL").fetchall()
    connection.close()
    if left:
        raise AssertionError(f"{left} of {count} not recorded")
    return rate


def calls_per_second(path: Path, count: int, children: int = 2, size: int = 100) -> float:
    """Hand rows to children in batches of `size`, claimed and ended durably; each calls a function that does nothing."""
    connection = _open(path)
    connection.execute("BEGIN")
    connection.executemany(INSERT, [("Noop", "{}")] * count)
    connection.execute("COMMIT")
    pairs = [_child() for _ in range(children)]
    next_id, handed, done = 1, [range(0)] * children, 0
    begun = time.perf_counter()
    while done < count:
        ends = list[tuple[int, int]]()
        for at, (_, pipe) in enumerate(pairs):
            if handed[at]:
                pipe.recv(65536)
                ends += [(time.time_ns(), job) for job in handed[at]]
            handed[at] = range(next_id, min(next_id + size, count + 1))
            next_id = handed[at].stop
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(END, ends)
        connection.executemany(
            "UPDATE jobs SET status = 'running' WHERE id = ?", [(job,) for ids in handed for job in ids]
        )
        connection.execute("COMMIT")
        done += len(ends)
        for at, (_, pipe) in enumerate(pairs):
            if handed[at]:
                pipe.send(b"%d" % len(handed[at]))
    rate = count / (time.perf_counter() - begun)
    connection.close()
    # The younger children have copies of the older ones' pipes: all are closed before one is waited for.
    for _, pipe in pairs:
        pipe.close()
    for pid, _ in pairs:
        os.waitpid(pid, 0)
    return rate


def _child() -> tuple[int, socket.socket]:
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        its.close()
        return pid, mine
    mine.close()
    while many := its.recv(64):
        its.send(b"".join(b"%d:%r," % (n, _nothing()) for n in range(int(many))))
    os._exit(0)


def _nothing() -> bytes:
    return b""


def wakings_ms(count: int) -> list[float]:
    """From the return of sendto to a sleeping process that reads the clock: a Unix datagram, as kiribi rings its bell."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    pid = os.fork()
    if pid == 0:
        while its.recv(64) != b"end":
            its.send(b"%d" % time.time_ns())
        os._exit(0)
    waits = []
    try:
        for _ in range(count):
            time.sleep(0.01)
            mine.send(b"ring")
            sent = time.time_ns()
            waits.append(max(0, int(mine.recv(64)) - sent) / 1e6)
        mine.send(b"end")
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.waitpid(pid, 0)
        mine.close()
        its.close()
    return waits
