"""Kills a program at each of its system calls on its files: strace counts them, and the kernel does the rest."""

import shutil
import subprocess
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from tests.conftest import Kiribi

# What SQLite puts beside a database.
ENDS = ("", "-wal", "-shm", "-journal")


class Killed:
    """A program that is started again and again from the same folder, and killed at one call after the other."""

    def __init__(self, kiribi: Kiribi, scratch: Path, state: Path, *command: str, stdin: str = "") -> None:
        self.kiribi, self.state, self.command, self.stdin = kiribi, state, command, stdin
        # Other databases that it writes, and moves.
        self.others: tuple[Path, ...] = ()
        self.log, self.before = scratch / "trace", scratch / "before"
        if state.exists():
            shutil.copytree(state, self.before)

    def calls(self) -> list[tuple[str, int]]:
        """The calls on the files in order, each by its name and how often that came; the program runs to its end."""
        self._under()
        names = [line.split("(")[0].split()[-1] for line in self.log.read_text().splitlines() if "(" in line]
        return [(name, names[: place + 1].count(name)) for place, name in enumerate(names)]

    def at(self, name: str, nth: int) -> subprocess.CompletedProcess[str]:
        """Kill it at the nth call of that name (strace counts each by itself)."""
        done = self._under("-e", f"inject={name}:signal=KILL:when={nth}")
        assert done.returncode == -9, (name, nth, done)
        return done

    def again(self) -> str:
        """Run it unharmed."""
        return self.kiribi.ok(*self.command, stdin=self.stdin)

    def _under(self, *more: str) -> subprocess.CompletedProcess[str]:
        shutil.rmtree(self.state, ignore_errors=True)
        if self.before.exists():
            shutil.copytree(self.before, self.state)
        database = self.state / "kiribi.db"
        files = [self.state, *(Path(f"{name}{end}") for name in (database, *self.others) for end in ENDS)]
        watched = [word for file in files for word in ("-P", str(file))]
        strace = ["strace", "-f", "-qq", "-o", str(self.log), "-e", "signal=none", *more, *watched]
        return self.kiribi(*self.command, stdin=self.stdin, under=strace)


def chosen(calls: Sequence[tuple[str, int]], *, each: int) -> list[tuple[str, int]]:
    """The last call of each kind, and of all in turn each `each`th."""
    last = dict(calls)
    return [call for place, call in enumerate(calls) if place % each == each // 4 or last[call[0]] == call[1]]


def thinned(calls: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Of many writes in a row, as of a whole schema, the first two and the last two: between two frames is as good as any."""
    runs = [list(run) for _, run in groupby(calls, key=itemgetter(0))]
    return [call for run in runs for call in (run if len(run) < 6 else [*run[:2], *run[-2:]])]
