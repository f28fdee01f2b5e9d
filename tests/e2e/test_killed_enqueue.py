"""SIGKILL at each system call of `kiribi enqueue` on its files: no printed id is lost, nothing is half, nothing is twice."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pytest

from kiribi_cli.store.base import Filter
from kiribi_cli.store.sqlite import SqliteStore
from tests.conftest import Kiribi

pytestmark = pytest.mark.needs("strace")
JOBS = '[jobs.Any]\ncommand = ["true"]\n'


@pytest.fixture
def kiribi() -> Iterator[Kiribi]:
    """The program in a folder in memory, where fsync is free: what a kill leaves does not depend on the disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as place:
        folder, home = Path(place, "here"), Path(place, "home")
        folder.mkdir()
        home.mkdir()
        yield Kiribi(folder, home)


class Killed:
    """A program that is started again and again from the same folder, and killed at one call after the other."""

    def __init__(self, kiribi: Kiribi, scratch: Path, state: Path, *command: str, stdin: str = "") -> None:
        self.kiribi, self.state, self.command, self.stdin = kiribi, state, command, stdin
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
        files = [self.state, database, *(Path(f"{database}-{end}") for end in ("wal", "shm", "journal"))]
        watched = [word for file in files for word in ("-P", str(file))]
        strace = ["strace", "-f", "-qq", "-o", str(self.log), "-e", "signal=none", *more, *watched]
        return self.kiribi(*self.command, stdin=self.stdin, under=strace)


def chosen(calls: Sequence[tuple[str, int]], *, every: bool) -> list[tuple[str, int]]:
    """Each call, or for a quick look the last of each kind and each twentieth."""
    last = dict(calls)
    return [call for place, call in enumerate(calls) if every or place % 20 == 5 or last[call[0]] == call[1]]


def thinned(calls: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Of many writes in a row, as of a whole schema, the first two and the last two: between two frames is as good as any."""
    runs = [list(run) for _, run in groupby(calls, key=itemgetter(0))]
    return [call for run in runs for call in (run if len(run) < 6 else [*run[:2], *run[-2:]])]


def look(state: Path, ids: Sequence[int] = ()) -> tuple[list[str], set[int], list[int]]:
    """What is broken, which of `ids` are lost, and all jobs that are there."""
    if not (state / "kiribi.db").exists():
        return [], set(ids), []
    store = SqliteStore.open(state / "kiribi.db", create=True)
    try:
        there = sorted(job.id for job in store.find(Filter(), now=1))
        return list(store.verify()), set(ids) - set(there), there
    finally:
        store.close()


EVERY = [False, pytest.param(True, marks=pytest.mark.slow)]


@pytest.mark.parametrize("every", EVERY)
def test_a_first_enqueue_killed_at_any_call_loses_nothing_and_can_be_repeated(kiribi, tmp_path, every):
    kiribi.define(JOBS)
    killed = Killed(kiribi, tmp_path, kiribi.folder / ".kiribi", "enqueue", "Any", "--unique", "k")
    for place, call in enumerate(chosen(thinned(killed.calls()), every=every)):
        done = killed.at(*call)
        assert look(killed.state, [int(id_) for id_ in done.stdout.split()])[:2] == ([], set()), call
        assert done.stdout in ("", "1\n"), call
        if place % 4 == 0 or not every:
            assert killed.again() == "1", call
            assert look(killed.state) == ([], set(), [1]), call


@pytest.mark.parametrize("every", EVERY)
def test_an_enqueue_into_a_database_killed_at_any_call_loses_nothing_and_repeated_gives_the_same_id(
    kiribi, tmp_path, every
):
    for _ in range(2):
        kiribi.ok("enqueue", "--", "true")
    state = kiribi.home / ".local" / "state" / "kiribi"
    killed = Killed(kiribi, tmp_path, state, "enqueue", "--unique", "k", "--", "true")
    for call in chosen(killed.calls(), every=every):
        done = killed.at(*call)
        broken, lost, there = look(state, [1, 2, *(int(id_) for id_ in done.stdout.split())])
        assert (broken, lost) == ([], set()), call
        assert there in ([1, 2], [1, 2, 3]), call
        assert killed.again() == "3", call
        assert look(state) == ([], set(), [1, 2, 3]), call


@pytest.mark.parametrize("every", EVERY)
def test_a_batch_killed_at_any_call_has_stored_whole_transactions_and_all_ids_it_printed(kiribi, tmp_path, every):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Any")
    command = ("enqueue", "Any", "--batch", "-", "--batch-size", "2")
    killed = Killed(kiribi, tmp_path, kiribi.folder / ".kiribi", *command, stdin="{}\n" * 4)
    for call in chosen(thinned(killed.calls()), every=every):
        done = killed.at(*call)
        broken, lost, there = look(killed.state, [1, *(int(id_) for id_ in done.stdout.split())])
        assert (broken, lost) == ([], set()), call
        assert there in ([1], [1, 2, 3], [1, 2, 3, 4, 5]), call
