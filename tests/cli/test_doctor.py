"""kiribi doctor, where time is the trouble: the clock stands where the test puts it."""

import json
import os

import pytest

from tests.cli.conftest import NOW
from tests.store.hand import begun

MINUTE = 60_000


def findings(desk, check):
    """What it says of one check, but what is well."""
    found = json.loads(desk("--json", "doctor").out)
    return [one for one in found if one["check"] == check and one["status"] != "ok"]


def test_a_job_that_stands_in_line_for_long_is_told_with_the_command_that_says_why(desk):
    desk.enqueue("Import")
    soon = findings(desk, "jobs")
    desk.now = NOW + 11 * MINUTE
    [finding] = findings(desk, "jobs")
    answer = desk(*finding["mend"].split()[1:])

    assert (soon, finding["mend"]) == ([], "kiribi why 1")
    assert finding["message"].startswith("the oldest pending job waits for ")
    assert answer.code == 0


def test_a_job_that_runs_on_after_it_was_cancelled_is_told(desk):
    desk.enqueue("Import")
    claim = desk.hand.claim_one(NOW)
    desk.store.turn(desk.hand.id, now=NOW, began=[begun(claim, NOW)])
    desk.store.cancel([1], by="ann", now=NOW)
    soon = findings(desk, "jobs")
    desk.now = NOW + 2 * MINUTE
    [finding] = findings(desk, "jobs")

    assert soon == []
    assert "job 1 was to be cancelled" in finding["message"]
    assert finding["mend"] == "kiribi cancel 1 --now"


@pytest.mark.parametrize(("ahead", "said"), [(30_000, 0), (7_200_000, 1)])
def test_a_worker_that_was_heard_in_the_future_tells_of_a_clock_that_was_set_back(desk, ahead, said):
    desk.store.heartbeat(desk.hand.id, state="running", now=NOW + ahead)

    found = findings(desk, "clock")
    assert len(found) == said
    assert all("the clock has been set back" in one["message"] for one in found)


def test_a_clock_that_is_years_behind_is_told(desk):
    desk.now = 1_000_000_000_000

    assert [one["mend"] for one in findings(desk, "clock")] == ["timedatectl set-ntp true"]


def test_the_free_lock_of_a_dead_worker_is_no_old_file_until_its_jobs_are_settled(desk):
    run = desk.folder / ".kiribi/run"
    [lock] = run.glob("worker-*.lock")
    os.utime(lock, (0, 0))
    desk.hand.die()

    assert [one["mend"] for one in findings(desk, "workers")] == ["kiribi recover"]
    assert findings(desk, "processes") == []
