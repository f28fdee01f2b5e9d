"""What every part of the benchmark shares: a figure, a place of its own for kiribi, and how things are timed and checked."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import floors

KIRIBI = Path(floors.python()).parent / "kiribi"

# The task of every Python program measured here, kiribi's callables and its peers' alike. A line says which job ran, and when.
MARKS = """
import os, time

RAN = os.open("ran", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

def mark(n):
    now = time.time_ns()
    os.write(RAN, b"%d %d %d\\n" % (n, now, now))

def noop():
    return None

def run_true(n):
    begun = time.time_ns()
    os.waitpid(os.posix_spawn("/bin/true", ["/bin/true"], os.environ), 0)
    os.write(RAN, b"%d %d %d\\n" % (n, begun, time.time_ns()))
"""

JOBS = """
[jobs]
True = { command = ["/bin/true"], stdin = "none" }
Line = { command = ["./line", "{payload.n}"], stdin = "none" }
Clock = { command = ["date", "+%s%N"], result = "stdout", stdin = "none" }
Echo = "echo hello"
[jobs.Typed]
command = ["/bin/true"]
params = { user = "integer", name = "string", size = { type = "integer", default = 8 } }
[jobs.Noop]
python = "marks:noop"
reuse = 1000000
[jobs.Mark]
python = "marks:mark"
reuse = 1000000
"""


class WrongCountError(AssertionError):
    """A job ran twice, or never, or was not stored: no figure of it is worth anything."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `ratio` is to the floor, or of a peer to kiribi; `goal` says in words what it should be, `met`
    whether it is. `who` is kiribi, floor or peer; `note` says how it was set up."""

    what: str
    unit: str
    values: tuple[float, ...]
    floor: float | None = None
    floor_what: str = ""
    goal: str = ""
    met: bool | None = None
    more: dict[str, float] = field(default_factory=dict)
    who: str = "kiribi"
    note: str = ""
    part: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        return self.median / self.floor if self.floor else None

    def as_object(self) -> dict[str, Any]:
        low, high = quartiles(self.values)
        return {
            "part": self.part, "who": self.who, "what": self.what, "unit": self.unit, "median": self.median,
            "quartiles": [low, high], "min": min(self.values), "max": max(self.values), "runs": len(self.values),
            "floor": self.floor, "floor_what": self.floor_what, "ratio": self.ratio, "goal": self.goal, "met": self.met,
            "note": self.note, "more": self.more,
        }  # fmt: skip


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, method="inclusive")
    return low, high


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Place:
    """A folder with a jobs.toml, a database and an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "TZ": "UTC"}
        (folder / "jobs.toml").write_text(JOBS)
        (folder / "marks.py").write_text(MARKS)
        (folder / "line").write_text('#!/bin/sh\necho "$1 0 0" >> ran\n')
        (folder / "line").chmod(0o755)

    @property
    def database(self) -> Path:
        return self.folder / ".kiribi" / "kiribi.db"

    def run(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
        argv = [str(KIRIBI), *map(str, arguments)]
        settings = {
            "cwd": self.folder,
            "env": self.environment,
            "check": True,
            "stdout": subprocess.PIPE,
            "timeout": 300,
        }
        return subprocess.run(argv, **{**settings, **options})

    def select(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(sql).fetchall()

    def fresh(self) -> None:
        """Begin with an empty database, and with the definitions kept by kiribi."""
        shutil.rmtree(self.folder / ".kiribi", ignore_errors=True)
        (self.folder / "ran").unlink(missing_ok=True)
        # Nothing is kept of a jobs.toml that is younger than a tick of a coarse clock.
        until(self._is_kept)

    def _is_kept(self) -> bool:
        self.run("enqueue", "--in", "1d", "Echo")
        return (self.folder / ".kiribi" / "run" / "jobs.toml.cache").exists()

    @contextmanager
    def worker(self, *arguments: object) -> Any:
        argv = [str(KIRIBI), "worker", "-s", *map(str, arguments)]
        process = subprocess.Popen(argv, cwd=self.folder, env=self.environment, start_new_session=True)
        try:
            until(lambda: process.poll() is not None or json.loads(self.run("ps", "--json").stdout) != [], 30)
            if process.returncode is not None:
                raise OSError(f"the worker ended at once, with exit code {process.returncode}")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def until(check: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something is so; give up loudly."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds:g} s")
        time.sleep(0.01)


def expect(found: object, wanted: object) -> None:
    """A benchmark of something that does not work is worth nothing."""
    if found != wanted:
        raise WrongCountError(f"found {found!r}, wanted {wanted!r}")


def ran_once(folder: Path, count: int) -> list[tuple[int, int]]:
    """Check that each of the jobs 0 to count-1 left exactly one line; answers when each began and ended (ns)."""
    lines = [tuple(map(int, line.split())) for line in (folder / "ran").read_text().splitlines()]
    expect((len(lines), len({line[0] for line in lines})), (count, count))
    return [(line[1], line[2]) for line in lines]


def timed(argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """Milliseconds of a whole process. Raises OSError with its last line if it fails."""
    # A file and no pipe: what some leave running in the background would hold a pipe open.
    with (folder / "errors").open("w+b") as errors:
        begun = time.perf_counter()
        process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
        # Not subprocess's own timeout: with one it looks for the end at 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 ms and so on.
        watchdog = threading.Timer(300, process.kill)
        watchdog.start()
        process.wait()
        took = (time.perf_counter() - begun) * 1000
        watchdog.cancel()
        if process.returncode:
            errors.seek(0)
            lines = errors.read().decode("utf-8", "replace").splitlines() or [""]
            raise OSError(f"{argv[0]}: exit {process.returncode}: {lines[-1]}")
    return took


def cpu_of_children() -> float:
    """Milliseconds of CPU that all ended children of this process took: steadier than any clock on the wall."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def lines_of(count: int) -> list[str]:
    """Payloads as people have them."""
    return [f'{{"user": {n}, "name": "user number {n}"}}' for n in range(count)]


def numbered(path: Path, count: int) -> Path:
    """Write payloads that number the jobs from 0."""
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(count)))
    return path


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for children in _read_all(pid, "task/*/children"):
        found += [one for child in map(int, children.split()) for one in family(child)]
    return found


def cpu_ms(pids: Iterable[int]) -> float:
    # The scheduler's own count: clock ticks of 10 ms are too coarse for this.
    return sum(int(text.split()[0]) / 1e6 for pid in pids for text in _read_all(pid, "task/*/schedstat"))


def rss_mb(pids: Iterable[int]) -> float:
    texts = [text for pid in pids for text in _read_all(pid, "status") if "VmRSS:" in text]
    return sum(int(text.split("VmRSS:")[1].split()[0]) for text in texts) / 1024


def _read_all(pid: int, pattern: str) -> Iterator[str]:
    """What the kernel says of a process; nothing, if it has ended meanwhile."""
    for path in Path(f"/proc/{pid}").glob(pattern):
        with suppress(OSError):
            yield path.read_text()
