"""Enqueueing from the outside: one process, a shell loop, and many at once. All contenders take turns on one machine."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import floors
from tests.bench.measure import KIRIBI, Figure, Place, expect, percentile, timed
from tests.bench.peers.peer import Guest, Peer

GOAL = 1.4
AHEAD = 2
# Of issue 3: a loop of kiribi takes at most 0.4 of huey's.
HUEY = 2.5
SLOWEST_MS = 500

SLOW, SLOWER = ("RQ", "Celery"), 4

LOOP = 'i=0; while [ $i -lt "$0" ]; do "$@" >/dev/null; i=$((i+1)); done'


@dataclass(frozen=True, slots=True)
class Line:
    """A command that enqueues one job, and where it does."""

    argv: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    shown: str

    def timed(self) -> float:
        return timed(self.argv, self.folder, self.environment)

    def loop(self, count: int) -> float:
        return timed(["/bin/sh", "-c", LOOP, str(count), *self.argv], self.folder, self.environment) / 1000


def one(place: Place, rounds: int, guests: Sequence[Guest]) -> list[Figure]:
    """Whole processes."""
    place.fresh()
    lines = {**_floors(place), **_kiribi(place)}
    times: dict[str, list[float]] = {name: [] for name in (*lines, *(guest.name for guest in guests))}
    for line in lines.values():
        line.timed()
    for guest in guests:
        guest.ask_many(_warm, times[guest.name])
    before = _rows(place)
    for _ in range(rounds):
        for name, line in lines.items():
            times[name].append(line.timed())
        for guest in guests:
            guest.ask(lambda peer: _of(peer).timed(), times[guest.name])
    expect(_rows(place), before + 2 * rounds)
    for guest in guests:
        guest.ask_many(lambda peer: _checked(peer, rounds + 1), times[guest.name])
    return [*(_told(name, line, times) for name, line in lines.items()), *_beside(guests, times)]


def _told(name: str, line: Line, times: Mapping[str, list[float]]) -> Figure:
    values, floor = tuple(times[name]), statistics.median(times["insert"])
    if name in ("python", "insert"):
        return Figure(line.shown, "ms", values, who="floor")
    met = statistics.median(values) <= GOAL * floor
    return Figure(line.shown, "ms", values, floor, "durable insert", f"at most {GOAL}", met)


def _beside(guests: Sequence[Guest], times: Mapping[str, list[float]]) -> Iterator[Figure]:
    ours = statistics.median(times["definition"])
    for guest in guests:
        if values := tuple(times[guest.name]):
            goal = f"at least {AHEAD} x kiribi" if guest.interpreted else ""
            met = statistics.median(values) >= AHEAD * ours if goal else None
            yield Figure(guest.name, "ms", values, ours, "kiribi", goal, met, who="peer", note=guest.note)


def _warm(peer: Peer) -> list[float]:
    peer.clear()
    _of(peer).timed()
    return []


def _of(peer: Peer) -> Line:
    return Line(peer.one(), peer.folder, peer.variables, peer.name)


def _checked(peer: Peer, count: int) -> list[float]:
    expect(peer.waiting(), count)
    return []


def _floors(place: Place) -> dict[str, Line]:
    (place.folder / "insert.py").write_text(floors.INSERT_SCRIPT)
    bare = str(floors.database(place.folder / "floor.db"))
    python, folder, environment = floors.python(), place.folder, place.environment
    return {
        "python": Line([python, "-c", "pass"], folder, environment, "Python alone"),
        "insert": Line([python, "insert.py", bare], folder, environment, "Python and one durable insert"),
    }


def _kiribi(place: Place) -> dict[str, Line]:
    definition = [str(KIRIBI), "enqueue", "Echo", "user=42"]
    command = [str(KIRIBI), "enqueue", "--", "true"]
    return {
        "definition": Line(definition, place.folder, place.environment, "kiribi enqueue Echo user=42"),
        "command": Line(command, place.folder, place.environment, "kiribi enqueue -- true"),
    }


def _rows(place: Place) -> int:
    return int(place.select("SELECT count(*) FROM jobs")[0][0])


def loop(place: Place, count: int, rounds: int, guests: Sequence[Guest]) -> list[Figure]:
    """Seconds of a loop in sh, and of one process that reads as many lines. Slow peers make a quarter of the turns, once."""
    place.fresh()
    insert, ours = _floors(place)["insert"], _kiribi(place)["definition"]
    batch = place.folder / "lines"
    batch.write_text('{"user": 42}\n' * count)
    argv = [str(KIRIBI), "enqueue", "Echo", "--batch", str(batch)]
    bulk = Line(argv, place.folder, place.environment, "kiribi enqueue --batch")
    times: dict[str, list[float]] = {name: [] for name in ("insert", "ours", "bulk", *(guest.name for guest in guests))}
    before = _rows(place)
    for turn in range(rounds):
        times["insert"].append(insert.loop(count))
        times["ours"].append(ours.loop(count))
        times["bulk"].append(bulk.timed() / 1000)
        for guest in guests:
            if guest.name not in SLOW:
                guest.ask(lambda peer: _looped(peer, count), times[guest.name])
            elif turn == 0:
                guest.ask(lambda peer: SLOWER * _looped(peer, count // SLOWER or 1), times[guest.name])
    expect(_rows(place), before + 2 * count * rounds)
    return _loops(count, times, guests)


def _looped(peer: Peer, count: int) -> float:
    peer.clear()
    seconds = _of(peer).loop(count)
    expect(peer.waiting(), count)
    peer.clear()
    return seconds


def _loops(count: int, times: Mapping[str, list[float]], guests: Sequence[Guest]) -> list[Figure]:
    insert, ours, bulk = (statistics.median(times[name]) for name in ("insert", "ours", "bulk"))
    told = [
        Figure(f"{count} x Python and one durable insert", "s", tuple(times["insert"]), who="floor"),
        Figure(f"{count} x kiribi enqueue", "s", tuple(times["ours"]), insert, "durable insert"),
    ]
    tsp = statistics.median(times["tsp"]) if times.get("tsp") else None
    what = f"kiribi enqueue --batch of {count}"
    if tsp is None:
        told.append(Figure(what, "s", tuple(times["bulk"])))
    else:
        told.append(Figure(what, "s", tuple(times["bulk"]), tsp, "tsp's loop", "less than tsp's loop", bulk < tsp))
    for guest in guests:
        if values := tuple(times[guest.name]):
            goal = f"at least {HUEY} x kiribi" if guest.name == "huey" else ""
            met = statistics.median(values) >= HUEY * ours if goal else None
            said = f"{count // 4} turns, times 4" if guest.name in SLOW else guest.note
            told.append(
                Figure(f"{count} x {guest.name}", "s", values, ours, "kiribi", goal, met, who="peer", note=said)
            )
    return told


# One of many processes that enqueue at the same time. Each enqueue is a forked copy that has loaded everything, so that
# two cores are not busy with starting interpreters; a fork, since the hot path ends its process.
CROWD = """
import json, os, sys, time
import kiribi_cli.__main__ as program
import kiribi_cli.actions.enqueue_hot
# What it loads on its way.
import binascii, pwd
import kiribi_cli.store.bell, kiribi_cli.store.connect, kiribi_cli.store.insert

def once():
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        sys.argv = ["kiribi", "enqueue", "Echo", "user=42"]
        status = 1
        try:
            status = program.main()
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]

print("ready", flush=True)
sys.stdin.readline()
told = []
for _ in range(int(sys.argv[1])):
    begun = time.perf_counter()
    status = once()
    told.append([(time.perf_counter() - begun) * 1000, status])
print(json.dumps(told))
"""


def crowd(place: Place, processes: int, each: int) -> list[Figure]:
    """Everyone starts at one signal, and enqueues one job after the other."""
    place.fresh()
    before = _rows(place)
    argv = [sys.executable, "-c", CROWD, str(each)]
    settings = {"cwd": place.folder, "env": place.environment, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    everyone = [subprocess.Popen(argv, **settings) for _ in range(processes)]  # type: ignore[call-overload]
    for process in everyone:
        process.stdout.readline()
    begun = time.perf_counter()
    for process in everyone:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    told = [entry for process in everyone for entry in json.loads(process.communicate()[0])]
    rate = len(told) / (time.perf_counter() - begun)
    waits = tuple(wait for wait, _ in told)
    failures = sum(1 for _, status in told if status)
    expect(_rows(place), before + processes * each - failures)
    what = f"{processes} processes at once, each {each} jobs: one enqueue"
    more = {"p99": percentile(waits, 0.99), "slowest": max(waits), "failed": float(failures), "jobs a second": rate}
    goal = f"none fails, slowest under {SLOWEST_MS}"
    return [
        Figure(what, "ms", waits, goal=goal, met=failures == 0 and max(waits) < SLOWEST_MS, more=more),
        _shells(place, min(processes, os.cpu_count() or 1), each),
    ]


def _shells(place: Place, shells: int, each: int) -> Figure:
    """Whole processes, as many shells as there are cores."""
    before = _rows(place)
    argv = ["/bin/sh", "-c", LOOP, str(each), str(KIRIBI), "enqueue", "Echo", "user=42"]
    begun = time.perf_counter()
    everyone = [subprocess.Popen(argv, cwd=place.folder, env=place.environment) for _ in range(shells)]
    for process in everyone:
        expect(process.wait(), 0)
    rate = shells * each / (time.perf_counter() - begun)
    expect(_rows(place), before + shells * each)
    return Figure(f"{shells} shells at once, each {each} enqueues", "/s", (rate,))
