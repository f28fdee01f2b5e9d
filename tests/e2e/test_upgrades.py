"""Databases of older versions open, whatever happens on the way; those of newer ones are left alone."""

import contextlib
import json
import sqlite3
import stat
from pathlib import Path

import pytest

from kiribi_cli.store.connect import SCHEMA_VERSION
from kiribi_cli.store.liveness import Liveness
from tests.data.databases import DATA, VERSIONS, put, version_of

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
