"""kiribi def publish: what SQL can enqueue is what jobs.toml says."""

import sqlite3
from contextlib import closing


def names(kiribi):
    with closing(sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db")) as connection:
        return [row[0] for row in connection.execute("SELECT job FROM enqueue ORDER BY job")]


def test_what_is_published_is_what_the_file_says_now(kiribi):
    kiribi.define('[jobs.A]\nshell = "true"\n[jobs.B]\nshell = "true"\n')
    first = kiribi.json("def", "publish")
    then = names(kiribi)
    kiribi.define('[jobs.B]\nshell = "true"\n[jobs.C]\nshell = "true"\n')
    kiribi.ok("def", "publish")

    assert first == {"file": str(kiribi.folder / "jobs.toml"), "definitions": 2, "changed": True}
    assert then == ["A", "B"]
    assert names(kiribi) == ["B", "C"]
    assert kiribi.json("def", "publish")["changed"] is False


def test_a_broken_file_changes_nothing(kiribi):
    kiribi.define('[jobs.A]\nshell = "true"\n')
    kiribi.ok("def", "publish")
    kiribi.define("[jobs.A]\nshel = 1\n")

    assert kiribi("def", "publish").returncode == 4
    assert names(kiribi) == ["A"]


def test_without_a_file_there_is_nothing_to_publish_and_no_database_is_made(kiribi):
    done = kiribi("def", "publish")

    assert done.returncode == 4
    assert "there is no jobs.toml here or above" in done.stderr
    assert list(kiribi.folder.iterdir()) == []


def test_a_job_that_came_by_sql_says_so(kiribi):
    kiribi.define('[jobs.A]\nshell = "true"\n')
    kiribi.ok("def", "publish")
    with closing(sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db")) as connection, connection:
        connection.execute("INSERT INTO enqueue (job) VALUES ('A')")

    assert "by sql\n" in kiribi.ok("show", 1, "--table")
    assert kiribi.json("show", 1)["origin"] == {"kind": "sql", "by": ""}
