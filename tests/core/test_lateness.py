"""When a schedule is late: somebody should have started something and nobody did."""

import pytest

from kiribi_cli.core.lateness import late
from kiribi_cli.core.records import replace
from kiribi_cli.core.schedule import Every, Pause, Schedule, Standing, Tick

SCHEDULE = Schedule("nightly", "Report", Every(3_600_000), "1h", "UTC", late_after_ms=10_000)
STANDING = Standing("nightly", "/srv/jobs.toml", "Report", "f00", since=1_000, cursor=1_000)
TICK = Tick("nightly", 50_000, "fired", 52_000, job_id=7)


def lateness(schedule=SCHEDULE, standing=STANDING, tick=None, *, planned_at=50_000, started=False, now=62_000):
    due_at = None if planned_at is None else planned_at + 2_000
    return late(schedule, standing, planned_at=planned_at, due_at=due_at, tick=tick, started=started, now=now)


def test_a_schedule_is_late_from_late_after_on_counted_from_when_it_was_due():
    assert [lateness(now=61_999), lateness(now=62_000), lateness(now=99_000)] == [None, 10_000, 47_000]


def test_a_job_that_waits_for_a_worker_is_as_late_as_one_that_was_never_made():
    assert lateness(tick=TICK) == 10_000


def test_a_tick_that_was_missed_is_late():
    assert lateness(tick=replace(TICK, state="missed", reason="misfire", job_id=None)) == 10_000


@pytest.mark.parametrize("reason", ["payload", "unknown_job"])
def test_a_tick_that_could_not_become_a_job_is_late(reason):
    assert lateness(tick=replace(TICK, state="skipped", reason=reason, job_id=None)) == 10_000


@pytest.mark.parametrize(
    "given",
    [
        {"started": True, "tick": TICK},
        {"tick": replace(TICK, state="skipped", reason="overlap")},
        {"tick": replace(TICK, state="skipped", reason="unique")},
        {"schedule": replace(SCHEDULE, enabled=False)},
        {"standing": None},
        {"standing": replace(STANDING, since=50_000)},
        {"standing": replace(STANDING, pause=Pause("deploy@web1", 40_000))},
        {"standing": replace(STANDING, pause=Pause("deploy@web1", 40_000, until=62_001))},
        {"planned_at": None},
    ],
    ids=",".join,
)
def test_a_schedule_that_owes_nothing_is_not_late(given):
    assert lateness(**given) is None


def test_a_pause_that_is_over_excuses_nothing():
    assert lateness(standing=replace(STANDING, pause=Pause("deploy@web1", 40_000, until=62_000))) == 10_000
