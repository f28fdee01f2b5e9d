"""The check at the end of every scenario can fail."""

import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.invariants import check_databases, check_nothing_left, processes_of


@pytest.fixture
def history(kiribi):
    """One job that completed."""
    kiribi.define('[jobs]\nTalk = ["echo", "hello"]\n')
    kiribi.ok("enqueue", "Talk")
    kiribi.ok("worker", "--drain", "-s")
    return kiribi


@pytest.mark.damages
@pytest.mark.parametrize(
    "damage",
    ["UPDATE stats SET completed = completed - 1", "DELETE FROM attempts", "UPDATE jobs SET attempts = 7"],
)
def test_a_database_with_a_broken_rule_fails_the_test(history, damage):
    (path,) = history.databases()
    connection = sqlite3.connect(path)
    connection.execute(damage)
    connection.commit()
    connection.close()

    with pytest.raises(pytest.fail.Exception, match="kiribi db verify finds"):
        check_databases([path])


@pytest.mark.damages
def test_a_log_without_a_job_fails_the_test(history):
    (history.folder / ".kiribi/logs/9999").write_bytes(b"")

    with pytest.raises(pytest.fail.Exception, match="the log of attempt 9999"):
        check_databases(history.databases())


@pytest.mark.damages
def test_a_file_that_cannot_be_opened_any_more_fails_the_test(history):
    (path,) = history.databases()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)

    with pytest.raises(pytest.fail.Exception, match=r"SQLite|damaged"):
        check_databases([path])


def test_a_database_named_on_the_command_line_or_in_the_environment_is_checked_too(kiribi):
    kiribi.ok("--db", "one.db", "enqueue", "--", "true")
    kiribi.ok("enqueue", "--", "true", env={"KIRIBI_DB": "two.db"})

    assert [path.name for path in kiribi.databases()] == ["one.db", "two.db"]


@pytest.mark.leaves_running
def test_a_process_that_left_its_session_and_its_parent_fails_the_test(kiribi):
    subprocess.run(["sh", "-c", "setsid sleep 1000 &"], env={"PATH": "/usr/bin:/bin", "X": f"{kiribi.folder}/"})
    with pytest.raises(pytest.fail.Exception, match=r"left running:\n.* sleep 1000"):
        check_nothing_left(kiribi.folder, patience=0)

    assert len(processes_of(kiribi.folder)) == 1


def test_what_the_test_itself_left_running_is_its_own_business(kiribi):
    process = subprocess.Popen(["sleep", "1000"], env={"PATH": "/usr/bin:/bin", "X": f"{kiribi.folder}/"})
    check_nothing_left(kiribi.folder, patience=0)
    process.kill()
    process.wait()

    assert processes_of(Path(kiribi.folder)) == []
