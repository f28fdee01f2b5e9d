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
from tests.faults import strace

pytestmark = pytest.mark.needs("strace")
JOBS = '[jobs.Any]\ncommand = ["true"]\n'
SHORT, LONG = "{}", '{"text": "' + "x" * 100_000 + '"}'


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
    run(any_job, log, "enqueue", "Any", "--batch", "-", "--batch-size", "2", stdin="{}\n" * 5)
    run(any_job, log, "enqueue", "Any")
    found = replay(list(ops(log)), any_job.folder / ".kiribi", remains, times=4)

    assert found == []
    assert remains.looked > 200


def test_power_cuts_while_the_wal_is_copied_and_begun_anew_lose_nothing(kiribi, tmp_path, remains):
    log = tmp_path / "trace"
    # Without a jobs.toml a plain enqueue leaves the WAL to the next one, until it is too long.
    for payload in (*[SHORT] * 2, *[LONG] * 9, *[SHORT] * 2):
        run(kiribi, log, "enqueue", "-p", payload, "--", "true")
    trace = list(ops(log))
    found = replay(trace, kiribi.home / ".local", remains, times=2)

    assert found == []
    assert [op for op in trace if op.call == "ftruncate" and op.path.endswith("-wal") and op.numbers == (0,)]


def test_power_cuts_lose_no_end_of_a_job_that_somebody_saw(any_job, tmp_path, remains, eventually):
    log, ids, seen = tmp_path / "trace", range(1, 4), {}
    any_job.define('[jobs.Any]\ncommand = ["sleep", "0.1"]\n')
    for _ in ids:
        run(any_job, log, "enqueue", "Any")
    # Its reading keeps the WAL open, so that nothing is written that is not in the trace.
    witness = SqliteStore.open(any_job.folder / ".kiribi" / "kiribi.db", create=False, read_only=True)
    worker = any_job.start("worker", "-s", "--max-jobs", "3", "-j", "1", under=traced(log))

    def look() -> bool:
        ended = [job.id for job in witness.jobs(ids, now=1) if job.finished_at]
        seen.update({id_: time.time() for id_ in ended if id_ not in seen})
        return len(seen) == len(ids)

    eventually(look)
    worker.wait(30)
    witness.close()
    trace = list(ops(log))
    found = replay(trace, any_job.folder / ".kiribi", remains, times=4, seen=seen)

    assert found == []
    assert sorted(seen.values())[1] < trace[-1].at


@pytest.mark.parametrize("command", [("enqueue", "Any"), ("enqueue", "Any", "--batch", "-")])
def test_with_durability_normal_power_cuts_lose_jobs_which_shows_that_they_could(any_job, tmp_path, remains, command):
    any_job.define('durability = "normal"\n' + JOBS)
    log = tmp_path / "trace"
    for _ in range(3):
        run(any_job, log, *command, stdin="{}\n" * 3)
    found = replay(list(ops(log)), any_job.folder / ".kiribi", remains, times=4)

    assert [fault for fault in found if "is lost" in fault]
    # It trades away the last jobs with their ids, never the database.
    assert [fault for fault in found if not fault.endswith(("is lost", "comes twice"))] == []


@pytest.mark.parametrize("command", [("Any",), ("--", "true")])
def test_a_new_database_is_on_the_disk_before_the_first_id_is_printed(any_job, tmp_path, command):
    """The WAL, the database, their names in the folder, and the names of all folders that had to be made."""
    log = tmp_path / "trace"
    if "--" in command:
        (any_job.folder / "jobs.toml").unlink()
    run(any_job, log, "enqueue", *command)
    trace = list(ops(log))
    before = trace[: next(place for place, op in enumerate(trace) if op.fd == 1)]
    made = {op.path for op in before if op.call == "mkdir" and "cache" not in op.path}
    files = {op.path for op in before if op.creates and "/kiribi.db" in op.path and not op.path.endswith("-shm")}
    unsure = {
        path: _left_unsynced(before, path) for path in {*files, *made, *(str(Path(path).parent) for path in made)}
    }

    assert len(made) == (3 if "--" in command else 1)
    assert {Path(path).name for path in files} == {"kiribi.db", "kiribi.db-wal", "kiribi.db-journal"}
    assert unsure == {path: [] for path in unsure}


@pytest.mark.parametrize("command", [("--", "true"), ("--unique", "k", "--", "true"), ("--batch", "-", "Any")])
def test_one_fsync_stands_between_the_commit_and_the_printed_id(any_job, tmp_path, command):
    if "--" in command:
        (any_job.folder / "jobs.toml").unlink()
    run(any_job, tmp_path / "first", "enqueue", *command, stdin="{}\n")
    log = tmp_path / "trace"
    run(any_job, log, "enqueue", *[word.replace("k", "other") for word in command], stdin="{}\n")
    trace = list(ops(log))
    before = trace[: next(place for place, op in enumerate(trace) if op.fd == 1)]
    (wal,) = {op.path for op in before if op.path.endswith("kiribi.db-wal")}

    assert [op for op in before if op.path == wal and op.call == "pwrite64"]
    assert _left_unsynced(before, wal) == []


@pytest.mark.parametrize(("error", "code"), [("EINVAL", 0), ("EIO", 7)])
def test_a_folder_that_cannot_be_synced_is_told_and_one_that_need_not_be_is_fine(any_job, tmp_path, error, code):
    # That the name of .kiribi is on the disk.
    under = strace(tmp_path / "trace", f"fsync:error={error}", paths=[any_job.folder])
    done = any_job("enqueue", "Any", under=under)

    assert (done.returncode, done.stdout) == (code, "1\n" if code == 0 else "")
    assert "Traceback" not in done.stderr
    assert any_job.ok("enqueue", "Any") == ("2" if code == 0 else "1")


def _left_unsynced(trace: list[Op], path: str) -> list[str]:
    """What was done to a file, or to the names in a folder, since its last fsync."""
    left: list[str] = []
    for op in trace:
        if op.path == path and op.call in ("fsync", "fdatasync"):
            left.clear()
        elif op.path == path and op.call in ("pwrite64", "ftruncate"):
            left.append(op.call)
        elif str(Path(op.path).parent) == path and op.call in ("mkdir", "openat") and _names_something_new(op):
            left.append(f"{op.call} {op.path}")
    return left


def _names_something_new(op: Op) -> bool:
    # What is made only for the life of a process need not survive, nor the cache of definitions.
    return (op.call == "mkdir" or op.creates) and not op.path.endswith(("-shm", ".cache"))
