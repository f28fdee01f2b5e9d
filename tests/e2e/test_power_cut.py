"""When power fails or a process is killed, at any moment: what was acknowledged is there, and all of it is whole."""

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiribi_cli.errors import KiribiError
from kiribi_cli.store.sqlite import SqliteStore
from tests.conftest import Kiribi
from tests.e2e.power import Disk, Op, cuts, ops, traced

pytestmark = pytest.mark.needs("strace")
JOBS = '[jobs.Any]\ncommand = ["true"]\n'
# More than a file system call's worth of rows: what the WAL of a short-lived program may hold before it begins anew.
LONG = '{"text": "' + "x" * 9000 + '"}\n'


@pytest.fixture
def any_job(kiribi: Kiribi) -> Kiribi:
    kiribi.define(JOBS)
    return kiribi


def run(kiribi: Kiribi, log: Path, *command: object, **options: object) -> str:
    return kiribi.ok(*command, under=traced(log), **options)


def said(op: Op, pids: set[int]) -> list[int]:
    """The ids that this call has printed. `pids`: of the program itself."""
    return [int(word) for word in op.data.split()] if op.fd == 1 and op.pid in pids else []


class Remains:
    """What the disk holds after a cut, put into a folder and opened by a fresh program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.looked = 0

    def faults(self, files: dict[str, bytes], owed: set[int], done: set[int] = frozenset()) -> list[str]:
        """Say what is wrong: lost jobs, lost ends, broken rules, ids that come twice."""
        self.looked += 1
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700)
        for path, content in files.items():
            (self.folder / Path(path).name).write_bytes(content)
        try:
            return list(self._faults(owed, done))
        except KiribiError as error:
            return [error.message]

    def _faults(self, owed: set[int], done: set[int]) -> Iterator[str]:
        path = self.folder / "kiribi.db"
        if owed and not path.exists():
            yield "no database"
            return
        store = SqliteStore.open(path, create=True)
        try:
            yield from store.verify()
            there = {job.id: job for job in store.jobs(sorted(owed | done), now=1)}
            yield from (f"job {id_} is lost" for id_ in sorted(owed - there.keys()))
            yield from (
                f"the end of job {id_} is lost" for id_ in sorted(done & there.keys()) if not there[id_].finished_at
            )
            new = store.insert([{"job": "Any", "kind": "command", "created_at": 1}], now=1)[0].id
            if owed and new <= max(owed):
                yield f"id {new} comes twice"
        finally:
            store.close()


def replay(
    trace: list[Op], under: Path, remains: Remains, *, times: int, seen: dict[int, float] | None = None, seed: int = 1
) -> list[str]:
    """Cut the power at each moment `times` times; answer all that was found wrong, with where."""
    dice, disk, found = random.Random(seed), Disk(under), []
    first = {op.pid for op in trace if op.fd == 1}
    owed: set[int] = set()
    seen = seen or {}

    def look(where: str, at: float) -> None:
        done = {id_ for id_, when in seen.items() if when <= at}
        for _ in range(times):
            files = disk.after_a_cut(dice)
            found.extend(f"{where}: {fault}" for fault in remains.faults(files, owed, done))

    for op in cuts(trace, disk):
        look(f"before {op.call} {Path(op.path).name} at {op.at}", op.at)
        owed |= set(said(op, first))
    look("at the end", time.time())
    return found


@pytest.fixture
def remains() -> Iterator["Remains"]:
    # In memory where there is room: nobody cuts the power of what is looked at there.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Remains(Path(folder) / "remains")


def test_power_cuts_lose_no_job_whose_id_was_printed(any_job, tmp_path, remains):
    log = tmp_path / "trace"
    run(any_job, log, "enqueue", "Any")
    run(any_job, log, "enqueue", "Any", "--unique", "k")
    run(any_job, log, "enqueue", "Any", "--batch", "-", stdin="{}\n" * 5)
    run(any_job, log, "enqueue", "Any")
    found = replay(list(ops(log)), any_job.folder / ".kiribi", remains, times=4)

    assert found == []
    assert remains.looked > 100
