"""What goes and what stays."""

import pytest

from kiribi_cli.core.definition import Retention
from kiribi_cli.core.job import Status
from kiribi_cli.core.settle import Complete, Fail
from kiribi_cli.store import sweep
from kiribi_cli.store.base import Filter, Keep
from tests.store.hand import Hand, job

DAY = 86_400_000


def keep(events_ms=None, by_name=None, **rule):
    given = {"completed_ms": 7 * DAY, "failed_ms": 30 * DAY, "cancelled_ms": 7 * DAY, "keep_last": 0} | rule
    return Keep(Retention(**given), by_name or {}, events_ms)


def sweep_all(store, wanted, now, **options):
    """Batch by batch, as `kiribi sweep` does."""
    gone, attempts = {}, []
    for _ in range(1000):
        swept = store.sweep(wanted, now=now, **options)
        attempts += swept.attempt_ids
        for status, count in swept.jobs.items():
            gone[status] = gone.get(status, 0) + count
        if not swept.more:
            return gone, attempts
    raise AssertionError("never ends")


def end(store, hand: Hand, decision, now, count=1, name="Import", **values):
    store.insert([job(name, created_at=now, run_at=now, **values) for _ in range(count)], now=now)
    for claim in hand.claim(now=now, slots=count):
        hand.end(claim, decision, now=now)


def left(store):
    return sorted(one.id for one in store.find(Filter(), now=0))


def test_finished_jobs_go_by_age_and_status(store, hand: Hand):
    end(store, hand, Complete(), now=1 * DAY)
    end(store, hand, Fail("attempts_used"), now=1 * DAY)
    end(store, hand, Complete(), now=5 * DAY)

    assert store.sweepable(keep(), now=9 * DAY).jobs == {"completed": 1}
    gone, attempts = sweep_all(store, keep(), now=9 * DAY)
    assert (gone, attempts) == ({"completed": 1}, [1])
    assert left(store) == [2, 3]
    assert list(store.verify()) == []


def test_unfinished_jobs_stay_whatever_their_age(store, hand: Hand):
    store.insert([job(created_at=0, run_at=0), job(run_at=900 * DAY, created_at=0), job(created_at=0, run_at=0)], now=0)
    hand.claim_one(now=0)

    assert sweep_all(store, keep(), now=500 * DAY) == ({}, [])
    assert left(store) == [1, 2, 3]


def test_the_newest_of_each_name_stay(store, hand: Hand):
    end(store, hand, Complete(), now=DAY, count=5, name="Import")
    end(store, hand, Complete(), now=DAY, count=2, name="Mailer")

    sweep_all(store, keep(keep_last=3), now=100 * DAY)
    assert left(store) == [3, 4, 5, 6, 7]


def test_each_name_by_its_own_rule_and_for_ever_means_for_ever(store, hand: Hand):
    end(store, hand, Complete(), now=DAY, name="Import")
    end(store, hand, Complete(), now=DAY, name="Mailer")
    own = {"Mailer": Retention(completed_ms=None, keep_last=0)}

    sweep_all(store, keep(by_name=own), now=900 * DAY)
    assert left(store) == [2]


def test_what_one_name_keeps_is_not_in_the_way_of_the_others(store, hand: Hand):
    """Each sweep would read it again."""
    end(store, hand, Complete(), now=DAY, count=30, name="Mailer")
    end(store, hand, Complete(), now=DAY, count=5, name="Import")
    end(store, hand, Fail("attempts_used"), now=DAY, count=2, name="Import")
    wanted = keep(by_name={"Mailer": Retention(completed_ms=None, keep_last=0)})
    read = []
    store._db.connection.set_trace_callback(read.append)

    assert sweep_all(store, wanted, now=20 * DAY)[0] == {"completed": 5}
    assert left(store) == [*range(1, 31), 36, 37]
    store._db.connection.set_trace_callback(None)
    assert not any("status = 'completed'" in sql and "LIMIT" in sql for sql in read)


@pytest.mark.parametrize("at_most", [1000, 1])
def test_names_kept_shorter_longer_and_for_ever_go_by_their_own_age(store, hand: Hand, monkeypatch, at_most):
    """By name, and with too many names by status."""
    monkeypatch.setattr(sweep, "NAMES", at_most)
    for day in (1, 5, 10):
        for name in ("Import", "Mailer", ""):
            end(store, hand, Complete(), now=day * DAY, name=name or "x", adhoc=int(not name))
            end(store, hand, Fail("attempts_used"), now=day * DAY, name=name or "x", adhoc=int(not name))
    short = Retention(completed_ms=2 * DAY, failed_ms=4 * DAY, keep_last=0)
    long = Retention(completed_ms=None, failed_ms=90 * DAY, keep_last=0)
    wanted = keep(by_name={"Import": short, "Mailer": long})
    doomed = store.sweepable(wanted, now=12 * DAY + 1).jobs

    assert sweep_all(store, wanted, now=12 * DAY + 1)[0] == doomed == {"completed": 5, "failed": 2}
    assert left(store) == [3, 4, 6, 9, 10, 12, 14, 15, 16, 17, 18]
    assert sweep_all(store, wanted, now=12 * DAY + 1, statuses=(Status.FAILED,))[0] == {}
    assert sweep_all(store, wanted, now=95 * DAY, statuses=(Status.FAILED,), names=("Mailer",))[0] == {"failed": 2}


def test_a_unique_period_that_lasts_keeps_its_job(store, hand: Hand):
    store.insert([job(key="7", unique_until=20 * DAY, created_at=0, run_at=0)], now=0)
    hand.run(Complete(), now=DAY)

    sweep_all(store, keep(), now=19 * DAY)
    assert left(store) == [1]
    sweep_all(store, keep(), now=21 * DAY)
    assert left(store) == []


def test_batches_are_small_and_go_on_behind_what_is_kept(store, hand: Hand):
    end(store, hand, Fail("attempts_used"), now=DAY, count=700)
    end(store, hand, Complete(), now=DAY, count=1300)
    sizes = []
    for _ in range(100):
        swept = store.sweep(keep(failed_ms=None), now=20 * DAY, batch=100)
        sizes.append(sum(swept.jobs.values()))
        if not swept.more:
            break

    assert max(sizes) <= 600
    assert sum(sizes) == 1300
    assert store.count(Filter(statuses=(Status.FAILED,)), now=0) == 700


def test_only_the_chosen_names_and_statuses_go(store, hand: Hand):
    end(store, hand, Complete(), now=DAY, name="Import")
    end(store, hand, Fail("attempts_used"), now=DAY, name="Import")
    end(store, hand, Complete(), now=DAY, name="Mailer")

    sweep_all(store, keep(failed_ms=0), now=20 * DAY, statuses=(Status.COMPLETED,), names=("Import",))
    assert left(store) == [2, 3]


def test_statistics_survive_the_sweep(store, hand: Hand):
    end(store, hand, Complete(), now=DAY, count=3)
    before = store.hours("job", since=0, until=9 * DAY), store.histogram("job", since=0, until=9 * DAY)
    sweep_all(store, keep(), now=20 * DAY)

    assert left(store) == []
    assert (
        store.hours("job", since=0, until=9 * DAY),
        store.histogram("job", since=0, until=9 * DAY),
    ) == before
    assert before[0][0].completed == 3
    assert list(store.verify()) == []


def test_old_events_go_and_numbers_are_not_used_again(store, hand: Hand):
    end(store, hand, Complete(), now=DAY)
    end(store, hand, Complete(), now=30 * DAY)
    last = store.last_seq()
    sweep_all(store, keep(events_ms=7 * DAY, completed_ms=None), now=31 * DAY)
    young = [event.at for event in store.events()]
    sweep_all(store, keep(events_ms=7 * DAY, completed_ms=None), now=90 * DAY)

    assert set(young) == {30 * DAY}
    assert list(store.events()) == []
    store.record("sweep.done", now=90 * DAY, by="ann")
    assert store.last_seq() == last + 1


def test_a_job_whose_events_are_gone_still_has_a_story_of_what_came_later(store, hand: Hand):
    end(store, hand, Complete(), now=DAY)
    sweep_all(store, keep(events_ms=7 * DAY, completed_ms=None), now=90 * DAY)

    assert list(store.events(job_id=1)) == []
