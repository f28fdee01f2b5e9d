"""Peers that are commands: task spooler, nq, GNU parallel and the sqlite3 shell. Each keeps its own record of what ended."""

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from tests.bench import floors
from tests.bench.measure import expect, until
from tests.bench.peers.environment import Environment


class NotItsPartError(Exception):
    """It was asked for a verb of a part that it does not name."""


class Command:
    """A peer that is a command in a folder of its own. What its kind cannot do is not among its parts."""

    name = ""
    note = ""
    program = ""
    package = ""
    parts: frozenset[str] = frozenset()
    interpreted = False
    single = False

    def __init__(self, environment: Environment, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.path = environment.which(self.program) or self.program
        self.variables: Mapping[str, str] = {**environment.variables, **self.settings()}

    def settings(self) -> Mapping[str, str]:
        return {}

    def run(self, *arguments: str) -> str:
        argv = [self.path, *arguments]
        done = subprocess.run(
            argv, cwd=self.folder, env=self.variables, check=True, capture_output=True, text=True, timeout=180
        )
        return done.stdout

    def one(self) -> Sequence[str]:
        raise NotItsPartError(self.name)

    def waiting(self) -> int:
        raise NotItsPartError(self.name)

    def clear(self) -> None:
        raise NotItsPartError(self.name)

    def bulk(self, count: int) -> float:
        raise NotItsPartError(self.name)

    def drain(self, count: int, slots: int) -> float:
        raise NotItsPartError(self.name)

    def calls(self, count: int) -> float:
        raise NotItsPartError(self.name)

    def latency(self, count: int) -> list[float]:
        raise NotItsPartError(self.name)

    def idle(self, seconds: float) -> tuple[float, float, int]:
        raise NotItsPartError(self.name)


class TaskSpooler(Command):
    """Its first command starts its server, which keeps the queue in memory, and each job a process that waits."""

    name, note, program, package = "tsp", "in memory: nothing survives its server", "tsp", "task-spooler"
    parts = frozenset({"enqueue", "loop", "drain", "latency", "backlog"})

    def settings(self) -> Mapping[str, str]:
        # Sockets have short names.
        return {"TS_SOCKET": str(self.folder / "s"), "TMPDIR": str(self.folder), "TS_MAXFINISHED": "100000"}

    def one(self) -> Sequence[str]:
        return [self.path, "-n", "true"]

    def waiting(self) -> int:
        # Those that ran already count as well.
        return len(self._rows())

    def _rows(self) -> list[list[str]]:
        return [line.split() for line in self.run("-l").splitlines()[1:]]

    def clear(self) -> None:
        # Without a server, -K would start one.
        if not (self.folder / "s").exists():
            return
        with suppress(subprocess.CalledProcessError):
            self.run("-K")
        until(lambda: not (self.folder / "s").exists(), 10)

    def drain(self, count: int, slots: int) -> float:
        # It holds a process for each waiting job, and its server ends near 990 of them.
        count = min(count, 900)
        self.clear()
        gate = _gate(self.folder)
        self.run("-n", "cat", str(gate))
        for _ in range(count):
            self.run("-n", "true")
        begun = time.perf_counter()
        self.run("-S", str(slots))
        gate.write_text("")
        self.run("-w", str(count))
        took = time.perf_counter() - begun
        until(lambda: all(row[1] == "finished" for row in self._rows()), 20)
        expect(sorted(row[3] for row in self._rows()), ["0"] * (count + 1))
        self.clear()
        return count / took

    def latency(self, count: int) -> list[float]:
        self.clear()
        waits = []
        for _ in range(count):
            output = self.run("date", "+%s%N")
            returned = time.time_ns()
            job = output.strip()
            self.run("-w", job)
            waits.append((int(self.run("-c", job).strip()) - returned) / 1e6)
            time.sleep(0.01)
        self.clear()
        return waits

    def most(self, limit: int) -> int:
        """Answer how many waiting jobs it takes: at most `limit` are tried, and each is given a second."""
        self.clear()
        gate = _gate(self.folder)
        self.run("-n", "cat", str(gate))
        taken = 0
        with suppress(subprocess.SubprocessError):
            for _ in range(limit):
                subprocess.run(
                    [self.path, "-B", "-n", "true"],
                    env=self.variables,
                    cwd=self.folder,
                    check=True,
                    capture_output=True,
                    timeout=5,
                )
                taken += 1
        with suppress(OSError):
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        self.clear()
        return taken


class Nq(Command):
    """One file and one waiting process for each job; one job at a time."""

    name, note, program, package = "nq", "a file per job, not synced; one at a time", "nq", "nq"
    parts = frozenset({"enqueue", "loop", "drain"})
    single = True

    def settings(self) -> Mapping[str, str]:
        return {"NQDIR": str(self.folder / "queue")}

    def one(self) -> Sequence[str]:
        return [self.path, "-q", "true"]

    def _files(self) -> list[Path]:
        return list((self.folder / "queue").glob(",*"))

    def waiting(self) -> int:
        return len(self._files())

    def clear(self) -> None:
        if files := self._files():
            self.run("-w", *(file.name for file in files))
        for file in files:
            file.unlink(missing_ok=True)

    def drain(self, count: int, slots: int) -> float:
        # Every waiting job is a process that looks at all files before it: more of them cost more each.
        count = min(count, 200)
        self.clear()
        gate = _gate(self.folder)
        self.run("-q", "cat", str(gate))
        for _ in range(count):
            self.run("-q", "true")
        begun = time.perf_counter()
        gate.write_text("")
        files = self._files()
        self.run("-w", *(file.name for file in files))
        took = time.perf_counter() - begun
        until(lambda: sum("exited with status 0" in file.read_text() for file in files) == count + 1, 20)
        expect(len(files), count + 1)
        self.clear()
        return count / took


class Parallel(Command):
    """Keeps a log of jobs that can be resumed; what waits is its standard input."""

    name, note, program, package = "GNU parallel", "--joblog, not synced", "parallel", "parallel"
    parts = frozenset({"drain"})

    def clear(self) -> None:
        (self.folder / "joblog").unlink(missing_ok=True)

    def drain(self, count: int, slots: int) -> float:
        count = min(count, 500)
        self.clear()
        numbers = "".join(f"{n}\n" for n in range(count))
        argv = [self.path, "--will-cite", "-j", str(slots), "--joblog", "joblog", "true {}"]
        begun = time.perf_counter()
        subprocess.run(
            argv, input=numbers.encode(), cwd=self.folder, env=self.variables, check=True, capture_output=True
        )
        took = time.perf_counter() - begun
        rows = [line.split("\t") for line in (self.folder / "joblog").read_text().splitlines()[1:]]
        expect(sorted((int(row[0]), row[6]) for row in rows), [(n + 1, "0") for n in range(count)])
        return count / took


class SqliteShell(Command):
    """No job runner: what one durable row costs a program written in C."""

    name, note, program, package = "sqlite3 shell", "WAL, synchronous=FULL; a row, no job runner", "sqlite3", "sqlite3"
    parts = frozenset({"enqueue", "loop"})

    def one(self) -> Sequence[str]:
        sql = "PRAGMA synchronous=FULL; INSERT INTO jobs (name, payload) VALUES ('Echo', '{\"user\": 42}')"
        return [self.path, str(self.folder / "queue.db"), sql]

    def waiting(self) -> int:
        with closing(sqlite3.connect(self.folder / "queue.db")) as connection:
            return int(connection.execute("SELECT count(*) FROM jobs").fetchone()[0])

    def clear(self) -> None:
        for file in self.folder.glob("queue.db*"):
            file.unlink()
        floors.database(self.folder / "queue.db")


def _gate(folder: Path) -> Path:
    """A pipe: what reads it waits until it is written to."""
    gate = folder / "gate"
    gate.unlink(missing_ok=True)
    os.mkfifo(gate)
    return gate


COMMANDS: Sequence[Callable[[Environment, Path], Command]] = (TaskSpooler, Nq, Parallel, SqliteShell)
