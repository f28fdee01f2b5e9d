"""jobs.example.toml loads without a word, and every job in it can be enqueued the way its comment says."""

import json
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

EXAMPLE = (Path(__file__).parents[2] / "jobs.example.toml").read_text()
LINES = re.findall(r"^#   kiribi (enqueue .*)$", EXAMPLE, re.MULTILINE)


@pytest.fixture
def example(kiribi):
    kiribi.define(EXAMPLE)
    return kiribi


def test_it_has_no_problem(example):
    report = example.json("check", "--strict")

    assert (report["ok"], report["problems"]) == (True, [])


def test_every_definition_has_a_line_that_enqueues_it(example):
    names = example.ok("def", "ls", "-q").splitlines()

    assert sorted(shlex.split(line)[1] for line in LINES) == sorted(names)


@pytest.mark.parametrize("line", LINES)
def test_the_line_of_its_comment_enqueues_it(example, line):
    job = json.loads(example.ok("--json", *shlex.split(line), "--dry-run"))

    assert (job["job"], job["status"]) == (shlex.split(line)[1], "pending")


@pytest.mark.needs("sqlite3")
def test_the_backup_keeps_a_copy_that_can_be_read(example):
    source = example.folder / "app.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (42)")
    copies = example.folder / "copies"
    copies.mkdir()
    example.ok("enqueue", "Backup", f"database={source}", f"to={copies}")
    example.ok("worker", "--drain")

    result = example.json("show", 1)["result"]
    assert [str(path) for path in copies.iterdir()] == [result]
    assert result.startswith(f"{copies}/app.db-")


def test_the_backup_of_what_is_no_database_fails_and_leaves_nothing(example):
    copies = example.folder / "copies"
    copies.mkdir()
    example.ok("enqueue", "Backup", "database=/etc/passwd", f"to={copies}", "--max-attempts", "1")
    example.ok("worker", "--drain")

    assert example.status(1) == "failed"
    assert list(copies.iterdir()) == []


def test_the_archive_is_made_by_a_function_of_the_standard_library(example):
    (example.folder / "photos").mkdir()
    (example.folder / "photos" / "heron").write_text("grey")
    where = example.folder / "photos-archive"
    example.ok("enqueue", "Archive", f"base_name={where}", f"root_dir={example.folder / 'photos'}")
    example.ok("worker", "--drain")

    assert example.json("show", 1)["result"] == f"{where}.tar.gz"


def test_the_mirror_waits_for_a_disk_that_is_not_mounted_without_counting_a_failure(example):
    example.ok("enqueue", "Sync", "from=/etc", f"to={example.folder / 'not-mounted'}")
    example.ok("worker", "--drain")

    job = example.json("show", 1)
    assert (job["status"], job["attempts"], job["snoozes"]) == ("scheduled", 0, 1)
