"""What people do to jobs."""

import pytest

from kiribi_cli.core.job import MOVES, Status
from kiribi_cli.core.settle import Cancel, Complete, Fail, Retry
from kiribi_cli.store.base import Edit, Filter
from tests.store.hand import Hand, job, statuses


def kinds(store, job_id=1):
    return [event.type for event in store.events(job_id=job_id)]


# -- cancel


@pytest.mark.parametrize("waiting", ["scheduled", "pending", "retrying"])
def test_a_waiting_job_is_cancelled_at_once(store, hand: Hand, waiting):
    store.insert([job(run_at=9000 if waiting == "scheduled" else 1000, created_at=1000)], now=1000)
    if waiting == "retrying":
        hand.run(Retry(9000))
    acted = store.cancel([1], by="ann", now=3000)

    seen = store.job(1, now=3000)
    assert acted.changed == (1,)
    assert (seen.status, seen.reason, seen.finished_at) == (Status.CANCELLED, "cancelled", 3000)
    assert seen.error.message == "cancelled by ann"
    last = list(store.events(job_id=1))[-1]
    assert (last.type, last.from_status, last.to_status, last.by) == ("job.cancelled", waiting, "cancelled", "ann")


def test_a_running_job_is_asked_and_its_worker_is_told(store, hand: Hand):
    store.insert([job()], now=1000)
    claim = hand.claim_one()
    acted = store.cancel([1], by="ann", now=1500, signal="SIGKILL")

    (request,) = store.cancel_requests(hand.id)
    seen = store.job(1, now=1500)
    assert acted.changed == (1,)
    assert (seen.status, seen.cancel_requested_at, seen.cancel_requested_by) == (Status.RUNNING, 1500, "ann")
    assert (request.attempt_id, request.job_id, request.by, request.signal) == (claim.attempt_id, 1, "ann", "SIGKILL")


def test_a_second_cancel_may_be_harsher_but_keeps_who_asked_first(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.claim_one()
    store.cancel([1], by="ann", now=1500)
    store.cancel([1], by="bob", now=1600, signal="SIGKILL")

    (request,) = store.cancel_requests(hand.id)
    assert (request.by, request.signal, store.job(1, now=0).cancel_requested_at) == ("ann", "SIGKILL", 1500)


def test_what_has_ended_or_is_not_there_is_refused_and_the_rest_is_done(store, hand: Hand):
    store.insert([job(), job()], now=1000)
    hand.run(Complete())
    acted = store.cancel([1, 2, 77, 2], by="ann", now=3000)

    assert acted.changed == (2,)
    assert [(id_, code) for id_, code, _ in acted.refused] == [(1, "conflict"), (77, "not_found")]
    assert acted.refused[0][2] == "job 1 is completed already"


# -- retry


@pytest.mark.parametrize("end", [Fail("attempts_used"), Cancel("ann")])
def test_a_failed_or_cancelled_job_becomes_pending_again_with_its_attempts_kept(store, hand: Hand, end):
    store.insert([job(max_attempts=2)], now=1000)
    hand.run(Retry(2100), now=2000)
    hand.run(end, now=2100)
    acted = store.retry([1], by="ann", now=5000)

    seen = store.job(1, now=5000)
    assert acted.changed == (1,)
    assert (seen.status, seen.run_at, seen.finished_at, seen.attempts, seen.max_attempts) == (
        Status.PENDING, 5000, None, 2, 4,
    )  # fmt: skip
    assert len(store.attempts(1)) == 2
    assert hand.claim_one(now=5000).attempt == 3


def test_each_retry_by_hand_grants_what_the_job_had_at_first(store, hand: Hand):
    store.insert([job(max_attempts=2)], now=1000)
    granted = []
    for now in (2000, 3000, 4000):
        hand.run(Fail("attempts_used"), now=now)
        store.retry([1], by="ann", now=now)
        granted.append(store.job(1, now=now).max_attempts)

    assert granted == [3, 4, 5]


def test_retry_can_grant_more_and_spread_the_starts(store, hand: Hand):
    store.insert([job(max_attempts=1), job(max_attempts=1)], now=1000)
    hand.run(Fail("attempts_used"))
    hand.run(Fail("attempts_used"))
    store.retry([1, 2], by="ann", now=5000, more=7, run_at={2: 8000})

    assert statuses(store, now=5000) == {1: "pending", 2: "scheduled"}
    assert store.job(1, now=0).max_attempts == 8
    assert store.next_due() == 8000


def test_a_completed_job_runs_again_only_when_forced(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.run(Complete())
    refused = store.retry([1], by="ann", now=3000)
    forced = store.retry([1], by="ann", now=3000, force=True)

    assert refused.refused[0][1] == "conflict"
    assert forced.changed == (1,)
    assert hand.claim_one(now=3000).job_id == 1


def test_a_retrying_job_starts_now(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.run(Retry(900_000))
    store.retry([1], by="ann", now=3000)

    assert hand.claim_one(now=3000).attempt == 2


def test_what_waits_or_runs_is_not_retried(store, hand: Hand):
    store.insert([job(), job()], now=1000)
    hand.claim_one()
    acted = store.retry([1, 2], by="ann", now=2000)

    assert [code for _, code, _ in acted.refused] == ["conflict", "conflict"]


def test_a_retry_whose_unique_key_is_held_by_another_is_refused(store, hand: Hand):
    store.insert([job(key="7")], now=1000)
    hand.run(Fail("attempts_used"))
    store.insert([job(key="7")], now=3000)
    acted = store.retry([1], by="ann", now=3000)

    assert acted.refused == ((1, "conflict", "job 1 cannot run again: its unique key '7' is held by job 2"),)
    store.cancel([2], by="ann", now=3000)
    assert store.retry([1], by="ann", now=3000).changed == (1,)
    assert store.insert([job(key="7")], now=3000)[0].id == 1


def test_a_retried_job_does_not_expire_nor_stay_cancelled(store, hand: Hand):
    store.insert([job(expires_at=1500)], now=1000)
    hand.claim(now=1500)
    store.retry([1], by="ann", now=5000)

    seen = store.job(1, now=5000)
    assert (seen.expires_at, seen.cancel_requested_at, seen.reason) == (None, None, None)
    assert hand.claim_one(now=6000).job_id == 1


# -- edit


def test_an_edit_changes_what_it_names_and_nothing_else(store):
    store.insert([job(payload="1", tags='["x"]', priority=3, expires_at=9000)], now=1000)
    store.edit(1, Edit(payload="2", queue="mail", tags=("y", "z"), max_attempts=8), by="ann", now=2000)

    seen = store.job(1, now=2000)
    assert (seen.payload, seen.queue, seen.tags, seen.max_attempts) == ("2", "mail", ("y", "z"), 8)
    assert (seen.priority, seen.expires_at, seen.status) == (3, 9000, Status.PENDING)
    last = list(store.events(job_id=1))[-1]
    assert (last.type, last.by) == ("job.edited", "ann")
    assert last.details == {"changed": ["payload", "queue", "max_attempts", "tags"]}


def test_an_edit_of_the_time_moves_the_job_between_waiting_and_due(store, hand: Hand):
    store.insert([job()], now=1000)
    store.edit(1, Edit(run_at=9000), by="ann", now=2000)
    later = statuses(store, now=2000)
    store.edit(1, Edit(run_at=2000), by="ann", now=2000)

    assert later == {1: "scheduled"}
    assert hand.claim_one(now=2000).job_id == 1


def test_zero_takes_the_expiry_away(store):
    store.insert([job(expires_at=9000)], now=1000)
    store.edit(1, Edit(expires_at=0), by="ann", now=2000)

    assert store.job(1, now=2000).expires_at is None


def test_a_job_that_has_started_is_not_edited(store, hand: Hand):
    store.insert([job(payload="1"), job()], now=1000)
    claim = hand.claim_one()
    running = store.edit(1, Edit(payload="2"), by="ann", now=2000)
    hand.end(claim, Complete())
    ended = store.edit(1, Edit(payload="2"), by="ann", now=2000)

    assert running.refused[0][2] == "job 1 is running: it has started"
    assert ended.refused[0][1] == "conflict"
    assert store.job(1, now=0).payload == "1"


def test_an_edit_to_a_unique_key_that_is_held_is_refused(store):
    from kiribi_cli.core.unique import unique_hash

    store.insert([job(key="7"), job(key="8")], now=1000)
    acted = store.edit(2, Edit(unique_key="7", unique_hash=unique_hash("Import", "7")), by="ann", now=2000)

    assert acted.refused == ((2, "conflict", "the unique key '7' is held by job 1"),)
    assert store.job(2, now=0).unique_key == "8"


# -- delete


def test_deleting_takes_a_finished_job_and_its_attempts(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.run(Retry(2000), now=1500)
    hand.run(Complete(), now=2000)
    attempts = tuple(attempt.id for attempt in store.attempts(1))
    acted, attempt_ids = store.delete([1, 99], by="ann", now=3000)

    assert (acted.changed, acted.refused[0][:2]) == ((1,), (99, "not_found"))
    assert attempt_ids == attempts
    assert len(attempts) == 2
    assert store.job(1, now=0) is None
    assert store.attempts(1) == []
    assert kinds(store)[-1] == "job.deleted"
    assert list(store.verify()) == []


def test_an_unfinished_job_is_not_deleted(store):
    store.insert([job()], now=1000)
    acted, attempt_ids = store.delete([1], by="ann", now=3000)

    assert acted.refused[0][1] == "conflict"
    assert attempt_ids == ()
    assert store.job(1, now=0) is not None


# -- many


def test_thousands_are_changed_in_several_transactions(store):
    store.insert([job() for _ in range(1200)], now=1000)
    acted = store.cancel(range(1, 1201), by="ann", now=3000)

    assert len(acted.changed) == 1200
    assert store.count(Filter(statuses=(Status.CANCELLED,)), now=3000) == 1200
    (row,) = store.hours("job", since=0, until=10_000)
    assert row.cancelled == 1200


def test_every_recorded_move_is_a_legal_one(store, hand: Hand):
    store.insert([job(max_attempts=2), job(run_at=5000, created_at=1000), job(expires_at=1200), job()], now=1000)
    hand.run(Retry(3000), now=2000)
    hand.run(Fail("attempts_used"), now=3000)
    store.cancel([2], by="ann", now=3000)
    store.retry([1, 2, 3], by="ann", now=4000, run_at={2: 9000})
    hand.run(Complete(), now=5000)
    store.retry([1, 4], by="ann", now=6000, force=True)

    moves = [(e.from_status, e.to_status) for e in store.events() if e.to_status is not None]
    assert len(moves) >= 10
    for before, after in moves:
        assert after == before or Status(after) in MOVES[None if before is None else Status(before)]
