"""What is enqueued stays, in order, once."""

import pytest

from kiribi_cli.core.job import Status
from kiribi_cli.store.base import Filter, Inserted, UniqueTaken
from tests.store.hand import Hand, job, statuses


def test_what_was_inserted_is_there_for_another_connection_with_every_column_as_given(store, open_store):
    (new,) = store.insert(
        [
            job(
                "Import", payload='{"b": 1.00, "a": []}', options='{"timeout_ms":5}', queue="mail", priority=7,
                tags='["x","y"]', max_attempts=9, created_at=5, run_at=6, expires_at=99, parent=3, origin_kind="batch",
                origin_by="ann@host", kind="shell",
            )
        ],
        now=6,
    )  # fmt: skip

    seen = open_store().job(new.id, now=6)
    assert (seen.job, seen.kind, seen.adhoc, seen.status) == ("Import", "shell", False, Status.PENDING)
    assert (seen.payload, seen.options, seen.tags) == ('{"b": 1.00, "a": []}', '{"timeout_ms":5}', ("x", "y"))
    assert (seen.queue, seen.priority, seen.max_attempts, seen.parent) == ("mail", 7, 9, 3)
    assert (seen.created_at, seen.run_at, seen.expires_at) == (5, 6, 99)
    assert (seen.origin_kind, seen.origin_by) == ("batch", "ann@host")


def test_a_batch_gets_ids_in_its_order(store):
    answers = store.insert([job(payload=str(n)) for n in range(50)], now=1000)

    assert [store.job(one.id, now=0).payload for one in answers] == [str(n) for n in range(50)]


def test_an_empty_batch_stores_nothing(store):
    assert store.insert([], now=1000) == []
    assert store.last_seq() == 0


def test_a_job_for_later_is_scheduled(store):
    (one,) = store.insert([job(run_at=5000, created_at=1000)], now=1000)

    assert store.job(one.id, now=1000).status is Status.SCHEDULED


def test_an_id_never_returns_even_after_the_newest_job_was_deleted(store, hand: Hand):
    from kiribi_cli.core.settle import Complete

    store.insert([job()], now=1000)
    first = hand.run(Complete()).job_id
    store.delete([first], by="ann", now=3000)

    (second,) = store.insert([job()], now=4000)
    assert second.id > first


def test_a_duplicate_answers_with_the_job_that_is_there(store):
    (first,) = store.insert([job(key="7")], now=1000)

    assert store.insert([job(key="7"), job(key="8")], now=1001)[0] == Inserted(first.id, deduplicated=True)
    assert len(statuses(store)) == 2


def test_duplicates_within_one_batch_are_one_job(store):
    answers = store.insert([job(key="7"), job(), job(key="7"), job(key="7")], now=1000)

    assert answers[0].id == answers[2].id == answers[3].id
    assert [one.deduplicated for one in answers] == [False, False, True, True]
    assert len(statuses(store)) == 2


def test_unique_with_error_stores_nothing_of_the_batch_and_names_the_holder(store):
    (first,) = store.insert([job(key="7")], now=1000)

    with pytest.raises(UniqueTaken) as raised:
        store.insert([job(), job(key="7", on_conflict="error")], now=1001)
    assert (raised.value.index, raised.value.holder, raised.value.key) == (1, first.id, "7")
    assert len(statuses(store)) == 1


def test_the_same_key_of_another_definition_is_another_key(store):
    answers = store.insert([job("Import", key="7"), job("Mailer", key="7")], now=1000)

    assert not any(one.deduplicated for one in answers)


def test_a_unique_period_holds_beyond_the_end_of_the_job_and_then_no_longer(store, hand: Hand):
    from kiribi_cli.core.settle import Complete

    (first,) = store.insert([job(key="7", unique_until=60_000)], now=1000)
    hand.run(Complete(), now=2000)

    assert store.insert([job(key="7", unique_until=60_000)], now=60_999)[0] == Inserted(first.id, deduplicated=True)
    assert not store.insert([job(key="7", unique_until=60_000)], now=61_000)[0].deduplicated
    assert list(store.verify()) == []


def test_a_key_held_while_pending_is_free_when_the_job_starts(store, hand: Hand):
    store.insert([job(key="7", unique_until="pending")], now=1000)
    assert store.insert([job(key="7", unique_until="pending")], now=1000)[0].deduplicated
    hand.claim_one()

    assert not store.insert([job(key="7", unique_until="pending")], now=1000)[0].deduplicated


def test_a_key_held_while_unfinished_is_held_through_running_and_retries_and_free_at_the_end(store, hand: Hand):
    from kiribi_cli.core.settle import Fail, Retry

    store.insert([job(key="7")], now=1000)
    claim = hand.claim_one()
    while_running = store.insert([job(key="7")], now=1000)[0].deduplicated
    hand.end(claim, Retry(5000))
    while_retrying = store.insert([job(key="7")], now=3000)[0].deduplicated
    hand.run(Fail("attempts_used"), now=6000)

    assert while_running
    assert while_retrying
    assert not store.insert([job(key="7")], now=7000)[0].deduplicated


def test_enqueueing_records_one_event_for_each_job(store):
    store.insert([job("Import", origin_by="ann")], now=1000)
    store.insert([job("Import"), job("Import"), job("Mailer"), job("Import", run_at=9000)], now=1001)
    store.insert([job("Import")], now=1002)

    events = list(store.events())
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.job_id for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.job for event in events] == ["Import", "Import", "Import", "Mailer", "Import", "Import"]
    assert [event.to_status for event in events] == ["pending"] * 4 + ["scheduled", "pending"]
    assert {event.type for event in events} == {"job.enqueued"}
    assert events[0].by == "ann"


def test_reading_events_from_the_middle_of_a_batch_begins_there(store):
    store.insert([job() for _ in range(10)], now=1000)

    assert [event.seq for event in store.events(from_seq=4)] == [4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("position", [1, 5, 10, 11])
def test_the_story_of_a_job_begins_with_its_own_enqueueing(store, position):
    store.insert([job() for _ in range(10)], now=1000)
    store.insert([job()], now=2000)

    (event,) = store.events(job_id=position)
    assert (event.seq, event.job_id, event.type) == (position, position, "job.enqueued")


def test_a_refused_row_writes_nothing_of_its_batch(store):
    with pytest.raises(Exception, match="CHECK constraint"):
        store.insert([job(), job(priority=5000)], now=1000)

    assert list(store.find(Filter(), now=1000)) == []
