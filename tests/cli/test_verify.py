"""kiribi db verify as a user runs it: beside busy workers, on what they left, and what to do about it."""

import sqlite3
from contextlib import closing

import pytest

from kiribi_cli.actions.verify import verify
from kiribi_cli.store.sqlite import SqliteStore

JOBS = """
[jobs]
Talk = ["echo", "hello"]
Call = { python = "calls:call", max_attempts = 2, backoff = "0s" }
"""


def test_a_sound_database_is_sound_while_workers_run_and_a_sweep_deletes(kiribi):
    kiribi.define(JOBS)
    (kiribi.folder / "calls.py").write_text("import os\ndef call(n):\n    if n % 3 == 0: raise ValueError(n)\n")
    kiribi.ok("enqueue", "Call", "--batch", "-", stdin="".join(f'{{"n": {n}}}\n' for n in range(600)))
    kiribi.ok("enqueue", "Talk", "--batch", "-", stdin="null\n" * 600)
    workers = [kiribi.start("worker", "--drain", "-s", "-j", 2) for _ in range(2)]
    sweep = ("sweep", "--older-than", "0", "--keep-last", 0, "--yes")
    looks = []
    store = SqliteStore.open(kiribi.folder / ".kiribi/kiribi.db", create=False)
    while any(worker.poll() is None for worker in workers):
        sweeping = kiribi.start(*sweep)
        while sweeping.poll() is None:
            looks += [verify(store, kiribi.folder / ".kiribi/logs")]
    store.close()

    assert [look for look in looks if look] == []
    totals = kiribi.json("stats")["totals"]
    assert (totals["completed"], totals["failed"], totals["retried"], len(looks) > 5) == (1000, 200, 200, True)


@pytest.mark.damages
def test_what_is_broken_is_listed_and_the_help_says_what_helps(kiribi):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Talk")
    kiribi.ok("worker", "--drain", "-s")
    with closing(sqlite3.connect(kiribi.folder / ".kiribi/kiribi.db", isolation_level=None)) as connection:
        connection.executescript("DROP INDEX jobs_due; UPDATE jobs SET exit_code = 9")
    (kiribi.folder / ".kiribi/logs/7").touch()

    done = kiribi("db", "verify")
    document = kiribi("--json", "db", "verify")

    lines = done.stdout.splitlines()
    assert (done.returncode, document.returncode, len(lines)) == (1, 1, 3)
    assert "the index jobs_due is missing" in lines
    assert "job 1 and its last attempt 1 do not agree on how it ended" in done.stdout
    assert "kiribi help verify" in done.stderr
    assert "the log of attempt 7 belongs to no job" in document.stdout


@pytest.mark.damages
def test_a_changed_schema_is_mended_by_export_and_import_as_the_help_says(kiribi):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Talk")
    with closing(sqlite3.connect(kiribi.folder / ".kiribi/kiribi.db", isolation_level=None)) as connection:
        connection.executescript("DROP INDEX jobs_due; DROP TRIGGER enqueue_job")
    broken = kiribi("db", "verify").returncode

    for line in kiribi.ok("help", "verify").splitlines():
        if line.startswith("    kiribi "):
            kiribi.ok(*line.split()[1:])

    assert (broken, kiribi.json("--db", "new.db", "ls")[0]["id"]) == (1, 1)
