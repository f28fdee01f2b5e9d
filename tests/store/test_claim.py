"""Who gets which job, in which order, and what stands in nobody's way."""

from kiribi_cli.core.job import Status
from kiribi_cli.core.settle import Complete, Retry
from tests.store.hand import Hand, begun, job, statuses


def ids(claims):
    return [claim.job_id for claim in claims]


def test_higher_priority_first_then_older_first(store, hand: Hand):
    store.insert([job(), job(priority=5), job(priority=-5), job(priority=5), job()], now=1000)

    assert ids(hand.claim(slots=10)) == [2, 4, 1, 5, 3]


def test_the_order_holds_over_queues_and_definitions(store, hand: Hand):
    store.insert(
        [job("Import"), job("Mailer", queue="mail", priority=9), job("Mailer"), job("Import", priority=5)], now=1000
    )

    assert ids(hand.claim(slots=3)) == [2, 4, 1]
    assert ids(hand.claim(slots=3)) == [3]


def test_among_equals_the_one_due_earlier_comes_first_whatever_its_definition(store, hand: Hand):
    new = [
        job("Mailer", run_at=4000),
        job("Import", run_at=3000),
        job("Mailer", run_at=2000),
        job("Import", run_at=3500),
    ]
    store.insert(new, now=1000)

    assert ids(hand.claim(now=5000, slots=4)) == [3, 2, 4, 1]


def test_a_job_is_claimed_once(store, open_store):
    store.insert([job() for _ in range(5)], now=1000)
    one, other = Hand(store, "one"), Hand(open_store(), "other")

    assert ids(one.claim(slots=3)) == [1, 2, 3]
    assert ids(other.claim(slots=3)) == [4, 5]
    assert ids(one.claim(slots=3)) == []


def test_a_claim_says_what_is_needed_to_run_it(store, hand: Hand):
    store.insert([job(payload='{"a":1}', options="{}", tags='["t"]', priority=3, max_attempts=2)], now=1000)

    claim = hand.claim_one()
    assert (claim.job, claim.payload, claim.options, claim.tags, claim.priority) == (
        "Import",
        '{"a":1}',
        "{}",
        ("t",),
        3,
    )
    assert (claim.attempt, claim.attempts, claim.max_attempts, claim.first) == (1, 1, 2, True)


def test_a_full_definition_does_not_block_the_others_behind_it(store, hand: Hand):
    store.insert([job("Import", priority=9) for _ in range(20)] + [job("Mailer")], now=1000)

    claims = hand.claim(slots=4, lane_concurrency={"Import": 2})
    assert sorted(claim.job for claim in claims) == ["Import", "Import", "Mailer"]


def test_limits_hold_over_all_workers(store, open_store):
    store.insert([job() for _ in range(9)] + [job("Mailer", queue="mail") for _ in range(9)], now=1000)
    one, other = Hand(store, "one"), Hand(open_store(), "other")
    limits = {"lane_concurrency": {"Import": 3}, "queue_concurrency": {"mail": 2}}

    assert ids(one.claim(slots=2, **limits)) == [1, 2]
    assert ids(other.claim(slots=9, **limits)) == [3, 10, 11]
    assert ids(one.claim(slots=9, **limits)) == []


def test_a_definition_limit_counts_over_its_queues(store, hand: Hand):
    store.insert([job("Import", queue=queue) for queue in ("a", "b", "c")], now=1000)

    assert len(hand.claim(slots=9, lane_concurrency={"Import": 2})) == 2


def test_a_place_is_free_again_when_a_job_has_ended(store, hand: Hand):
    store.insert([job(), job()], now=1000)
    claim = hand.claim_one()
    none = hand.claim(lane_concurrency={"Import": 1})
    hand.end(claim, Complete())

    assert none == ()
    assert ids(hand.claim(now=3000, lane_concurrency={"Import": 1})) == [2]


def test_only_the_queues_and_definitions_a_worker_serves(store, hand: Hand):
    store.insert(
        [job("Import", queue="a"), job("Import", queue="b"), job("Other", queue="a"), job("x", adhoc=1)], now=1000
    )

    claims = hand.claim(lanes=("Import", ""), queues={"a": None, "default": 0})
    assert ids(claims) == [1]


def test_slots_of_a_queue_bound_what_is_taken_from_it(store, hand: Hand):
    store.insert([job(queue="a") for _ in range(5)] + [job(queue="b") for _ in range(5)], now=1000)

    assert ids(hand.claim(slots=9, queues={"a": 2, "b": None})) == [1, 2, 6, 7, 8, 9, 10]


def test_ad_hoc_jobs_share_a_lane_and_not_the_limit_of_a_definition_of_that_name(store, hand: Hand):
    store.insert([job("Import", adhoc=1), job("true", adhoc=1)], now=1000)

    assert ids(hand.claim(lane_concurrency={"Import": 0}, lanes=("",))) == [1, 2]


def test_a_job_for_later_is_claimed_when_it_is_due_and_not_before(store, hand: Hand):
    store.insert([job(run_at=5000, created_at=1000)], now=1000)

    assert hand.claim(now=4999) == ()
    assert ids(hand.claim(now=5000)) == [1]


def test_due_counts_as_pending_before_any_worker_has_looked(store):
    store.insert([job(run_at=5000, created_at=1000)], now=1000)

    assert store.job(1, now=4999).status is Status.SCHEDULED
    assert store.job(1, now=5000).status is Status.PENDING
    assert store.now(now=4999).scheduled == 1
    assert store.now(now=5000).pending == 1
    assert store.now(now=5000).oldest_pending_at == 5000


def test_next_due_is_the_earliest_of_what_waits_and_what_expires(store):
    assert store.next_due() is None

    store.insert([job(run_at=5000, created_at=1000), job(run_at=4000, created_at=1000), job(expires_at=4500)], now=1000)
    assert store.next_due() == 4000

    store.insert([job(expires_at=3000)], now=1000)
    assert store.next_due() == 3000


def test_a_job_that_was_not_started_in_time_is_cancelled_and_says_so(store, hand: Hand):
    store.insert([job(expires_at=61_000), job()], now=1000)

    turn = store.turn(hand.id, now=61_000, want=hand.want(1))

    seen = store.job(1, now=61_000)
    assert turn.expired == (1,)
    assert ids(turn.claims) == [2]
    assert (seen.status, seen.reason, seen.finished_at) == (Status.CANCELLED, "expired", 61_000)
    assert (seen.error.kind, seen.error.message) == ("expired", "not started within 1m")
    assert [event.type for event in store.events(job_id=1)] == ["job.enqueued", "job.expired"]


def test_what_has_started_does_not_expire(store, hand: Hand):
    store.insert([job(expires_at=5000)], now=1000)
    claim = hand.claim_one(now=4000)
    store.turn(hand.id, now=4001, began=[begun(claim, 4001)])
    hand.end(claim, Retry(6000), now=5500)

    assert store.turn(hand.id, now=6000).expired == ()
    assert store.next_due() is None or store.job(1, now=6000).status is Status.PENDING


def test_a_claim_that_has_not_begun_does_not_expire_under_its_worker(store, hand: Hand):
    store.insert([job(expires_at=5000)], now=1000)
    claim = hand.claim_one(now=4000)

    assert store.turn(hand.id, now=6000).expired == ()
    assert not hand.end(claim, Complete(), now=6001).lost


def test_a_turn_with_nothing_to_do_writes_nothing(store, hand: Hand, open_store):
    store.insert([job("Unknown"), job(run_at=9000)], now=1000)
    other = open_store()
    other.changed()

    hand.claim(now=1000)
    hand.claim(now=1001, lane_concurrency={"Import": 0})

    assert not other.changed()


def test_changed_notices_what_another_connection_committed_and_not_ones_own(store, open_store):
    other = open_store()
    other.changed()
    store.changed()
    store.insert([job()], now=1000)

    assert other.changed()
    assert not other.changed()
    assert not store.changed()


def test_a_chosen_job_is_claimed_whatever_the_limits(store, hand: Hand):
    store.insert([job(), job("Unknown", run_at=99_000, created_at=1000)], now=1000)

    claim = store.claim_job(hand.id, 2, now=2000)

    assert (claim.job_id, claim.attempt) == (2, 1)
    assert store.claim_job(hand.id, 2, now=2000) is None
    assert store.claim_job(hand.id, 77, now=2000) is None


def test_a_chosen_job_that_was_due_already_has_waited_since_then(store, hand: Hand):
    store.insert([job(run_at=1500, created_at=1000)], now=1000)

    claim = store.claim_job(hand.id, 1, now=2000)

    assert (claim.run_at, store.job(1, now=2000).run_at) == (1500, 1500)


def test_a_chosen_job_of_a_later_time_is_due_now(store, hand: Hand):
    store.insert([job(run_at=99_000, created_at=1000)], now=1000)

    assert store.claim_job(hand.id, 1, now=2000).run_at == 2000


def test_what_is_begun_is_told_with_its_process_and_moves_the_start_times(store, hand: Hand):
    store.insert([job()], now=1000)
    claim = hand.claim_one(now=1500)
    before = store.job(1, now=1500)
    store.turn(hand.id, now=1600, began=[begun(claim, 1590)])

    seen, (attempt,) = store.job(1, now=1600), store.attempts(1)
    assert (before.status, before.started_at) == (Status.RUNNING, None)
    assert (seen.started_at, seen.first_started_at, seen.wait_ms) == (1590, 1590, 590)
    assert (attempt.started_at, attempt.pid, attempt.command, attempt.outcome) == (1590, 4711, '["true"]', "running")
    assert [event.type for event in store.events(job_id=1)] == ["job.enqueued", "job.started"]


def test_progress_is_kept_while_the_claim_holds(store, hand: Hand):
    store.insert([job()], now=1000)
    claim = hand.claim_one()
    store.turn(hand.id, now=1600, progress=[(claim.attempt_id, '{"fraction": 0.5}')])
    half = store.job(1, now=0).progress
    hand.end(claim, Complete())
    store.turn(hand.id, now=1700, progress=[(claim.attempt_id, '{"fraction": 0.7}')])

    assert half == '{"fraction": 0.5}'
    assert store.job(1, now=0).progress == half


def test_a_claim_given_back_untouched_leaves_no_trace(store, hand: Hand):
    store.insert([job(key="7", unique_until="pending")], now=1000)
    before, seq = store.job(1, now=1000), store.last_seq()
    claim = hand.claim_one()
    store.turn(hand.id, now=1500, returned=[claim])

    after = store.job(1, now=1000)
    assert (after.status, after.attempts, after.attempt, after.interruptions) == (Status.PENDING, 0, 0, 0)
    assert (after.started_at, after.run_at) == (before.started_at, before.run_at)
    assert store.attempts(1) == []
    assert store.last_seq() == seq
    assert store.insert([job(key="7", unique_until="pending")], now=1000)[0].deduplicated
    assert list(store.verify()) == []


def test_a_claim_given_back_is_not_given_back_twice(store, hand: Hand):
    store.insert([job()], now=1000)
    claim = hand.claim_one()
    store.turn(hand.id, now=1500, returned=[claim])
    again = hand.claim_one()
    store.turn(hand.id, now=1500, returned=[claim])

    assert again.attempt_id > claim.attempt_id
    assert store.job(1, now=0).status is Status.RUNNING


def test_a_claim_given_back_whose_key_is_taken_meanwhile_is_superseded(store, hand: Hand):
    store.insert([job(key="7", unique_until="pending")], now=1000)
    claim = hand.claim_one()
    store.insert([job(key="7", unique_until="pending")], now=1100)
    store.turn(hand.id, now=1500, returned=[claim])

    assert statuses(store) == {1: "cancelled", 2: "pending"}
    assert store.job(1, now=0).error.message == "job 2 with the same unique key does the work"
    assert list(store.verify()) == []
