"""python -m tests.bench: measure kiribi beside the floors of this machine and, on request, beside other job runners.

Everything compared takes turns in one run; the table shows medians and quartiles. Exits 1 if a job was lost or ran twice, whether
or not a goal was met. A full run with peers takes about a quarter of an hour, --quick less than two minutes without them.
`--folder` should be on the disk that counts: fsync is what durability costs.
"""

import argparse
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench import bulk, drain, enqueue, history, table, waking
from tests.bench.measure import Figure, Place, WrongCountError
from tests.bench.peers.environment import Environment
from tests.bench.peers.peer import Guest
from tests.bench.peers.ready import Company, names, ready


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    rounds: int
    enqueues: int
    loop: int
    crowd: int
    rows: int
    commands: int
    calls: int
    wakes: int
    idle: float
    few: int
    many: int
    history: int
    # Of peers, where they would take too long.
    of_peers: int


SIZES = {
    "full": Size(3, 30, 200, 20, 300_000, 4_000, 200_000, 200, 20, 1_000, 1_000_000, 10_000_000, 1_000),
    "quick": Size(1, 10, 50, 5, 50_000, 1_000, 20_000, 30, 5, 1_000, 50_000, 100_000, 200),
    "tiny": Size(1, 1, 2, 1, 50, 20, 50, 2, 0.2, 20, 100, 200, 10),
}

Part = Callable[[Place, Size, Sequence[Guest]], list[Figure]]

PARTS: dict[str, Part] = {
    "once": lambda place, size, _: drain.once(place, size.of_peers),
    "enqueue": lambda place, size, peers: enqueue.one(place, size.enqueues, peers),
    "loop": lambda place, size, peers: enqueue.loop(place, size.loop, size.rounds, peers),
    "crowd": lambda place, size, _: enqueue.crowd(place, 50 if size.crowd > 1 else 3, size.crowd),
    "bulk": lambda place, size, peers: bulk.rows(place, size.rows, size.rounds, peers, 4 * size.of_peers),
    "drain": lambda place, size, peers: [
        figure
        for slots in (2, 4)
        for figure in drain.commands(place, size.commands, size.rounds, slots, peers, size.of_peers)
    ],
    "callables": lambda place, size, peers: drain.callables(place, size.calls, size.rounds, peers, 2 * size.of_peers),
    "latency": lambda place, size, peers: waking.latency(place, size.wakes, peers, min(size.wakes, 100)),
    "sql": lambda place, size, _: waking.by_sql(place, size.wakes),
    "idle": lambda place, size, peers: waking.idle(place, size.idle, peers),
    "backlog": lambda place, size, peers: bulk.backlog(place, size.few, size.many, 3 * size.rounds, peers),
    "history": lambda place, size, _: history.measure(place, size.history, max(1, size.enqueues // 2)),
}


def main() -> int:
    wanted = _arguments()
    if wanted.table:
        sys.stdout.write(table.markdown(table.read(wanted.table)) + "\n")
        return 0
    # Told to stop, it still ends what it started and leaves nothing behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    size = SIZES["quick" if wanted.quick else wanted.size]
    figures, troubles = list[Figure](), list[str]()
    with tempfile.TemporaryDirectory(prefix="kb", dir=wanted.folder, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # A server that must not be root has to reach its own folder in here.
        folder.chmod(0o711)
        if table.filesystem(folder) in ("tmpfs", "ramfs"):
            sys.stderr.write("Hint: this folder is in memory, where fsync costs nothing; --folder chooses another\n")
        with _company(wanted.peers, wanted.environment, folder) as company:
            for part in wanted.only or PARTS:
                sys.stderr.write(f"{part} ... ")
                sys.stderr.flush()
                begun = time.monotonic()
                figures += _measured(part, folder, size, company, troubles)
                sys.stderr.write(f"{time.monotonic() - begun:.0f} s\n")
        found = table.document(figures, folder, company, troubles)
    sys.stdout.write(table.text(found) + "\n")
    if wanted.json:
        Path(wanted.json).write_text(json.dumps(found, indent=2) + "\n")
    return 1 if troubles else 0


def _measured(part: str, folder: Path, size: Size, company: Company, troubles: list[str]) -> list[Figure]:
    """One part in a folder of its own. Peers that fail are named; if kiribi itself does, there is no figure of it."""
    guests = [Guest(peer) for peer in company.of(part)]
    with tempfile.TemporaryDirectory(prefix=part, dir=folder, ignore_cleanup_errors=True) as place:
        try:
            figures = PARTS[part](Place(Path(place)), size, guests)
        except (WrongCountError, OSError, subprocess.SubprocessError, sqlite3.Error) as error:
            troubles.append(f"{part}: {' '.join(str(error).split())[-300:] or type(error).__name__}")
            sys.stderr.write(f"TROUBLE: {troubles[-1]}\n")
            figures = []
    for guest in guests:
        if guest.trouble:
            company.absent[f"{guest.name}, {part}"] = guest.trouble
            sys.stderr.write(f"not measured: {guest.name}, {part}: {guest.trouble}\n")
        if guest.is_wrong:
            troubles.append(f"{part}: {guest.name}: {guest.trouble}")
    return [replace(figure, part=part) for figure in figures]


@contextmanager
def _company(wanted: str | None, kept: str | None, folder: Path) -> Iterator[Company]:
    if wanted is None:
        yield Company()
        return
    chosen = names() if wanted == "all" else [name.strip() for name in wanted.split(",")]
    if unknown := [name for name in chosen if name not in names()]:
        raise SystemExit(f"no such peer: {', '.join(unknown)}; there are: {', '.join(names())}")
    sys.stderr.write("installing peers ...\n")
    with ready(chosen, Environment(Path(kept).resolve() if kept else folder / "environment"), folder) as company:
        for name, why in company.absent.items():
            sys.stderr.write(f"not measured: {name}: {why}\n")
        yield company


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--size", choices=list(SIZES), default="full", help="tiny: only to see that everything works")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON")
    parser.add_argument("--table", metavar="FILE", type=Path, help="measure nothing: print a written JSON as Markdown")
    parser.add_argument("--folder", metavar="DIR", help="where databases are made (default: the temporary folder)")
    parser.add_argument(
        "--peers",
        nargs="?",
        const="all",
        metavar="A,B",
        help="other job runners too, in an environment that is thrown away",
    )
    parser.add_argument("--environment", metavar="DIR", help="keep the peers there for the next run")
    parser.add_argument("only", nargs="*", metavar="PART", help=f"only these of: {', '.join(PARTS)}")
    wanted = parser.parse_args()
    if unknown := [part for part in wanted.only if part not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    return wanted


if __name__ == "__main__":
    sys.exit(main())
