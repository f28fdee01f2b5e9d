"""A worker with nothing to do: how soon it starts what comes, by the command and by SQL, and what it costs meanwhile."""

import sqlite3
import statistics
import time
from collections.abc import Sequence
from contextlib import closing

from tests.bench import floors
from tests.bench.measure import Figure, Place, cpu_ms, expect, family, percentile, ran_once, rss_mb, until
from tests.bench.peers.peer import Guest

P50, P99 = 2, 5
SQL_MS = 100
CPU, MEMORY = 1, 35


def latency(place: Place, count: int, peers: Sequence[Guest], of_peers: int) -> list[Figure]:
    """From the return of enqueue to the job reading the clock: `date` as a command, and a function in a warm child.

    kiribi's and tsp's enqueue is a whole process, that of the others a call in a process that is already connected. Below zero
    means that the job ran before the process that enqueued it was gone."""
    place.fresh()
    bare = floors.wakings_ms(count)
    program, whole = _waits(place, "Clock", count)
    function, _ = _waits(place, "Mark", count)
    told = [
        Figure("sendto returned, reader woken", "ms", tuple(bare), who="floor", more={"p99": percentile(bare, 0.99)}),
        _awake("kiribi enqueue returned, command runs", program),
        _awake("kiribi enqueue returned, function runs", function),
        Figure("kiribi enqueue called, command runs", "ms", tuple(whole), more={"p99": percentile(whole, 0.99)}),
    ]
    for peer in peers:
        waits = list[float]()
        peer.ask_many(lambda peer: peer.latency(of_peers), waits)
        if not waits:
            continue
        more = {"p99": percentile(waits, 0.99)}
        told.append(Figure(peer.name, "ms", tuple(waits), who="peer", note=peer.note, more=more))
    return told


def _awake(what: str, waits: list[float]) -> Figure:
    p99 = percentile(waits, 0.99)
    met = statistics.median(waits) <= P50 and p99 <= P99
    goal = f"median at most {P50}, p99 at most {P99}"
    return Figure(what, "ms", tuple(waits), goal=goal, met=met, more={"p99": p99})


def _waits(place: Place, name: str, count: int) -> tuple[list[float], list[float]]:
    """Until the job ran: from the return of enqueue, and from its start."""
    waits, whole = [], []
    with place.worker("-j", 2):
        # The first one starts a child.
        place.run("enqueue", "--wait", name, "n:=0")
        for n in range(1, count + 1):
            called = time.time_ns()
            job = int(place.run("enqueue", name, "--payload", f'{{"n": {n}}}').stdout)
            returned = time.time_ns()
            began = _began(place, name, job, n)
            waits.append((began - returned) / 1e6)
            whole.append((began - called) / 1e6)
            # Idle again: nothing else is going on while the next one starts.
            time.sleep(0.01)
    if name == "Mark":
        ran_once(place.folder, count + 1)
    return waits, whole


def _began(place: Place, name: str, job: int, n: int) -> int:
    """When it ran, by its own clock (ns)."""
    found: list[str] = []

    def is_there() -> bool:
        sql = f"SELECT result FROM jobs WHERE id = {job} AND status = 'completed'"
        found[:] = [str(row[0]) for row in place.select(sql)]
        return bool(found)

    until(is_there, 30)
    if name == "Clock":
        return int(found[0].strip('"'))
    return int((place.folder / "ran").read_text().splitlines()[n].split()[1])


def by_sql(place: Place, count: int) -> list[Figure]:
    """A row put into the view `enqueue` by a program that knows SQLite only: nobody rings the worker."""
    place.fresh()
    waits = []
    with place.worker("-j", 2), closing(sqlite3.connect(place.database, isolation_level=None)) as connection:
        place.run("enqueue", "--wait", "Clock")
        connection.execute("PRAGMA synchronous=FULL")
        for n in range(count):
            connection.execute("INSERT INTO enqueue (job, payload) VALUES ('Clock', '{}')")
            returned = time.time_ns()
            [(job,)] = connection.execute("SELECT max(id) FROM jobs").fetchall()
            waits.append(max(0, _began(place, "Clock", job, n) - returned) / 1e6)
            time.sleep(0.01 + 0.007 * (n % 11))
    expect(place.select("SELECT count(*) FROM jobs WHERE job = 'Clock' AND attempts = 1"), [(count + 1,)])
    met = max(waits) <= SQL_MS
    more = {"p99": percentile(waits, 0.99)}
    goal = f"all within {SQL_MS}"
    return [Figure("SQL insert committed, command runs", "ms", tuple(waits), goal=goal, met=met, more=more)]


def idle(place: Place, seconds: float, peers: Sequence[Guest]) -> list[Figure]:
    """Both processes of a worker: CPU and memory."""
    place.fresh()
    with place.worker("-j", 4) as process:
        place.run("enqueue", "--wait", "Echo")
        time.sleep(min(1, seconds))
        pids = family(process.pid)
        before, begun = cpu_ms(pids), time.perf_counter()
        time.sleep(seconds)
        share = (cpu_ms(pids) - before) / (time.perf_counter() - begun)
        memory = rss_mb(pids)
    told = [
        Figure("kiribi worker, CPU", "ms/s", (share,), goal=f"at most {CPU}", met=share <= CPU),
        Figure(
            f"kiribi worker, memory of {len(pids)} processes", "MB", (memory,), goal=f"under {MEMORY}",
            met=memory < MEMORY,
        ),
    ]  # fmt: skip
    for peer in peers:
        found = list[float]()
        peer.ask_many(lambda peer: peer.idle(seconds), found)
        if not found:
            continue
        used, mb, many = found
        told.append(Figure(f"{peer.name}, CPU", "ms/s", (used,), share, "kiribi", who="peer", note=peer.note))
        what = f"{peer.name}, memory of {many:.0f} processes"
        told.append(Figure(what, "MB", (mb,), memory, "kiribi", who="peer", note=peer.note))
    return told
