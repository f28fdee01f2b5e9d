"""Each figure of kiribi beside its floor, from one run, checked for correctness: every job ran once, none is missing."""

import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import floors

KIRIBI = Path(floors.python()).parent / "kiribi"

JOBS = """
[jobs]
True = { command = ["/bin/true"], stdin = "none" }
Clock = { command = ["date", "+%s%N"], result = "stdout" }
Echo = "echo hello"
[jobs.Typed]
command = ["/bin/true"]
params = { user = "integer", name = "string", size = { type = "integer", default = 8 } }
[jobs.Noop]
python = "noop:noop"
reuse = 1000000
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `ratio` is to the floor; `goal` says in words what it should be, `met` whether it is."""

    what: str
    unit: str
    values: tuple[float, ...]
    floor: float | None = None
    floor_what: str = ""
    goal: str = ""
    met: bool | None = None
    more: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        return self.median / self.floor if self.floor else None

    def as_object(self) -> dict[str, Any]:
        return {
            "what": self.what, "unit": self.unit, "median": self.median, "min": min(self.values), "max": max(self.values),
            "runs": len(self.values), "floor": self.floor, "floor_what": self.floor_what, "ratio": self.ratio,
            "goal": self.goal, "met": self.met, **self.more,
        }  # fmt: skip


class Place:
    """A folder with a jobs.toml, a database and an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "TZ": "UTC"}
        (folder / "jobs.toml").write_text(JOBS)
        (folder / "noop.py").write_text("def noop():\n    return None\n")

    def run(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
        argv = [str(KIRIBI), *map(str, arguments)]
        settings = {"cwd": self.folder, "env": self.environment, "check": True, "stdout": subprocess.PIPE, **options}
        return subprocess.run(argv, **settings)

    def select(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / ".kiribi" / "kiribi.db")) as connection:
            return connection.execute(sql).fetchall()

    def fresh(self) -> None:
        """Begin with an empty database."""
        shutil.rmtree(self.folder / ".kiribi", ignore_errors=True)
        self.run("enqueue", "--in", "1d", "--", "true")

    @contextmanager
    def worker(self, *arguments: object) -> Any:
        argv = [str(KIRIBI), "worker", "-s", *map(str, arguments)]
        process = subprocess.Popen(argv, cwd=self.folder, env=self.environment, start_new_session=True)
        try:
            until(lambda: json.loads(self.run("ps", "--json").stdout) != [])
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def until(check: Callable[[], bool]) -> None:
    """Wait until something is so; give up loudly."""
    deadline = time.monotonic() + 120
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def expect(found: object, wanted: object) -> None:
    """A benchmark of something that does not work is worth nothing."""
    if found != wanted:
        raise AssertionError(f"found {found!r}, wanted {wanted!r}")


def one_enqueue(place: Place, rounds: int) -> list[Figure]:
    """Whole processes, taking turns, so that all see the same machine."""
    place.fresh()
    # Nothing is kept of a jobs.toml that is younger than a tick of a coarse clock.
    until(lambda: _is_kept(place))
    python, bare = floors.python(), str(floors.database(place.folder / "floor.db"))
    (place.folder / "insert.py").write_text(floors.INSERT_SCRIPT)
    lines = {
        "python": [python, "-c", "pass"],
        "insert": [python, "insert.py", bare],
        "definition": [str(KIRIBI), "enqueue", "Echo", "user=42"],
        "command": [str(KIRIBI), "enqueue", "--", "true"],
    }
    before = place.select("SELECT count(*) FROM jobs")[0][0]
    times: dict[str, list[float]] = {name: [] for name in lines}
    for _ in range(rounds):
        for name, argv in lines.items():
            times[name].append(_timed(argv, place))
    expect(place.select("SELECT count(*) FROM jobs")[0][0], before + 2 * rounds)
    floor = statistics.median(times["insert"])
    told = [
        Figure("python alone", "ms", tuple(times["python"])),
        Figure("python and one durable insert", "ms", tuple(times["insert"])),
    ]
    for name in ("definition", "command"):
        ratio = statistics.median(times[name]) / floor
        told.append(
            Figure(
                f"kiribi enqueue, a {name}",
                "ms",
                tuple(times[name]),
                floor,
                "durable insert",
                "at most 1.6",
                ratio <= 1.6,
            )
        )
    return told


def _is_kept(place: Place) -> bool:
    place.run("enqueue", "--in", "1d", "Echo")
    return (place.folder / ".kiribi" / "run" / "jobs.toml.cache").exists()


def _timed(argv: list[str], place: Place) -> float:
    begun = time.perf_counter()
    subprocess.run(argv, cwd=place.folder, env=place.environment, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) * 1000


def batch(place: Place, count: int, rounds: int) -> list[Figure]:
    """Rows per second of the whole process, start-up included, and its memory."""
    texts = [f'{{"user": {n}, "name": "user number {n}"}}' for n in range(count)]
    source = place.folder / "lines"
    source.write_text("\n".join(texts) + "\n")
    few = place.folder / "few"
    few.write_text("\n".join(texts[:1000]) + "\n")
    rates: dict[str, list[float]] = {"floor": [], "Echo": [], "Typed": []}
    for turn in range(rounds):
        rates["floor"].append(floors.bulk_rows_per_second(floors.database(place.folder / f"bulk{turn}.db"), texts))
        for name in ("Echo", "Typed"):
            place.fresh()
            begun = time.perf_counter()
            ids = place.run("enqueue", name, "--batch", source).stdout
            rates[name].append(count / (time.perf_counter() - begun))
            expect(ids.count(b"\n"), count)
            expect(
                place.select(f"SELECT count(*), count(DISTINCT payload) FROM jobs WHERE job = '{name}'"),
                [(count, count)],
            )
    floor = statistics.median(rates["floor"])
    grown = (_peak(place, source) - _peak(place, few)) / 1024
    plain = statistics.median(rates["Echo"])
    return [
        Figure("rows alone, executemany, 1,000 a commit", "/s", tuple(rates["floor"])),
        Figure(
            "enqueue --batch", "/s", tuple(rates["Echo"]), floor, "rows alone", "at least 100,000/s", plain >= 100_000
        ),
        Figure("enqueue --batch, params checked", "/s", tuple(rates["Typed"]), floor, "rows alone"),
        Figure(f"memory of {count:,} lines over that of 1,000", "MB", (grown,), goal="flat: below 8", met=grown < 8),
    ]


def _peak(place: Place, source: Path) -> int:
    script = (
        "import resource, sys; from kiribi_cli.cli.main import main; main(sys.argv[1:]);"
        " sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"
    )
    argv = [floors.python(), "-c", script, "enqueue", "Echo", "--batch", str(source), "-s"]
    done = subprocess.run(argv, cwd=place.folder, env=place.environment, check=True, stderr=subprocess.PIPE)
    return int(done.stderr)


def drain(place: Place, count: int, rounds: int, slots: int = 4) -> list[Figure]:
    """Commands a second, from the first start to the last end as recorded, everything about them on disk."""
    floor, rates = list[float](), list[float]()
    (place.folder / "null").write_text("null\n" * count)
    for _ in range(rounds):
        floor.append(floors.spawns_per_second(count, slots))
        place.fresh()
        place.run("enqueue", "True", "--batch", "null", "-s")
        place.run("worker", "--drain", "-j", slots, "-s")
        rates.append(_rate(place, "True", count))
        floor.append(floors.spawns_per_second(count, slots))
    bare = statistics.median(floor)
    ratio = statistics.median(rates) / bare
    return [
        Figure(f"posix_spawn and wait of true, {slots} at once", "/s", tuple(floor)),
        Figure(
            f"drain of true, {slots} slots",
            "/s",
            tuple(rates),
            bare,
            "posix_spawn and wait",
            "at least 0.6",
            ratio >= 0.6,
        ),
    ]


def callables(place: Place, count: int, rounds: int) -> list[Figure]:
    """Python callables that do nothing, in two children."""
    rates = []
    (place.folder / "blank").write_text("{}\n" * count)
    for _ in range(rounds):
        place.fresh()
        place.run("enqueue", "Noop", "--batch", "blank", "-s")
        place.run("worker", "--drain", "-j", 2, "-s")
        rates.append(_rate(place, "Noop", count))
    met = statistics.median(rates) >= 20_000
    return [Figure("no-op Python callables, 2 children", "/s", tuple(rates), goal="at least 20,000/s", met=met)]


def _rate(place: Place, name: str, count: int) -> float:
    sql = f"SELECT count(*), sum(attempts), max(finished_at) - min(started_at) FROM jobs WHERE job = '{name}' AND status = 'completed'"
    [(completed, attempts, took)] = place.select(sql)
    expect((completed, attempts), (count, count))
    expect(place.select("SELECT count(*) FROM attempts WHERE outcome = 'completed'"), [(count,)])
    return float(count) / max(took, 1) * 1000


def latency(place: Place, count: int) -> list[Figure]:
    """From the return of enqueue to the running program reading the clock, on an idle worker."""
    place.fresh()
    until(lambda: _is_kept(place))
    waits = []
    with place.worker("-j", 2):
        for _ in range(count):
            job = int(place.run("enqueue", "Clock").stdout)
            returned = time.time_ns()
            waits.append((_clock(place, job) - returned) / 1e6)
            # Idle again: nothing else is going on while the next one starts.
            time.sleep(0.01)
    ordered = sorted(waits)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    met = statistics.median(waits) <= 10
    return [
        Figure(
            "enqueue returned to program runs", "ms", tuple(waits), goal="median at most 10", met=met, more={"p99": p99}
        )
    ]


def _clock(place: Place, job: int) -> int:
    found: list[Any] = []

    def is_there() -> bool:
        found[:] = place.select(f"SELECT result FROM jobs WHERE id = {job} AND status = 'completed'")
        return bool(found)

    until(is_there)
    return int(str(found[0][0]).strip('"'))


def idle(place: Place, seconds: float) -> list[Figure]:
    """Both processes of a worker that has nothing to do: CPU and memory."""
    place.fresh()
    with place.worker("-j", 4) as process:
        place.run("enqueue", "--wait", "Echo")
        time.sleep(1)
        family = [process.pid, *_children(process.pid)]
        before, begun = sum(map(_cpu_ms, family)), time.perf_counter()
        time.sleep(seconds)
        share = (sum(map(_cpu_ms, family)) - before) / (time.perf_counter() - begun)
        memory = sum(map(_rss_mb, family))
    return [
        Figure("idle worker, CPU", "ms/s", (share,), goal="at most 2 (0.2 %)", met=share <= 2),
        Figure(f"idle worker, memory of {len(family)} processes", "MB", (memory,), goal="below 40", met=memory < 40),
    ]


def _children(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in map(int, children) for found in (child, *_children(child))]


def _cpu_ms(pid: int) -> float:
    # The scheduler's own count: clock ticks of 10 ms are too coarse for this.
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e6


def _rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
