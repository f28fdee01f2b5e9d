"""python -m tests.bench: measure kiribi beside the floors of this machine, print one table, write it as JSON.

Takes a few minutes; `--quick` takes half of one. `--folder` should be on the disk that counts: fsync is what durability costs.
"""

import argparse
import json
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import measure
from tests.bench.measure import Figure, Place


def main() -> int:
    wanted = _arguments()
    parts = _parts(quick=wanted.quick)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
        for name in wanted.only or parts:
            sys.stderr.write(f"{name} ...\n")
            place = Path(folder) / name
            place.mkdir()
            figures += parts[name](Place(place))
    sys.stdout.write(table(figures) + "\n")
    if wanted.json:
        Path(wanted.json).write_text(
            json.dumps({**machine(), "figures": [f.as_object() for f in figures]}, indent=2) + "\n"
        )
    return 0 if all(figure.met is not False for figure in figures) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--json", metavar="FILE", help="write the table as JSON")
    parser.add_argument("--folder", metavar="DIR", help="where databases are made (default: the temporary folder)")
    parser.add_argument("only", nargs="*", choices=[*_parts(quick=True), []], help="only these")
    return parser.parse_args()


def _parts(*, quick: bool) -> dict[str, Callable[[Place], list[Figure]]]:
    rounds = 1 if quick else 3
    return {
        "enqueue": lambda place: measure.one_enqueue(place, 15 if quick else 60),
        "batch": lambda place: measure.batch(place, 50_000 if quick else 300_000, rounds),
        "drain": lambda place: measure.drain(place, 1_000 if quick else 4_000, rounds),
        "callables": lambda place: measure.callables(place, 10_000 if quick else 100_000, rounds),
        "latency": lambda place: measure.latency(place, 30 if quick else 200),
        "idle": lambda place: measure.idle(place, 5 if quick else 20),
    }


def table(figures: Sequence[Figure]) -> str:
    """One line a figure: median, spread, ratio to its floor, goal."""
    rows = [("", "median", "min to max", "ratio", "goal", "")]
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f} x {figure.floor_what}"
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        spread = f"{_number(min(figure.values))} to {_number(max(figure.values))}" if len(figure.values) > 1 else ""
        extra = "".join(f", {name} {_number(value)}" for name, value in figure.more.items())
        rows.append(
            (figure.what, f"{_number(figure.median)} {figure.unit}{extra}", spread, ratio, figure.goal, verdict)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def machine() -> dict[str, str]:
    """What it was measured on."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


if __name__ == "__main__":
    sys.exit(main())
