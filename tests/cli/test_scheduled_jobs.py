"""The pages of jobs that a schedule made: who asked for them, and what a blocked one waits for."""

import sqlite3
from contextlib import closing

import pytest


@pytest.mark.damages
def test_a_job_of_a_schedule_names_its_planned_time_and_a_blocked_one_the_job_before_it(kiribi, eventually):
    kiribi.ok("enqueue", "--name", "Report", "--", "sleep", "60")
    kiribi.ok("enqueue", "--name", "Report", "--", "true")
    path = kiribi.databases()[0]
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(
            "UPDATE jobs SET schedule = 'digest', scheduled_for = 1763920080000, origin_kind = 'schedule', origin_by = 'w'"
        )
        database.execute("UPDATE jobs SET status = 'blocked' WHERE id = 2")
    before = kiribi.ok("why", "2")
    worker = kiribi.worker()
    eventually(lambda: kiribi.status(1) == "running")

    assert "by schedule digest, planned for" in kiribi.ok("show", "1", "--table", "--utc")
    assert "17:48:00" in kiribi.ok("show", "1", "--table", "--utc")
    assert "waits for another job of schedule digest" in before
    assert "waits for job 1 (Report), which is running" in kiribi.ok("why", "2")
    assert kiribi.json("why", "2", "--json")["details"] == {"jobs": [1], "schedule": "digest"}
    kiribi.ok("cancel", "1")
    eventually(lambda: kiribi.status(1) == "cancelled")
    worker.terminate()
    worker.wait(20)
