"""Databases of older versions open, whatever happens on the way; those of newer ones are left alone."""

import contextlib
import functools
import json
import random
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path

import pytest

from kiribi_cli.cli.main import COMMANDS
from kiribi_cli.store.base import Filter
from kiribi_cli.store.connect import SCHEMA_VERSION
from kiribi_cli.store.liveness import Liveness
from kiribi_cli.store.sqlite import SqliteStore
from tests.conftest import Kiribi
from tests.data.databases import DATA, VERSIONS, put, version_of
from tests.e2e.kills import Killed, chosen, thinned
from tests.e2e.power import Disk, cuts, ops, traced

OLDER = [version for version in VERSIONS if version < SCHEMA_VERSION]
# What goes on as time does.
MOVING = {"duration_ms", "total_ms", "wait_ms"}


def shown(version: int) -> list[dict]:
    return [json.loads(line) for line in (DATA / f"v{version}" / "show.jsonl").read_text("ascii").splitlines()]


def litter(path: Path) -> list[str]:
    """What lies beside a database that nobody has open, and belongs to no one."""
    known = {"kiribi.db", "logs", "run", *(f"kiribi.db.v{version}-backup" for version in OLDER)}
    return sorted(file.name for file in path.parent.iterdir() if file.name not in known)


def test_every_schema_version_has_its_database_in_the_tests():
    """Whoever raises the version runs the program as it was, and keeps what it left in tests/data/vN."""
    assert list(VERSIONS) == list(range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_the_kiribi_of_its_time_showed_is_shown(kiribi, version):
    path = put(version, kiribi.folder)
    before = shown(version)
    now = {job["id"]: job for job in kiribi.json("show", "--events", *(job["id"] for job in before))}
    stats = kiribi.json("stats", "--since", "2025-03-03", "--until", "2025-03-04")
    were = json.loads((DATA / f"v{version}" / "stats.json").read_text("ascii"))

    for job in before:
        kept = _unmoved(job)
        assert {key: _unmoved(now[job["id"]])[key] for key in kept} == kept
    assert {key: stats[key] for key in ("totals", "duration_ms", "wait_ms")} == {
        key: were[key] for key in ("totals", "duration_ms", "wait_ms")
    }
    assert kiribi.ok("logs", "11") == "two\nlines"
    assert version_of(path) == SCHEMA_VERSION
    assert litter(path) == []
    assert kiribi.ok("db", "verify") == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_what_waited_in_an_older_database_runs_and_what_ran_is_rescued(kiribi, version):
    put(version, kiribi.folder)
    (kiribi.folder / "jobs.toml").write_text(
        (kiribi.folder / "jobs.toml").read_text().replace('["sleep", "60"]', '["true"]')
    )
    # Busy asks to be tried again each time.
    waiting = [job["id"] for job in shown(version) if job["status"] == "pending" and job["job"] != "Busy"]
    (running,) = [job["id"] for job in shown(version) if job["status"] == "running"]
    kiribi.ok("worker", "--drain", "-s")
    now = {job["id"]: job for job in kiribi.json("show", running, *waiting)}

    assert {id_: now[id_]["status"] for id_ in waiting} == dict.fromkeys(waiting, "completed")
    assert now[running]["attempt_list"][0]["outcome"] == "worker_lost"
    assert int(kiribi.ok("enqueue", "Greet", "name=New")) > max(job["id"] for job in shown(version))
    assert kiribi.ok("db", "verify") == ""


@pytest.mark.parametrize("version", OLDER)
def test_the_backup_is_the_database_as_it_was_for_its_owner_only(kiribi, version):
    path = put(version, kiribi.folder)
    before = _rows(path)
    kiribi.ok("ls")
    kept = Path(f"{path}.v{version}-backup")

    assert (version_of(kept), _rows(kept)) == (version, before)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_four_that_migrate_at_once_do_it_once(kiribi):
    path = put(1, kiribi.folder)
    for _ in range(4):
        kiribi.start("ls")

    assert [process.wait(60) for process in kiribi.started] == [0] * 4
    assert litter(path) == []
    assert version_of(Path(f"{path}.v1-backup")) == 1
    assert kiribi.ok("ls", "--count") == str(len(shown(1)))


def test_a_database_is_not_migrated_under_a_living_worker_of_the_older_kiribi(kiribi):
    path = put(1, kiribi.folder)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ((name, pid, process),) = connection.execute(
            "SELECT name, pid, process FROM workers WHERE stopped_at IS NULL"
        ).fetchall()
    lock = Liveness(str(path.parent / "run"), name, pid, process)
    refused = {
        command: kiribi(*command.split()) for command in ("ls", "db migrate", "enqueue Greet name=x", "worker --drain")
    }
    kept = version_of(path)
    lock.close()

    assert {command: done.returncode for command, done in refused.items()} == dict.fromkeys(refused, 7)
    assert all(f"worker {name} of the older kiribi is still running" in done.stderr for done in refused.values())
    assert kept == 1
    assert not Path(f"{path}.v1-backup").exists()
    assert kiribi.ok("ls", "--count") == str(len(shown(1)))


@pytest.mark.needs("root")
def test_a_full_disk_leaves_an_older_database_as_it_was(kiribi, small_disk):
    path = put(1, small_disk.path)
    small_disk.fill(leave=60_000)
    content = path.read_bytes()
    full = kiribi("-c", small_disk.path / "jobs.toml", "ls")
    after = path.read_bytes()
    left = litter(path)
    small_disk.empty()

    assert full.returncode == 7
    assert full.stderr.startswith(f"Error: the backup {path}.v1-backup cannot be made: no space is left")
    assert after == content
    assert set(left) <= {"kiribi.db-wal", "kiribi.db-shm"}
    assert kiribi.ok("-c", small_disk.path / "jobs.toml", "ls", "--count") == str(len(shown(1)))


def _unmoved(job: dict) -> dict:
    """What neither goes on as time does nor depends on the folder."""
    attempts = [{key: value for key, value in attempt.items() if key != "log_path"} for attempt in job["attempt_list"]]
    moving = {"why", *(MOVING if job["status"] == "running" else ())}
    waits = {"status": "waits"} if job["status"] in {"pending", "scheduled", "retrying"} else {}
    ended = {"attempt_list": [attempt for attempt in attempts if attempt["outcome"] != "running"]}
    return {key: value for key, value in job.items() if key not in moving} | ended | waits


def _rows(path: Path) -> dict[str, list[tuple]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {table: connection.execute(f'SELECT * FROM "{table}" ORDER BY 1').fetchall() for table in tables}


class Outcome:
    """What a migration that was cut off left behind, told apart: the old shape or the new one, and nothing between."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept = Path(f"{path}.v1-backup")

    def faults(self) -> list[str]:
        """Say what is wrong with it, and whether the next to open it does not put it right."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            version, whole = (
                connection.execute(f"PRAGMA {word}").fetchone()[0] for word in ("user_version", "quick_check")
            )
        found = [] if whole == "ok" else [f"damaged: {whole}"]
        if version == SCHEMA_VERSION:
            found += self._about_the_backup()
        elif version == 1:
            found += [] if _rows(self.path) == self.before else ["neither old nor new"]
        store = SqliteStore.open(self.path, create=False)
        found += store.verify()
        lost = {job["id"] for job in shown(1)} - {job.id for job in store.find(Filter(), now=1)}
        store.close()
        return [*found, *([f"jobs are lost: {lost}"] if lost else []), *self._about_the_backup(), *litter(self.path)]

    def _about_the_backup(self) -> list[str]:
        if not self.kept.exists():
            return ["no backup"]
        return [] if (version_of(self.kept), _rows(self.kept)) == (1, self.before) else ["the backup is not what was"]

    @functools.cached_property
    def before(self) -> dict[str, list[tuple]]:
        with tempfile.TemporaryDirectory() as folder:
            return _rows(put(1, Path(folder)))


@pytest.mark.needs("strace")
@pytest.mark.parametrize("each", [60, pytest.param(8, marks=pytest.mark.slow)])
def test_a_migration_killed_at_any_call_leaves_the_old_or_the_new_and_the_next_one_ends_it(in_memory, tmp_path, each):
    path = put(1, in_memory.folder)
    killed = Killed(in_memory, tmp_path, path.parent, "db", "migrate")
    killed.others = (Path(f"{path}.v1-backup"), Path(f"{path}.v1-backup-unfinished"))
    outcome = Outcome(path)
    found = {}
    for call in chosen(thinned(killed.calls()), each=each):
        killed.at(*call)
        found[call] = outcome.faults()

    assert {call: faults for call, faults in found.items() if faults} == {}
    assert len(found) > 10


@pytest.mark.needs("strace")
def test_power_cuts_during_a_migration_leave_the_old_or_the_new_and_a_backup_of_the_old(kiribi, in_memory, tmp_path):
    path, log = put(1, kiribi.folder), tmp_path / "trace"
    disk, dice, found = Disk(path.parent), random.Random(1), []
    disk.holds_already(path)
    kiribi.ok("db", "migrate", under=traced(log))
    (in_memory.folder / ".kiribi").mkdir(mode=0o700)
    outcome = Outcome(in_memory.folder / ".kiribi" / "kiribi.db")

    def look() -> None:
        for file in outcome.path.parent.iterdir():
            file.unlink()
        for name, content in disk.after_a_cut(dice).items():
            (outcome.path.parent / Path(name).name).write_bytes(content)
        found.append(outcome.faults())

    for _ in cuts(ops(log), disk):
        for _ in range(6):
            look()
    look()

    assert [faults for faults in found if faults] == []
    assert len(found) > 100


# How each command that needs the database is called; the rest never looks at it.
CALLS = {
    "enqueue": "enqueue Greet name=x", "run": "run -- true", "show": "show 1", "logs": "logs 1", "wait": "wait 1", "why": "why 1",
    "retry": "retry 4", "duplicate": "duplicate 1", "cancel": "cancel 1", "edit": "edit 16 --priority 3", "rm": "rm 1 --yes",
    "worker": "worker --drain", "sweep": "sweep --yes", "db info": "db info", "db migrate": "db migrate",
    "db backup": "db backup copy", "db verify": "db verify", "db vacuum": "db vacuum", "db export": "db export",
    "db import": "db import -", "def publish": "def publish", "recover": "recover", "stop": "stop",
}  # fmt: skip
WITHOUT = {
    "init",
    "check",
    "help",
    "completion",
    "def ls",
    "def show",
    "def add",
    "def schema",
    "config path",
    "config show",
}


def _leaves(commands: dict, before: str = "") -> list[str]:
    found = []
    for name, entry in commands.items():
        inner = entry.get("commands") if isinstance(entry, dict) else None
        found += _leaves(inner, f"{before}{name} ") if inner else [before + name]
    return found


@pytest.fixture
def newer(kiribi: Kiribi) -> Path:
    """A database that a newer kiribi was killed over: what it committed last is in the WAL only."""
    path = put(SCHEMA_VERSION, kiribi.folder)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
        for file in path.parent.glob("kiribi.db*"):
            shutil.copy(file, kiribi.home)
    for file in kiribi.home.glob("kiribi.db*"):
        shutil.copy(file, path.parent)
    assert Path(f"{path}-wal").stat().st_size > 0
    return path


def test_a_newer_database_is_refused_by_every_command_and_no_byte_of_it_is_changed(kiribi, newer):
    def content() -> dict[str, bytes]:
        # But shared memory, and what is kept of jobs.toml.
        files = [
            file for file in newer.parent.rglob("*") if file.is_file() and file.suffix not in (".db-shm", ".cache")
        ]
        return {str(file.relative_to(newer.parent)): file.read_bytes() for file in files}

    before, wrong = content(), {}
    for command in sorted(set(_leaves(COMMANDS)) - WITHOUT - {"doctor"}):
        done = kiribi(*CALLS.get(command, command).split())
        sentence = f"the database {newer} is of a newer kiribi (schema {SCHEMA_VERSION + 1}, this one knows"
        # A wrapped command is not kept from running: it is said that nothing is recorded.
        if (done.returncode, content()) != (0 if command == "run" else 7, before) or sentence not in done.stderr:
            wrong[command] = (
                done.returncode,
                done.stderr,
                sorted({name for name, _ in content().items() ^ before.items()}),
            )
    doctor = kiribi("doctor")

    assert wrong == {}
    assert (doctor.returncode, content()) == (1, before)
    assert "is of a newer kiribi" in doctor.stdout + doctor.stderr


def test_who_went_back_to_an_older_kiribi_is_told_of_the_backup(kiribi, newer):
    kept = Path(f"{newer}.v{SCHEMA_VERSION}-backup")
    kept.touch()
    hint = kiribi("ls").stderr.splitlines()[-1]

    assert hint == (
        f"Hint: nothing was changed; install the newer kiribi, or put {kept} in its place, "
        "which was made before it was migrated"
    )
