"""Ten million finished jobs beside ten thousand: the same commands on both databases, taking turns, and what each costs.

Both histories are of the last sixty days and made with SQL (tests/store/past.py). Each command is a whole process; its
figure is the CPU time, which says more than the clock on a busy machine, and the ratio is that on the long history to
that on the short one. `reads` are the calls with which it read files, pages of the database among them.
"""

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from kiribi_cli.core.outcome import Usage
from kiribi_cli.core.settle import Complete
from kiribi_cli.store.base import NewWorker, Settlement, Want
from kiribi_cli.store.sqlite import SqliteStore
from tests.bench.measure import KIRIBI, Figure, Place, WrongCountError, expect, until
from tests.store import past

SHORT = 10_000
ROUNDS = 15
GOAL = 1.3
# Bytes of a database for each finished job, with its attempts and events.
ROOM = 1_000

JOBS = "[jobs]\n" + "".join(
    f'{name} = {{ command = ["/bin/true"], queue = "{queue}" }}\n'
    for name, queue in zip(past.NAMES, past.QUEUES, strict=True)
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process: milliseconds of CPU and of the clock, and how often it read."""

    cpu: float
    wall: float
    reads: int


def measure(place: Place, count: int, rounds: int = ROUNDS) -> list[Figure]:
    """Build both, run every command on both in turn, and compare."""
    _expect_room(place.folder, count)
    few = min(SHORT, count // 10)
    now, begun = time.time_ns() // 1_000_000, time.monotonic()
    short, long = _built(place, "short", few, now), _built(place, "long", count, now)
    size = (long.folder / ".kiribi" / "kiribi.db").stat().st_size / 1e6
    built = Figure(f"making {count:,} finished jobs", "s", (time.monotonic() - begun,), more={"MB": size}, who="floor")
    figures = [built]
    for what, commands in _commands(few, count).items():
        acts = [partial(_run, at, argv) for at, argv in zip((short, long), commands, strict=True)]
        costs = _in_turn(acts, rounds)
        figures.append(_figure(what, costs, few, count))
    with _claiming(short) as one, _claiming(long) as other:
        figures.append(_figure("claim and settle", _in_turn([one, other], rounds), few, count))
    return figures


def _expect_room(folder: Path, count: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < 2 * ROOM * count:
        raise WrongCountError(f"{count:,} jobs need {2 * ROOM * count / 1e9:.0f} GB, {folder} has {free / 1e9:.0f}")


def _built(place: Place, name: str, count: int, now: int) -> Place:
    folder = place.folder / name
    folder.mkdir()
    built = Place(folder)
    build(built, count, now)
    # Nothing is kept of a jobs.toml that is younger than a tick of a coarse clock.
    until(lambda: _is_kept(built))
    return built


def _is_kept(place: Place) -> bool:
    place.run("enqueue", "--in", "1d", past.NAMES[0])
    return (place.folder / ".kiribi" / "run" / "jobs.toml.cache").exists()


def build(place: Place, count: int, now: int) -> None:
    """Make a database with a history of `count` finished jobs, fast: durable only when it is complete."""
    (place.folder / "jobs.toml").write_text(JOBS)
    path = place.folder / ".kiribi" / "kiribi.db"
    SqliteStore.open(path, create=True).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for setting in ("journal_mode=OFF", "synchronous=OFF", "temp_store=MEMORY", "cache_size=-1000000"):
            connection.execute(f"PRAGMA {setting}").fetchall()
        past.fill(connection, count, now)
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        expect(connection.execute("SELECT max(id) FROM jobs").fetchone()[0], count + past.WAITING)
    os.sync()


def _commands(few: int, count: int) -> dict[str, list[list[str]]]:
    """By name, the words on the short history and those on the long one: an id is another there."""
    alike = {
        "enqueue": ["enqueue", "Mailer", "user=42"],
        "enqueue --unique, taken": ["enqueue", "Mailer", "--unique", "a"],
        "ls": ["ls", "--table"],
        "ls --status failed": ["ls", "--status", "failed", "--table"],
        "ls --status pending": ["ls", "--status", "pending", "--table"],
        "ls --job Bill": ["ls", "--job", "Bill", "--table"],
        "ls --since 1h": ["ls", "--since", "1h", "--table"],
        "ls --until 30d": ["ls", "--until", "30d", "--table"],
        # The short history has none of them, and no table to draw.
        "ls --status failed --time finished --since 3m": [
            "ls", "--status", "failed", "--time", "finished", "--since", "3m", "--tsv",
        ],
        "ls --sort -finished": ["ls", "--sort", "-finished", "--table"],
        "ls --sort job": ["ls", "--sort", "job", "--table"],
        "show @last": ["show", "@last", "--table"],
        "stats": ["stats", "--table"],
        "stats --by tag": ["stats", "--by", "tag", "--table"],
        "ps": ["ps", "--table"],
        "db info": ["db", "info", "--table"],
        "cancel --status pending -n": ["cancel", "--status", "pending", "-n"],
        "doctor": ["doctor"],
    }  # fmt: skip
    by_id = {
        "show ID": ["show", "{}", "--table"],
        "why ID": ["why", "{}"],
        "retry ID -n": ["retry", "{}", "--force", "-n"],
    }
    commands = {what: [argv, argv] for what, argv in alike.items()}
    for what, argv in by_id.items():
        commands[what] = [[word.format(n // 2) for word in argv] for n in (few, count)]
    commands["why ID, pending"] = [["why", str(n + 50)] for n in (few, count)]
    return commands


def _in_turn(acts: Sequence[Callable[[], Cost]], rounds: int) -> list[list[Cost]]:
    for act in acts:
        act()
    rows = [[act() for act in acts] for _ in range(rounds)]
    return [list(column) for column in zip(*rows, strict=True)]


def _run(place: Place, words: Sequence[str]) -> Cost:
    begun = time.perf_counter()
    process = subprocess.Popen(
        [str(KIRIBI), *words],
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # It tells how often it read as long as nobody has taken note of its end.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    wall = (time.perf_counter() - begun) * 1000
    reads = int(Path(f"/proc/{process.pid}/io").read_text().split("syscr: ")[1].split()[0])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # 1 is the verdict of the doctor.
    expect((words, process.returncode in ((0, 1) if words == ["doctor"] else (0,))), (words, True))
    return Cost((used.ru_utime + used.ru_stime) * 1000, wall, reads)


@contextmanager
def _claiming(place: Place) -> Iterator[Callable[[], Cost]]:
    """A worker in this process, which claims a job and settles it in two turns."""
    store = SqliteStore.open(place.folder / ".kiribi" / "kiribi.db", create=False)
    worker = NewWorker("bench", os.uname().nodename, os.getpid(), "bench", "0", "worker", 1, None, None)
    lock = store.liveness(worker)
    now = time.time_ns() // 1_000_000
    worker_id = store.register(worker, now=now)

    def claim() -> Cost:
        begun, used = time.perf_counter(), time.process_time()
        (claim,) = store.turn(worker_id, now=now, want=Want(1, frozenset(past.NAMES))).claims
        ended = Settlement(claim, Complete(), "completed", now, now, 0, Usage(0, 0, 0), exit_code=0)
        expect(store.turn(worker_id, now=now, settlements=[ended]).lost, ())
        return Cost((time.process_time() - used) * 1000, (time.perf_counter() - begun) * 1000, 0)

    yield claim
    store.deregister(worker_id, now=now)
    lock.close()
    store.close()


def _figure(what: str, costs: Sequence[Sequence[Cost]], few: int, count: int) -> Figure:
    short, long = costs
    floor = median(cost.cpu for cost in short)
    ratio = median(cost.cpu for cost in long) / floor
    more = {
        "wall": median(cost.wall for cost in long), "reads": median(cost.reads for cost in long),
        "before": median(cost.reads for cost in short),
    }  # fmt: skip
    return Figure(
        f"{what}, {count:,} finished jobs", "ms of CPU", tuple(cost.cpu for cost in long), floor, f"with {few:,}",
        f"at most {GOAL}", ratio <= GOAL, more if more["reads"] else {},
    )  # fmt: skip
