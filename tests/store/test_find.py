"""Lists: every filter by itself, together, negated; in any order, in pages."""

import pytest

from kiribi_cli.core.job import FINISHED, UNFINISHED, Problem, Status
from kiribi_cli.core.settle import Complete, Fail, Retry
from kiribi_cli.errors import KiribiError
from kiribi_cli.store.base import Filter
from tests.store.hand import Hand, begun, job

NOW = 100_000


def found(store, which=None, **options):
    return [one.id for one in store.find(which or Filter(), now=NOW, **options)]


@pytest.fixture
def history(store, hand: Hand):
    """1 completed, 2 failed, 3 retrying, 4 running, 5 pending, 6 scheduled, 7 due, 8 cancelled."""
    store.insert(
        [
            job("Import", payload='{"user": 42, "deep": {"list": ["a", "b"]}}', tags='["x","y"]', created_at=1000),
            job("Mailer", payload='{"user": "42"}', tags='["y"]', queue="mail", created_at=2000, run_at=2000, origin_kind="batch"),
            job("Import", payload='{"user": true}', created_at=3000, run_at=3000, priority=2),
            job("Import", created_at=4000, run_at=4000, priority=1),
            job("Import2", created_at=5000, run_at=5000),
            job("Import", created_at=6000, run_at=900_000),
            job("Import", created_at=7000, run_at=50_000),
            job("Mailer", payload="[1]", created_at=8000, run_at=8000, queue="other"),
        ],
        now=8000,
    )  # fmt: skip
    claims = {claim.job_id: claim for claim in hand.claim(now=8000, slots=5, queues={"default": None, "mail": None})}
    store.turn(hand.id, now=8100, began=[begun(claims[4], 8050)])
    hand.end(claims[1], Complete(), now=9000, started_at=8500, duration_ms=500)
    error = Problem("exit", "exit 1: Connection refused", "abc123")
    hand.end(claims[2], Fail("final_code"), now=9500, started_at=8600, duration_ms=900, error=error)
    hand.end(
        claims[3], Retry(800_000), now=9600, started_at=8700, duration_ms=100, error=Problem("signal", "SIGSEGV", "d")
    )
    store.cancel([8], by="ann", now=9700)
    return store


def test_everything_newest_first(history):
    assert found(history) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert found(history, descending=False) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert found(history, limit=3) == [8, 7, 6]


@pytest.mark.parametrize(
    ("statuses", "ids"),
    [
        ((Status.COMPLETED,), [1]),
        ((Status.FAILED,), [2]),
        ((Status.FAILED, Status.CANCELLED), [8, 2]),
        ((Status.PENDING,), [7, 5]),
        ((Status.SCHEDULED,), [6]),
        ((Status.RETRYING,), [3]),
        ((Status.RUNNING,), [4]),
        ((Status.BLOCKED,), []),
        ((Status.RUNNING, Status.COMPLETED), [4, 1]),
        (UNFINISHED, [7, 6, 5, 4, 3]),
        (FINISHED, [8, 2, 1]),
    ],
)
def test_by_status_where_due_counts_as_pending(history, statuses, ids):
    assert found(history, Filter(statuses=statuses)) == ids
    assert found(history, Filter(statuses=statuses), descending=False) == ids[::-1]
    assert history.count(Filter(statuses=statuses), now=NOW) == len(ids)


@pytest.mark.parametrize(
    ("which", "ids"),
    [
        (Filter(ids=(3, 1, 77)), [3, 1]),
        (Filter(ids=()), []),
        (Filter(names=("Mailer",)), [8, 2]),
        (Filter(names=("Import*",)), [7, 6, 5, 4, 3, 1]),
        (Filter(names=("Import2", "Mail??")), [8, 5, 2]),
        (Filter(names=("Nothing*",)), []),
        (Filter(queues=("mail", "other")), [8, 2]),
        (Filter(tags=("y",)), [2, 1]),
        (Filter(tags=("x", "z")), [1]),
        (Filter(workers=("w",)), [4, 3, 2, 1]),
        (Filter(origins=("batch",)), [2]),
        (Filter(errors=("exit",)), [2]),
        (Filter(errors=("abc123",)), [2]),
        (Filter(errors=("connection REFUSED", "sigsegv")), [3, 2]),
        (Filter(since=3000, until=6000), [5, 4, 3]),
        (Filter(time="started", since=8600), [3, 2]),
        (Filter(time="finished", since=9000, until=9700), [2, 1]),
        (Filter(where=(("user", "42"),)), [2, 1]),
        (Filter(where=(("user", '"42"'),)), [2]),
        (Filter(where=(("user", "true"),)), [3]),
        (Filter(where=(("user", "1"),)), []),
        (Filter(where=(("deep.list.1", "b"),)), [1]),
        (Filter(where=(("deep.list.1", "b"), ("user", "42"))), [1]),
        (Filter(where=(("user", "true"), ("user", "42"))), [3, 2, 1]),
        (Filter(grep=("import",)), [7, 6, 5, 4, 3, 1]),
        (Filter(grep=("refused",)), [2]),
        (Filter(grep=("mail", "refused")), [2]),
        (Filter(grep=("%",)), []),
        (Filter(before=3), [2, 1]),
        (Filter(names=("Import",), before=6), [4, 3, 1]),
        (Filter(statuses=(Status.FAILED, Status.COMPLETED), names=("Mailer",)), [2]),
        (Filter(excluded=(Filter(names=("Import*",)),)), [8, 2]),
        (Filter(excluded=(Filter(statuses=FINISHED), Filter(queues=("mail",)))), [7, 6, 5, 4, 3]),
        (Filter(excluded=(Filter(excluded=(Filter(tags=("y",)),)),)), [2, 1]),
        (Filter(names=("Import",), excluded=(Filter(where=(("user", "42"),)),)), [7, 6, 4, 3]),
        (Filter(grep=("\udcff",)), []),
        (Filter(queues=("it's",)), []),
    ],
)
def test_each_filter(history, which, ids):
    assert found(history, which) == ids
    assert found(history, which, descending=False) == ids[::-1]
    assert history.count(which, now=NOW) == len(ids)


@pytest.mark.parametrize(
    ("sort", "ids"),
    [
        ("created", [8, 7, 6, 5, 4, 3, 2, 1]),
        ("started", [3, 2, 1, 4]),
        ("finished", [8, 2, 1]),
        ("priority", [3, 4, 8, 7, 6, 5, 2, 1]),
        ("duration", [2, 1, 3]),
        ("job", [8, 2, 5, 7, 6, 4, 3, 1]),
    ],
)
def test_each_order_with_what_has_no_value_last(history, sort, ids):
    missing = sorted(set(range(1, 9)) - set(ids))

    assert found(history, sort=sort) == ids + missing[::-1]
    assert found(history, sort=sort, limit=2) == ids[:2]
    assert found(history, sort=sort, descending=False)[: len(ids)] == (ids[::-1])


def test_a_path_with_a_quotation_mark_is_refused(history):
    with pytest.raises(KiribiError, match="quotation mark"):
        found(history, Filter(where=(('a"b', "1"),)))


def test_pages_neither_lose_nor_repeat(store):
    store.insert([job("Import" if n % 3 else "Mailer") for n in range(1700)], now=1000)
    store.cancel(range(1, 1700, 2), by="ann", now=2000)

    assert found(store) == list(range(1700, 0, -1))
    assert found(store, descending=False) == list(range(1, 1701))
    assert found(store, Filter(names=("*",))) == list(range(1700, 0, -1))
    assert found(store, Filter(statuses=(Status.CANCELLED,))) == list(range(1699, 0, -2))
    assert found(store, Filter(statuses=(Status.PENDING,)), limit=1000, descending=False)[-1] == 1700
    assert store.count(Filter(), now=NOW, at_most=600) == 600
    assert store.count(Filter(names=("Mailer",)), now=NOW) == 567


def test_a_list_that_is_read_slowly_stops_nobody_from_writing(store, open_store):
    store.insert([job() for _ in range(1100)], now=1000)
    stream = store.find(Filter(), now=NOW)
    first = next(stream)
    other = open_store()
    other.insert([job()], now=2000)
    other.cancel([5], by="ann", now=2000)

    assert [first.id, *(one.id for one in stream)] == list(range(1100, 0, -1))


def test_since_finds_jobs_although_the_clock_was_turned_back_meanwhile(store):
    hour = 3_600_000
    for created in (100 * hour, 101 * hour, 99 * hour, 102 * hour):
        store.insert([job(created_at=created, run_at=created)], now=created)

    assert found(store, Filter(since=100 * hour)) == [4, 2, 1]


def test_latest_counts_from_the_newest(store):
    store.insert([job("Import"), job("Mailer"), job("Import")], now=1000)

    assert store.latest(None) == 3
    assert store.latest(None, 2) == 2
    assert store.latest("Import", 2) == 1
    assert store.latest("Import", 3) is None
    assert store.latest("Nothing") is None


def test_names_and_queues_are_told_once_each(history):
    assert history.names() == ["Import", "Import2", "Mailer"]
    history.insert([job(queue=queue) for queue in ("a", "b", "a")], now=9999)

    # The mail job ended in 1970: a queue is forgotten a month after it was last used.
    assert history.queues() == ["a", "b", "default"]


def test_what_stands_now(history):
    now = history.now(now=NOW)

    assert (now.pending, now.running, now.scheduled, now.retrying, now.blocked) == (2, 1, 1, 1, 0)
    assert now.oldest_pending_at == 5000
    assert history.now(now=NOW, names=["Import2"]).pending == 1
    assert history.now(now=NOW, names=["Import2"]).running == 0
    assert [one.id for one in history.running()] == [4]


def test_jobs_come_in_the_order_asked_for(history):
    assert [one.id for one in history.jobs([5, 99, 1, 3], now=NOW)] == [5, 1, 3]


def test_how_many_are_ahead(store):
    store.insert([job(), job("Mailer"), job(priority=5), job(), job(queue="other"), job()], now=1000)
    ahead = {one.id: store.ahead_of(one, now=1000) for one in store.find(Filter(), now=1000)}

    assert ahead == {3: 0, 1: 1, 2: 2, 4: 3, 6: 4, 5: 0}
    assert store.ahead_of(store.job(6, now=1000), now=1000, at_most=2) == 2


def test_events_can_be_followed_and_chosen(history):
    everything = list(history.events())
    seqs = [event.seq for event in everything]

    assert seqs == sorted(set(seqs))
    assert seqs[-1] == history.last_seq()
    assert list(history.events(from_seq=history.last_seq() + 1)) == []
    assert [e.job_id for e in history.events(types=["job.failed", "job.completed"])] == [1, 2]
    assert [e.type for e in history.events(since=9600)] == ["job.retrying", "job.cancelled"]
    assert [e.type for e in history.events(job_id=2, types=["job.failed"])] == ["job.failed"]


def test_an_event_without_a_job_is_recorded_with_its_details(store):
    store.record("sweep.done", now=5000, by="ann", reason="by hand", details={"jobs": 3})

    (event,) = store.events()
    assert (event.type, event.by, event.reason, event.details, event.job_id) == (
        "sweep.done", "ann", "by hand", {"jobs": 3}, None,
    )  # fmt: skip
