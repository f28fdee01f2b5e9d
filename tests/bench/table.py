"""A run as a table: for a terminal, as JSON, and as Markdown out of that JSON."""

import json
import os
import platform
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.bench.measure import Figure
from tests.bench.peers.ready import Company

Row = Mapping[str, Any]


def document(figures: Sequence[Figure], folder: Path, company: Company, troubles: Sequence[str]) -> dict[str, Any]:
    """What --json writes."""
    return {
        "machine": machine(folder),
        "peers": {peer.name: peer.note for peer in company.peers},
        "peers_absent": company.absent,
        "troubles": list(troubles),
        "figures": [figure.as_object() for figure in figures],
    }


def text(found: Mapping[str, Any]) -> str:
    """One line a figure: median, quartiles, ratio, goal, verdict."""
    lines = [_described(found["machine"])]
    rows = [_cells(row) for row in found["figures"]]
    head = ("", "median", "quartiles", "ratio", "goal", "")
    widths = [max(len(cells[column]) for cells in [head, *rows]) for column in range(len(head))]
    for part, group in groupby(zip(found["figures"], rows, strict=True), key=lambda pair: pair[0]["part"]):
        lines += ["", _aligned((part.upper(), *head[1:]), widths)]
        lines += [_aligned(cells, widths) for _, cells in group]
    lines += ["", *(f"{name}: {note}" for name, note in found["peers"].items())]
    lines += [f"not measured: {name}: {why}" for name, why in found["peers_absent"].items()]
    lines += [f"TROUBLE: {trouble}" for trouble in found["troubles"]]
    goals = [row["met"] for row in found["figures"] if row["met"] is not None]
    lines += ["", f"{sum(goals)} of {len(goals)} goals met"]
    return "\n".join(lines).strip()


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f} x {row['floor_what']}"
    low, high = row["quartiles"]
    spread = f"{number(low)} to {number(high)}" if row["runs"] > 1 else ""
    verdict = {True: "met", False: "MISSED", None: ""}[row["met"]]
    return (row["what"], _value(row), spread, ratio, row["goal"], verdict)


def _value(row: Row) -> str:
    return f"{number(row['median'])} {row['unit']}" + "".join(
        f", {name} {number(v)}" for name, v in row["more"].items()
    )


def number(value: float) -> str:
    """Three digits, or all of them where there are more."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def markdown(found: Mapping[str, Any]) -> str:
    """One row for each figure of kiribi, with its floor and the others beside it, for the README."""
    lines = [_described(found["machine"]), ""]
    lines += ["| | kiribi | least without it | goal | others |", "|---|---|---|---|---|"]
    for part, group in groupby(found["figures"], key=lambda row: row["part"]):
        rows = list(group)
        lines += _history(rows) if part == "history" else _compared(rows, found["peers"])
    lines += ["", *(f"- {name}: {note}" for name, note in found["peers"].items())]
    lines += [f"- not measured: {name}: {why}" for name, why in found["peers_absent"].items()]
    return "\n".join(lines).strip()


def _compared(rows: Sequence[Row], names: Iterable[str]) -> Iterator[str]:
    peers = [row for row in rows if row["who"] == "peer"]
    for row in rows:
        if row["who"] != "kiribi":
            continue
        beside = [peer for peer in peers if _is_like(peer, row)]
        # Each is told once, beside the first that it can be held against.
        peers = [peer for peer in peers if peer not in beside]
        others = ", ".join(
            f"{_name(peer, names)} {_short(peer)}" for peer in sorted(beside, key=lambda peer: peer["median"])
        )
        floor = "" if row["floor"] is None else f"{row['floor_what']} {number(row['floor'])}: {row['ratio']:.2f} x"
        verdict = {True: ": met", False: ": missed", None: ""}[row["met"]]
        yield f"| {row['what']} | {_value(row)} | {floor} | {row['goal']}{verdict} | {others} |"


def _is_like(peer: Row, row: Row) -> bool:
    at_once = row["what"].partition(" at once")[0].rpartition(" ")[2] if " at once" in row["what"] else ""
    return peer["unit"] == row["unit"] and (
        not at_once or f" {at_once} at once" in peer["what"] or "1 at once" in peer["what"]
    )


def _name(peer: Row, names: Iterable[str]) -> str:
    return max((name for name in names if name in peer["what"]), key=len, default=str(peer["what"]))


def _short(peer: Row) -> str:
    return number(peer["median"]) + (f" (p99 {number(peer['more']['p99'])})" if "p99" in peer["more"] else "")


def _history(rows: Sequence[Row]) -> Iterator[str]:
    """All commands in one row: which of them grew most."""
    told = [row for row in rows if row["ratio"] is not None]
    if not told:
        return
    worst = max(told, key=lambda row: float(row["ratio"]))
    met = sum(row["met"] is True for row in told)
    what, _, many = worst["what"].rpartition(", ")
    yield (
        f"| {len(told)} commands on {many}, CPU {worst['floor_what']} beside it | worst: `{what}` {worst['ratio']:.2f} x | |"
        f" {worst['goal']}: {met} of {len(told)} met | |"
    )


def _described(found: Mapping[str, str]) -> str:
    return "{date}: {cpu}, {cores} cores, {system}, Python {python}, SQLite {sqlite}, {filesystem}".format(**found)


def machine(folder: Path) -> dict[str, str]:
    """What it was measured on."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": f"{_sqlite_of_kiribi()} (floors: {sqlite3.sqlite_version})",
        "filesystem": filesystem(folder),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _sqlite_of_kiribi() -> str:
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        return sqlite3.sqlite_version
    return str(dbapi2.sqlite_version)


def filesystem(folder: Path) -> str:
    """The type of what the folder is on."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    under = [(where, kind) for where, kind in mounts if folder.resolve().is_relative_to(where)]
    return max(under, key=lambda pair: len(pair[0]))[1]


def read(path: Path) -> dict[str, Any]:
    """What --json wrote."""
    return dict(json.loads(path.read_text()))
