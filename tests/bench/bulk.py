"""Many rows: how fast they come in, what each costs on disk, and whether a backlog makes the next enqueue or claim dearer."""

import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import floors
from tests.bench.measure import KIRIBI, Figure, Place, WrongCountError, cpu_of_children, expect, lines_of, timed
from tests.bench.peers.peer import Guest
from tests.bench.peers.shell import TaskSpooler

PLAIN, TYPED = 280_000, 150_000
FLAT = 1.3

PEAK = (
    "import resource, sys; from kiribi_cli.cli.main import main; main(sys.argv[1:]);"
    " sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))"
)


def rows(place: Place, count: int, rounds: int, peers: Sequence[Guest], of_peers: int) -> list[Figure]:
    """Jobs a second of the whole process, start-up included. Peers: of the calls alone, without starting anything."""
    texts = lines_of(count)
    source = place.folder / "lines"
    source.write_text("\n".join(texts) + "\n")
    rates: dict[str, list[float]] = {name: [] for name in ("floor", "Echo", "Typed", *(peer.name for peer in peers))}
    for turn in range(rounds):
        rates["floor"].append(floors.bulk_rows_per_second(floors.database(place.folder / f"bulk{turn}.db"), texts))
        for name in ("Echo", "Typed"):
            rates[name].append(_stored(place, name, source, count))
        for peer in peers:
            peer.ask(lambda peer: peer.bulk(of_peers), rates[peer.name])
    floor, plain, typed = (statistics.median(rates[name]) for name in ("floor", "Echo", "Typed"))
    said = "rows alone"
    return [
        Figure("rows alone, executemany, 1,000 a commit", "/s", tuple(rates["floor"]), who="floor"),
        Figure("kiribi enqueue --batch", "/s", tuple(rates["Echo"]), floor, said, f"at least {PLAIN:,}/s", plain >= PLAIN),
        Figure(
            "the same, params checked", "/s", tuple(rates["Typed"]), floor, said, f"at least {TYPED:,}/s", typed >= TYPED
        ),
        *(
            Figure(
                peer.name, "/s", tuple(rates[peer.name]), plain, "kiribi", who="peer", note=peer.note,
            )
            for peer in peers
            if rates[peer.name]
        ),
        _memory(place, source, count, texts),
    ]  # fmt: skip


def _stored(place: Place, name: str, source: Path, count: int) -> float:
    place.fresh()
    begun = time.perf_counter()
    ids = place.run("enqueue", name, "--batch", source).stdout
    rate = count / (time.perf_counter() - begun)
    expect(len(set(ids.split())), count)
    stored = place.select(
        f"SELECT count(*), count(DISTINCT payload) FROM jobs WHERE job = '{name}' AND status = 'pending'"
    )
    expect(stored, [(count, count)])
    return rate


def _memory(place: Place, source: Path, count: int, texts: list[str]) -> Figure:
    few = place.folder / "few"
    few.write_text("\n".join(texts[:1000]) + "\n")
    grown = (_peak(place, source) - _peak(place, few)) / 1024
    what = f"memory of {count:,} lines over that of 1,000"
    return Figure(what, "MB", (grown,), goal="flat: below 8", met=grown < 8)


def _peak(place: Place, source: Path) -> int:
    argv = [floors.python(), "-c", PEAK, "enqueue", "Echo", "--batch", str(source), "-s"]
    done = subprocess.run(argv, cwd=place.folder, env=place.environment, check=True, stderr=subprocess.PIPE)
    return int(done.stderr)


def backlog(place: Place, few: int, many: int, rounds: int, peers: Sequence[Guest]) -> list[Figure]:
    """Two databases, a short queue and a long one, taking turns."""
    places = []
    for count in (few, many):
        folder = place.folder / str(count)
        folder.mkdir()
        places.append(Place(folder))
        places[-1].fresh()
        source = folder / "lines"
        source.write_text('{"user": 42, "name": "somebody"}\n' * count)
        places[-1].run("enqueue", "True", "--batch", source, "-s")
        source.unlink()
    short, long = places
    enqueues: list[list[float]] = [[], []]
    claims: list[list[float]] = [[], []]
    argv = [str(KIRIBI), "enqueue", "Echo", "user=42"]
    ran = min(few // 4, 200)
    for turn in range(rounds):
        for times, one in zip(enqueues, places, strict=True):
            times.append(timed(argv, one.folder, one.environment))
        # Of a short queue enough is left for every turn.
        if turn < 3:
            for times, one in zip(claims, places, strict=True):
                times.append(_claimed(one, ran))
    said = f"with {few:,} queued"
    told = [
        _grown(f"one enqueue with {many:,} queued", enqueues, said),
        _grown(f"one of {ran} jobs run with {many:,} queued, CPU", claims, said),
        Figure(f"on disk, {many:,} queued", "bytes a job", ((_size(long) - _size(short)) / (many - few),)),
    ]
    tried = min(many, 1_200)
    for peer in peers:
        taken = list[float]()
        peer.ask(lambda peer: float(peer.most(tried)) if isinstance(peer, TaskSpooler) else 0.0, taken)
        if taken:
            what = f"{peer.name} takes, of {tried:,} waiting jobs"
            told.append(Figure(what, "jobs", tuple(taken), who="peer", note="a process for each"))
    return told


def _claimed(place: Place, count: int) -> float:
    """Milliseconds of CPU that a worker takes for each of the first jobs of the queue, its start included."""
    [(before,)] = place.select("SELECT count(*) FROM attempts")
    spent = cpu_of_children()
    place.run("worker", "--drain", "--max-jobs", count, "-j", 2, "-s")
    spent = cpu_of_children() - spent
    [(ended,)] = place.select("SELECT count(*) FROM attempts WHERE outcome = 'completed'")
    if not before < ended <= before + count:
        raise WrongCountError(f"{ended - before} jobs ran, {count} were asked for")
    return spent / (ended - before)


def _grown(what: str, times: list[list[float]], said: str) -> Figure:
    short = statistics.median(times[0])
    met = statistics.median(times[1]) <= FLAT * short
    return Figure(what, "ms", tuple(times[1]), short, said, f"at most {FLAT}", met)


def _size(place: Place) -> int:
    return sum(file.stat().st_size for file in place.database.parent.glob("kiribi.db*"))
