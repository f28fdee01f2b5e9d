"""Lists against the plainest way to make them: read every job and choose in Python. Whatever is asked for, in any order."""

import sqlite3
from contextlib import closing
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiribi_cli.core.job import Status
from kiribi_cli.core.records import replace
from kiribi_cli.core.settle import Complete, Retry
from kiribi_cli.store import find, span
from kiribi_cli.store.base import Edit, Filter
from kiribi_cli.store.sqlite import SqliteStore
from tests.store import past
from tests.store.hand import Hand, begun, job, settlement

NOW = 1_800_000_000_000
COUNT = 300
SLOW_END = NOW - 2 * past.DAY_MS + (2 * past.DAY_MS - 60_000) * 100 // COUNT
ALL = tuple(range(1, COUNT + 1000))
KEYS = {
    "created": lambda one: one.id,
    "started": lambda one: one.started_at,
    "finished": lambda one: one.finished_at,
    "priority": lambda one: one.priority,
    "attempts": lambda one: one.attempts,
    "duration": lambda one: one.duration_ms,
    "job": lambda one: one.job,
}


@pytest.fixture(scope="module", params=["all its events", "events swept"])
def store(request, tmp_path_factory):
    """Three hundred jobs of two days, then some that were reopened, ran long, share a row of events, or wait."""
    path = tmp_path_factory.mktemp("anything") / "kiribi.db"
    SqliteStore.open(path, create=True).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        past.fill(connection, COUNT, NOW, days=2)
        # One took most of a day: it ended when the hundredth was enqueued.
        connection.execute("UPDATE jobs SET finished_at = ? WHERE id = 3", (SLOW_END,))
        connection.execute(
            "UPDATE events SET job_id = 3, type = 'job.completed', to_status = 'completed', final = 1"
            " WHERE job_id = 100 AND type = 'job.enqueued'"
        )
        if request.param == "events swept":
            connection.execute("DELETE FROM events WHERE seq < (SELECT max(seq) - 90 FROM events)")
    store = SqliteStore.open(path, create=False)
    hand = Hand(store, slots=40)
    # Those reopened come first.
    for old in (7, 96, 120, 133, 196, 250, 299):
        store.retry([old], by="ann", now=NOW + 1, force=True)
        store.edit(old, Edit(priority=9), by="ann", now=NOW + 1)
    claims = hand.claim(now=NOW + 2, slots=12, lanes=past.NAMES)
    claims = sorted(claims, key=lambda claim: (claim.job_id > COUNT, -claim.job_id))
    store.turn(hand.id, now=NOW + 3, began=[begun(claim, NOW + 3) for claim in claims[:3]])
    ends = [settlement(claim, Complete(), NOW + 50) for claim in claims[:2]]
    ends += [settlement(claim, Retry(NOW + 90_000_000), NOW + 60) for claim in claims[3:5]]
    ends += [
        settlement(claim, Complete(), NOW + 70, exit_code=0, running=begun(claim, NOW + 60)) for claim in claims[5:9]
    ]
    store.turn(hand.id, now=NOW + 70, settlements=ends)
    store.insert([job("Sync", created_at=NOW + 80, run_at=NOW + 80, priority=n % 3) for n in range(30)], now=NOW + 80)
    store.insert(
        [job("Bill", created_at=NOW + 90, run_at=NOW + 5_000_000 - n, queue="late") for n in range(30)], now=NOW
    )
    store.cancel([COUNT + 1], by="ann", now=NOW + 95)
    yield store
    store.close()


@pytest.fixture(autouse=True, scope="module")
def _narrow():
    """Bounds of everyday size would never be met by so few jobs."""
    patch = pytest.MonkeyPatch()
    for place, name, value in (
        (find, "PAGE", 7), (find, "COUNT_PAGE", 11), (find, "NEAR", 40), (find, "SHORT", 12), (find, "MANY", 20),
        (find, "TOGETHER", 3), (find, "WINDOWS", (1, 30, 600)), (span, "MANY_MORE", 2),
        (span, "SLACK_MS", 60_000),
    ):  # fmt: skip
        patch.setattr(place, name, value)
    yield
    patch.undo()


def matches(one, which):
    at = {"created": one.created_at, "started": one.started_at, "finished": one.finished_at}[which.time]
    return (
        (which.ids is None or one.id in which.ids)
        and (not which.statuses or one.status in which.statuses)
        and (not which.names or any(fnmatchcase(one.job, name) for name in which.names))
        and (not which.queues or one.queue in which.queues)
        and (not which.tags or bool(set(which.tags) & set(one.tags)))
        and (which.since is None or (at is not None and at >= which.since))
        and (which.until is None or (at is not None and at < which.until))
        and (which.before is None or one.id < which.before)
        and not any(matches(one, excluded) for excluded in which.excluded)
    )


def plainly(store, which, now, sort, limit, *, descending):
    found = [one for one in store.jobs(ALL, now=now) if matches(one, which)]
    key = KEYS[sort]
    with_key = sorted(
        (one for one in found if key(one) is not None), key=lambda one: (key(one), one.id), reverse=descending
    )
    without = sorted((one for one in found if key(one) is None), key=lambda one: one.id, reverse=descending)
    return [one.id for one in [*with_key, *without]][:limit]


times = st.one_of(
    st.sampled_from([SLOW_END, NOW, NOW + 40, NOW + 55, NOW + 65]), st.integers(NOW - 2 * past.DAY_MS, NOW + 100)
)
by_time = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"time": st.sampled_from(["created", "started", "finished"]), "since": times}),
    st.fixed_dictionaries(
        {"time": st.sampled_from(["created", "started", "finished"])}, optional={"since": times, "until": times}
    ),
)
by_field = {
    "ids": st.tuples(st.integers(1, COUNT + 150), st.integers(1, COUNT + 150)),
    "statuses": st.one_of(
        st.just((Status.PENDING,)), st.lists(st.sampled_from(Status), min_size=1, max_size=3, unique=True).map(tuple)
    ),
    "names": st.lists(st.sampled_from([*past.NAMES, "*", "[RS]*", "Nobody"]), min_size=1, max_size=2).map(tuple),
    "queues": st.sampled_from([("default",), ("mail", "late"), ("none",)]),
    "tags": st.just(("nightly",)),
    "before": st.integers(1, COUNT + 150),
}
fields = st.lists(st.sampled_from(sorted(by_field)), max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: by_field[name] for name in names})
)
one_filter = st.builds(lambda time, others: Filter(**time, **others), by_time, fields)
filters = st.one_of(
    one_filter, one_filter, st.builds(lambda which, other: replace(which, excluded=(other,)), one_filter, one_filter)
)


@settings(max_examples=400, deadline=None)
@given(
    which=filters,
    now=st.sampled_from([NOW + 100, NOW + 4_999_990, NOW + 100_000_000]),
    sort=st.sampled_from(sorted(KEYS)),
    descending=st.booleans(),
    limit=st.one_of(st.none(), st.integers(1, 30)),
)
def test_a_list_is_what_reading_everything_gives(store, which, now, sort, descending, limit):
    found = [one.id for one in store.find(which, now=now, sort=sort, descending=descending, limit=limit)]

    assert found == plainly(store, which, now, sort, limit, descending=descending)


@settings(max_examples=100, deadline=None)
@given(which=filters, at_most=st.integers(1, 60))
def test_a_count_is_right_or_says_that_there_may_be_more(store, which, at_most):
    whole = len(plainly(store, which, NOW + 100, "created", None, descending=True))
    counted, all_ = store.count_some(which, now=NOW + 100, at_most=at_most)

    assert store.count(which, now=NOW + 100) == whole
    assert counted == whole if all_ else counted <= min(whole, at_most)
