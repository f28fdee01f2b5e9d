"""How attempts end, what that makes of the job, and what a worker that lost its claim can do: nothing."""

import pytest

from kiribi_cli.core.job import Problem, Status
from kiribi_cli.core.outcome import Usage
from kiribi_cli.core.settle import Cancel, Complete, Fail, Release, Retry, Snooze
from tests.store.hand import Hand, begun, job, settlement, statuses


def kinds(store, job_id=1):
    return [event.type for event in store.events(job_id=job_id)]


def test_a_completed_job_keeps_result_times_and_resources(store, hand: Hand):
    store.insert([job()], now=1000)
    claim = hand.claim_one(now=1100)
    hand.end(
        claim, Complete(), now=1500, started_at=1200, duration_ms=300, exit_code=0, result='{"n":1}', log_bytes=17,
        usage=Usage(120, 30, 9_000_000), running=begun(claim, 1200),
    )  # fmt: skip

    seen, (attempt,) = store.job(1, now=2000), store.attempts(1)
    assert (seen.status, seen.reason, seen.result, seen.exit_code) == (Status.COMPLETED, "completed", '{"n":1}', 0)
    assert (seen.started_at, seen.finished_at, seen.duration_ms, seen.total_ms, seen.wait_ms) == (
        1200,
        1500,
        300,
        300,
        200,
    )
    assert (attempt.outcome, attempt.decision, attempt.finished_at, attempt.log_bytes) == (
        "completed",
        "complete",
        1500,
        17,
    )
    assert (attempt.cpu_user_ms, attempt.cpu_system_ms, attempt.max_rss_bytes) == (120, 30, 9_000_000)
    assert (attempt.command, attempt.pid, attempt.worker) == ('["true"]', 4711, "w")
    assert store.attempt(attempt.id) == attempt
    assert kinds(store) == ["job.enqueued", "job.started", "job.completed"]


def test_a_retried_job_waits_and_spends_the_attempt(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.run(Retry(9000), now=2000, exit_code=1)

    seen, (attempt,) = store.job(1, now=2000), store.attempts(1)
    assert (seen.status, seen.run_at, seen.attempts, seen.finished_at) == (Status.RETRYING, 9000, 1, None)
    assert seen.error == Problem("exit", "exit 1: boom", "f00")
    assert (attempt.decision, attempt.next_attempt_at) == ("retry", 9000)
    assert store.next_due() == 9000
    assert hand.claim(now=8999) == ()
    assert hand.claim_one(now=9000).attempt == 2


def test_a_failed_job_says_why(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.run(Fail("final_code"), exit_code=65)

    seen = store.job(1, now=3000)
    assert (seen.status, seen.reason, seen.exit_code, seen.error.kind) == (Status.FAILED, "final_code", 65, "exit")
    assert list(store.events(job_id=1))[-1].final is True


def test_a_snooze_gives_the_attempt_back_but_not_its_number(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.run(Snooze(9000))

    seen = store.job(1, now=2000)
    assert (seen.status, seen.attempts, seen.attempt, seen.snoozes, seen.run_at) == (Status.SCHEDULED, 0, 1, 1, 9000)
    assert kinds(store)[-1] == "job.snoozed"
    again = hand.claim_one(now=9000)
    assert (again.attempt, again.attempts, again.snoozes) == (2, 1, 1)


def test_an_interruption_gives_the_attempt_back_and_is_counted(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.run(Release())

    seen = store.job(1, now=2000)
    assert (seen.status, seen.attempts, seen.interruptions) == (Status.PENDING, 0, 1)
    assert kinds(store)[-1] == "job.interrupted"


def test_what_never_began_was_not_interrupted(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.run(Release(), started_at=None, duration_ms=0)

    assert store.job(1, now=2000).interruptions == 0


def test_a_cancelled_job_names_who(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.run(Cancel("ann@host"))

    seen = store.job(1, now=3000)
    assert (seen.status, seen.reason) == (Status.CANCELLED, "cancelled")
    assert seen.error == Problem("cancelled", "cancelled by ann@host", "")


def test_a_lost_worker_is_an_event_of_its_own(store, hand: Hand):
    store.insert([job()], now=1000)
    hand.run(Retry(9000), outcome="worker_lost", error=Problem("worker_lost", "its worker died", "aa"))

    assert kinds(store) == ["job.enqueued", "job.worker_lost", "job.retrying"]
    assert store.attempts(1)[0].outcome == "worker_lost"


# -- what ran between two turns


def ran(claim, now, **values):
    return settlement(claim, Complete(), now, exit_code=0, running=begun(claim, now - 10), **values)


def test_attempts_that_ran_between_two_turns_tell_the_same_story_each(store, hand: Hand):
    store.insert([job(), job("Mailer"), job()], now=1000)
    claims = hand.claim(slots=3)
    store.turn(hand.id, now=2000, settlements=[ran(claim, 1900 + claim.job_id) for claim in claims])

    told = [
        (e.seq, e.at, e.type, e.job_id, e.job, e.from_status, e.to_status, e.final)
        for e in store.events()
        if e.type in ("job.started", "job.completed")
    ]
    assert sorted(one[3:5] for one in told) == [(1, "Import"), (1, "Import"), (2, "Mailer"), (2, "Mailer"), (3, "Import"), (3, "Import")]  # fmt: skip
    assert [one[0] for one in told] == list(range(told[0][0], told[0][0] + 6))
    assert told[-1][0] == store.last_seq()
    for id_ in (1, 2, 3):
        assert [(e.at, e.type, e.attempt, e.exit_code, e.by) for e in store.events(job_id=id_)][1:] == [
            (1890 + id_, "job.started", 1, None, "w"),
            (1900 + id_, "job.completed", 1, 0, "w"),
        ]
    assert list(store.verify()) == []


def test_events_that_share_a_row_are_found_one_by_one(store, hand: Hand):
    store.insert([job(), job()], now=1000)
    store.turn(hand.id, now=2000, settlements=[ran(claim, 1900) for claim in hand.claim(slots=2)])
    last = store.last_seq()

    assert [e.job_id for e in store.events(types=["job.started"])] == [1, 2]
    assert [e.seq for e in store.events(from_seq=last)] == [last]
    assert [e.type for e in store.events(since=1895)] == ["job.completed", "job.completed"]
    assert [e.type for e in store.events(job_id=2, types=["job.completed"])] == ["job.completed"]


def test_of_many_that_ran_each_keeps_its_own_result_and_numbers(store, hand: Hand):
    store.insert([job() for _ in range(5)], now=1000)
    claims = hand.claim(slots=5)
    store.turn(hand.id, now=2000, settlements=[
        ran(claim, 1900 + claim.job_id, result=str(claim.job_id) if claim.job_id % 2 else None, log_bytes=claim.job_id)
        for claim in claims
    ])  # fmt: skip

    assert [store.job(id_, now=0).result for id_ in range(1, 6)] == ["1", None, "3", None, "5"]
    assert [store.job(id_, now=0).finished_at for id_ in range(1, 6)] == [1901, 1902, 1903, 1904, 1905]
    assert [store.attempts(id_)[0].log_bytes for id_ in range(1, 6)] == [1, 2, 3, 4, 5]
    assert [store.attempts(id_)[0].id for id_ in range(1, 6)] == [claim.attempt_id for claim in claims]


def test_a_lost_claim_among_many_that_ran_costs_the_others_nothing(store, hand: Hand, open_store):
    store.insert([job() for _ in range(3)], now=1000)
    claims = hand.claim(slots=3)
    rescuer = Hand(open_store(), "rescuer")
    held = [one for one in rescuer.store.held_by(hand.id) if one.claim.job_id == 2]
    rescuer.store.take_over(held, by=rescuer.id, now=1500)

    turn = store.turn(hand.id, now=2000, settlements=[ran(claim, 1900) for claim in claims])

    assert [lost.claim.job_id for lost in turn.lost] == [2]
    assert statuses(store) == {1: "completed", 2: "running", 3: "completed"}
    assert store.attempts(2) == []
    (counted,) = store.hours("job", since=0, until=10_000)
    assert (counted.completed, counted.attempts) == (2, 2)


def test_many_that_ran_are_written_with_as_many_statements_as_few(store, hand: Hand):
    store.insert([job() for _ in range(330)], now=1000)
    seen = []
    few, many = hand.claim(slots=30), hand.claim(slots=300)
    store._db.connection.set_trace_callback(seen.append)
    store.turn(hand.id, now=2000, settlements=[ran(claim, 1900) for claim in few])
    of_few = sum("INTO attempts" not in one for one in seen)
    seen.clear()
    store.turn(hand.id, now=2000, settlements=[ran(claim, 1900) for claim in many])
    of_many = sum("INTO attempts" not in one for one in seen)

    # One row of an attempt each, and one more row of events.
    assert of_many == of_few + 1


# -- the fence


def test_a_claim_settles_once(store, hand: Hand):
    store.insert([job()], now=1000)
    claim = hand.claim_one()
    first = hand.end(claim, Complete(), now=2000)
    before = store.job(1, now=2000), store.attempts(1), store.last_seq()
    second = hand.end(claim, Fail("attempts_used"), now=3000)

    assert first.lost == ()
    assert [lost.claim for lost in second.lost] == [claim]
    assert (store.job(1, now=2000), store.attempts(1), store.last_seq()) == before


def test_a_claim_settled_twice_in_one_turn_settles_once(store, hand: Hand):
    store.insert([job()], now=1000)
    claim = hand.claim_one()
    turn = store.turn(
        hand.id, now=2000, settlements=[settlement(claim, Complete(), 2000), settlement(claim, Retry(9000), 2000)]
    )

    assert len(turn.lost) == 1
    assert store.job(1, now=2000).status is Status.COMPLETED
    assert list(store.verify()) == []


def test_a_worker_that_lost_its_claim_changes_nothing(store, hand: Hand, open_store):
    store.insert([job(), job()], now=1000)
    lost, kept = hand.claim(slots=2)
    rescuer = Hand(open_store(), "rescuer")
    held = [one for one in rescuer.store.held_by(hand.id) if one.claim.job_id == lost.job_id]
    (taken,) = rescuer.store.take_over(held, by=rescuer.id, now=1500)
    before = store.job(1, now=0), store.attempts(1)

    turn = store.turn(
        hand.id, now=2000, began=[begun(lost, 1600)], progress=[],
        settlements=[settlement(lost, Fail("attempts_used"), 2000), settlement(kept, Complete(), 2000)],
    )  # fmt: skip

    assert taken == lost
    assert [one.claim for one in turn.lost] == [lost]
    assert (store.job(1, now=0), store.attempts(1)) == before
    assert store.job(2, now=0).status is Status.COMPLETED
    assert not rescuer.end(taken, Retry(9000), now=2100, outcome="worker_lost").lost
    assert list(store.verify()) == []


def test_a_claim_is_taken_over_by_one_rescuer(store, hand: Hand, open_store):
    store.insert([job()], now=1000)
    hand.claim_one()
    one, other = Hand(open_store(), "one"), Hand(open_store(), "other")
    held = one.store.held_by(hand.id)

    assert len(one.store.take_over(held, by=one.id, now=2000)) == 1
    assert other.store.take_over(held, by=other.id, now=2000) == []


def test_what_is_held_says_which_process_it_was(store, hand: Hand):
    store.insert([job()], now=1000)
    claim = hand.claim_one(now=1500)
    store.turn(hand.id, now=1600, began=[begun(claim, 1590)])

    (held,) = store.held_by(hand.id)
    assert held.claim == claim
    assert (held.pid, held.process, held.started_at, held.worker_id) == (4711, '["boot", 1, 2]', 1590, hand.id)


@pytest.mark.parametrize("ended", [False, True])
def test_a_beginning_that_the_dead_worker_had_told_is_not_told_again_by_who_adopts(
    store, hand: Hand, open_store, ended
):
    store.insert([job()], now=1000)
    claim = hand.claim_one()
    store.turn(hand.id, now=1500, began=[begun(claim, 1400)], progress=[(claim.attempt_id, "half")])
    adopter = Hand(open_store(), "adopter")
    adopter.store.take_over(adopter.store.held_by(hand.id), by=adopter.id, now=1600)
    # The launcher of the dead worker says to the next one all that it knows.
    if ended:
        settled = settlement(claim, Complete(), 2000, exit_code=0, started_at=1400, running=begun(claim, 1400))
        adopter.store.turn(adopter.id, now=2000, settlements=[settled])
    else:
        adopter.store.turn(adopter.id, now=1700, began=[begun(claim, 1400)])

    assert kinds(store)[:2] == ["job.enqueued", "job.started"]
    assert kinds(store).count("job.started") == 1
    assert store.job(1, now=0).progress == "half"
    assert store.attempts(1)[0].worker == "w"


# -- cancelled while it runs


@pytest.mark.parametrize("decision", [Retry(9000), Snooze(9000), Release()])
def test_a_cancel_request_is_not_forgotten_when_the_job_would_wait_again(store, hand: Hand, decision):
    store.insert([job()], now=1000)
    claim = hand.claim_one()
    store.cancel([1], by="ann", now=1500)
    hand.end(claim, decision)

    seen = store.job(1, now=2000)
    assert (seen.status, seen.reason, seen.error.message) == (Status.CANCELLED, "cancelled", "cancelled by ann")


@pytest.mark.parametrize(("decision", "status"), [(Complete(), "completed"), (Fail("attempts_used"), "failed")])
def test_a_job_that_ended_before_the_cancel_reached_it_ended_as_it_did(store, hand: Hand, decision, status):
    store.insert([job()], now=1000)
    claim = hand.claim_one()
    store.cancel([1], by="ann", now=1500)
    hand.end(claim, decision)

    assert store.job(1, now=2000).status == status


# -- unique while pending


@pytest.mark.parametrize("decision", [Retry(9000), Snooze(9000), Release()])
def test_a_retry_that_meets_a_waiting_duplicate_is_superseded_by_it(store, hand: Hand, decision):
    store.insert([job(key="7", unique_until="pending")], now=1000)
    claim = hand.claim_one()
    store.insert([job(key="7", unique_until="pending")], now=1100)
    hand.end(claim, decision)

    seen = store.job(1, now=2000)
    assert (seen.status, seen.reason, seen.error.kind) == (Status.CANCELLED, "superseded", "superseded")
    assert seen.error.message == "job 2 with the same unique key does the work"
    assert kinds(store)[-1] == "job.superseded"
    assert list(store.events(job_id=1))[-1].details == {"holder": 2}
    assert store.job(2, now=2000).status is Status.PENDING


def test_two_duplicates_that_retry_in_one_turn_become_one(store, hand: Hand):
    store.insert([job(key="7", unique_until="pending")], now=1000)
    first = hand.claim_one()
    store.insert([job(key="7", unique_until="pending")], now=1000)
    second = hand.claim_one()
    store.turn(
        hand.id, now=2000, settlements=[settlement(first, Retry(9000), 2000), settlement(second, Retry(9000), 2000)]
    )

    assert statuses(store, now=2000) == {1: "retrying", 2: "cancelled"}
    assert list(store.verify()) == []


def test_a_retry_takes_its_pending_key_again(store, hand: Hand):
    store.insert([job(key="7", unique_until="pending")], now=1000)
    hand.run(Retry(9000))

    assert store.insert([job(key="7", unique_until="pending")], now=3000)[0].deduplicated


# -- statistics


def test_statistics_count_what_happened_per_job_tag_and_error(store, hand: Hand):
    store.insert([job(tags='["x"]', queue="a"), job(queue="a"), job("Mailer")], now=1000)
    hand.run(Complete(), now=2000, started_at=1500, duration_ms=500, usage=Usage(100, 20, 50))
    hand.run(Retry(2100), now=2000, started_at=1900, duration_ms=100)
    hand.run(Fail("attempts_used"), now=2050)
    hand.run(Complete(), now=2200)

    rows = {(row.key, row.queue): row for row in store.hours("job", since=0, until=10_000)}
    imported, mailed = rows["Import", "a"], rows["Mailer", "default"]
    assert (imported.completed, imported.failed, imported.retried, imported.attempts) == (2, 0, 1, 3)
    assert (mailed.completed, mailed.failed, mailed.attempts) == (0, 1, 1)
    assert (imported.duration_ms_sum, imported.duration_ms_max) == (610, 500)
    assert (imported.wait_ms_sum, imported.wait_ms_max, imported.max_rss_bytes) == (1400, 900, 1024)
    (tagged,) = store.hours("tag", since=0, until=10_000)
    assert (tagged.key, tagged.completed) == ("x", 1)
    (wrong,) = (row for row in store.hours("error", since=0, until=10_000) if row.queue == "a")
    assert (wrong.key, wrong.label, wrong.retried) == ("f00", "exit 1: boom", 1)
    times = store.histogram("job", since=0, until=10_000, key="Import")
    assert sum(one.n for one in times if one.measure == "duration") == 3
    assert {one.key for one in times} == {"Import"}


def test_statistics_lie_in_the_hour_in_which_the_attempt_ended(store, hand: Hand):
    hour = 3_600_000
    store.insert([job(), job()], now=1000)
    hand.run(Complete(), now=hour - 1)
    hand.run(Complete(), now=hour)

    assert [row.hour for row in store.hours("job", since=0, until=3 * hour)] == [0, hour]
    assert [row.hour for row in store.hours("job", since=hour, until=3 * hour)] == [hour]
    assert [row.hour for row in store.hours("job", since=0, until=hour)] == [0]
    assert store.hours("job", since=0, until=3 * hour, key="Mailer") == []
    assert store.hours("job", since=hour - 1, until=hour)[0].hour == 0
    assert {one.hour for one in store.histogram("job", since=0, until=3 * hour, hourly=True)} == {0, hour}
    assert [(one.measure, one.n) for one in store.histogram("job", since=0, until=hour)] == [
        ("duration", 1),
        ("wait", 1),
    ]
    assert store.histogram("job", since=5 * hour, until=6 * hour) == []


def test_what_was_put_off_does_not_count_as_a_duration(store, hand: Hand):
    store.insert([job(), job()], now=1000)
    hand.run(Snooze(9000))
    hand.run(Release())

    assert [one for one in store.histogram("job", since=0, until=10_000) if one.measure == "duration"] == []


def test_jobs_cancelled_before_they_started_are_counted(store, hand: Hand):
    store.insert([job(), job(expires_at=1500)], now=1000)
    store.cancel([1], by="ann", now=1200)
    hand.claim(now=1500)

    (row,) = store.hours("job", since=0, until=10_000)
    assert (row.cancelled, row.attempts) == (2, 0)


def test_a_beginning_that_is_told_once_more_by_adopted_hands_is_one_event(store, hand: Hand):
    store.insert([job(), job()], now=1000)
    one, other = hand.claim(now=1000, slots=2)
    for _ in range(2):
        store.turn(hand.id, now=1500, began=[begun(one, 1400), begun(other, 1400)])
    hand.end(one, Complete(), now=2000, exit_code=0, running=begun(one, 1400))
    hand.end(other, Retry(9000), now=2000, running=begun(other, 1400))

    kinds = [[event.type for event in store.events(job_id=id_)] for id_ in (1, 2)]
    assert kinds == [
        ["job.enqueued", "job.started", "job.completed"],
        ["job.enqueued", "job.started", "job.retrying"],
    ]
