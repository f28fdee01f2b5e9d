"""Working a queue off: commands, and functions in two children. Rates are from the first start to the last end."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from tests.bench import floors
from tests.bench.measure import Figure, Place, expect, numbered, ran_once, until
from tests.bench.peers.peer import Guest

SHARE = 0.8
CALLS = 60_000


def commands(place: Place, count: int, rounds: int, slots: int, peers: Sequence[Guest], of_peers: int) -> list[Figure]:
    """`true`, so many at once; of kiribi with status, output, resources and history on disk."""
    rates: dict[str, list[float]] = {name: [] for name in ("spawn", "grouped", "kiribi", *(p.name for p in peers))}
    (place.folder / "true").write_text('{"job": "True"}\n' * count)
    for turn in range(rounds):
        rates["spawn"].append(floors.spawns_per_second(count, slots))
        bare = floors.database(place.folder / f"grouped{slots}-{turn}.db")
        rates["grouped"].append(floors.grouped_spawns_per_second(bare, count, slots))
        place.fresh()
        place.run("enqueue", "--batch", "true", "-s")
        place.run("worker", "--drain", "-j", slots, "-s")
        rates["kiribi"].append(_rate(place, "True", count))
        rates["spawn"].append(floors.spawns_per_second(count, slots))
        for peer in peers:
            # What runs one job at a time is measured once.
            if slots == 2 or not peer.peer.single:
                peer.ask(lambda peer: peer.drain(of_peers, slots), rates[peer.name])
    spawn, ours = statistics.median(rates["spawn"]), statistics.median(rates["kiribi"])
    kiribi = Figure(
        f"kiribi, true, {slots} at once", "/s", tuple(rates["kiribi"]), spawn, "posix_spawn and wait",
        f"at least {SHARE}", ours >= SHARE * spawn,
    )  # fmt: skip
    return [
        Figure(f"posix_spawn and wait, {slots} at once", "/s", tuple(rates["spawn"]), who="floor"),
        Figure(
            f"the same, ends grouped in durable commits of 5 ms, {slots} at once", "/s", tuple(rates["grouped"]),
            who="floor",
        ),
        kiribi,
        *(
            _beside(_at_once(peer, slots), peer, rates[peer.name], ours, "less than kiribi")
            for peer in peers
            if rates[peer.name]
        ),
    ]  # fmt: skip


def _at_once(guest: Guest, slots: int) -> str:
    return f"{guest.name}, {1 if guest.peer.single else slots} at once"


def callables(place: Place, count: int, rounds: int, peers: Sequence[Guest], of_peers: int) -> list[Figure]:
    """A function that does nothing; and, to be held against peers, one that writes its number."""
    rates: dict[str, list[float]] = {name: [] for name in ("floor", "Noop", "Mark", *(peer.name for peer in peers))}
    (place.folder / "blank").write_text("{}\n" * count)
    numbers = numbered(place.folder / "numbers", count)
    for turn in range(rounds):
        rates["floor"].append(floors.calls_per_second(floors.database(place.folder / f"calls{turn}.db"), count))
        for name, source in (("Noop", "blank"), ("Mark", str(numbers))):
            place.fresh()
            place.run("enqueue", name, "--batch", source, "-s")
            place.run("worker", "--drain", "-j", 2, "-s")
            rates[name].append(_rate(place, name, count))
        ran_once(place.folder, count)
        for peer in peers:
            peer.ask(lambda peer: peer.calls(of_peers), rates[peer.name])
    floor, noop, mark = (statistics.median(rates[name]) for name in ("floor", "Noop", "Mark"))
    return [
        Figure("rows in batches of 100 handed to 2 children", "/s", tuple(rates["floor"]), who="floor"),
        Figure(
            "kiribi, no-op, 2 children", "/s", tuple(rates["Noop"]), floor, "batches of 100",
            f"at least {CALLS:,}/s", noop >= CALLS,
        ),
        Figure("kiribi, each writes its number", "/s", tuple(rates["Mark"]), floor, "batches of 100"),
        *(_beside(f"{peer.name}, 2 children", peer, rates[peer.name], mark) for peer in peers if rates[peer.name]),
    ]  # fmt: skip


def _beside(what: str, peer: Guest, rates: list[float], ours: float, goal: str = "") -> Figure:
    met = statistics.median(rates) < ours if goal else None
    return Figure(what, "/s", tuple(rates), ours, "kiribi", goal, met, who="peer", note=peer.note)


def _rate(place: Place, name: str, count: int) -> float:
    sql = (
        "SELECT count(*), sum(attempts), max(finished_at) - min(started_at) FROM jobs"
        f" WHERE job = '{name}' AND status = 'completed'"
    )
    [(completed, attempts, took)] = place.select(sql)
    expect((completed, attempts), (count, count))
    expect(place.select("SELECT count(*) FROM attempts WHERE outcome = 'completed'"), [(count,)])
    return float(count) / max(took, 1) * 1000


def once(place: Place, count: int) -> list[Figure]:
    """Nothing is measured: two workers share commands and callables, and each job leaves a line when it runs."""
    numbers = numbered(place.folder / "numbers", count)
    _share(place, "Line", numbers, count)
    _share(place, "Mark", numbers, count)
    return [
        Figure(f"{what} shared by two workers, each ran once", "jobs", (float(count),))
        for what in ("commands", "functions")
    ]


def _share(place: Place, name: str, numbers: Path, count: int) -> None:
    place.fresh()
    place.run("enqueue", name, "--batch", numbers, "-s")
    with place.worker("-j", 2):
        place.run("worker", "--drain", "-j", 2, "-s")
        # The one that stays may have taken some that it has not yet started.
        sql = f"SELECT count(*) FROM jobs WHERE job = '{name}' AND status <> 'completed'"
        until(lambda: place.select(sql) == [(0,)])
    ran_once(place.folder, count)
    expect(place.select("SELECT count(*) FROM attempts WHERE outcome = 'completed'"), [(count,)])
