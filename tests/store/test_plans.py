"""How SQLite goes about it: nothing on a hot path reads a whole table, and no claim looks at the backlog behind it."""

import pytest

from kiribi_cli.core.settle import Complete
from kiribi_cli.store import claim, statements
from kiribi_cli.store.base import Want
from kiribi_cli.store.sqlite import SqliteStore
from tests.store.hand import Hand, job

FILES = ("insert", "turn", "workers", "look", "now", "find", "change", "sweep")
# Read every row of a table on purpose, and say why it may.
SMALL = {
    "turn.take_attempt_ids": "sqlite_sequence has three rows",
    "insert.last_seq": "sqlite_sequence has three rows",
}
FRAGMENTS = {"find.matches", "find.key"}
NAMES = [
    f"{file}.{name}" for file in FILES for name in statements.in_file(file) if f"{file}.{name}" not in {*SMALL, *FRAGMENTS}
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = SqliteStore.open(tmp_path_factory.mktemp("plans") / "kiribi.db", create=True)
    yield store
    store.close()


def plan(store, name):
    sql = statements.statement(name)
    values = _parameters(sql)
    return [row[3] for row in store._db.connection.execute("EXPLAIN QUERY PLAN " + sql, values).fetchall()]


def _parameters(sql):
    import re

    return dict.fromkeys(re.findall(r":([a-z_]+)", sql), 1)


@pytest.mark.parametrize("name", NAMES)
def test_no_statement_of_the_daily_work_scans_a_table(store, name):
    scans = [
        line for line in plan(store, name)
        if line.startswith("SCAN") and not line.startswith(("SCAN CONSTANT ROW", "SCAN (subquery", "SCAN json_each"))
        and " VIRTUAL TABLE" not in line
        # Through a partial index: what is not finished, which is as long as the backlog.
        and not any(index in line for index in ("jobs_ready", "jobs_due", "jobs_running", "jobs_blocked", "jobs_expiring", "workers_alive"))
        and line.removeprefix("SCAN ") not in ("heads", "names", "lines", "each", "want", "tag", "error", "word", "one")
    ]  # fmt: skip
    # Along an index or the ids, to the first row that fits.
    allowed = {"look.names", "look.latest", "now.queues", "look.last_job", "look.last_seq", "workers.stopped_since",
               "workers.forget_stopped"}  # fmt: skip

    assert scans == [] or name in allowed, scans


@pytest.mark.parametrize(
    "name", ["turn.heads", "turn.in_lane", "turn.due", "turn.next_due", "turn.too_late", "turn.held"]
)
def test_nothing_is_sorted_to_claim(store, name):
    assert not any("TEMP B-TREE" in line for line in plan(store, name))


@pytest.mark.parametrize("name", ["find.pending", "find.later", "find.due", "find.running", "find.blocked", "find.waiting",
                                  "now.pending_all", "now.pending_named", "now.timed_all", "now.timed_named",
                                  "now.oldest_pending", "turn.busy"])  # fmt: skip
def test_what_is_not_finished_is_read_by_its_own_index(store, name):
    used = [line for line in plan(store, name) if " jobs" in line]

    assert used
    assert all(
        any(index in line for index in ("jobs_ready", "jobs_due", "jobs_running", "jobs_blocked")) for line in used
    )


def test_what_waits_for_a_time_is_counted_without_looking_at_the_jobs(store):
    assert any("COVERING INDEX jobs_due" in line for line in plan(store, "now.timed_all"))


def steps(store, act):
    """How many instructions SQLite executes, in hundreds: what it costs, on any machine."""
    count = 0

    def tick():
        nonlocal count
        count += 1
        return 0

    store._db.connection.set_progress_handler(tick, 100)
    try:
        act()
    finally:
        store._db.connection.set_progress_handler(None, 0)
    return count


def grown(store, jobs, now=1000):
    """Add to the backlog of three definitions."""
    for name in ("Import", "Mailer", "x"):
        store.insert([job(name, priority=n % 7, created_at=now, run_at=now) for n in range(jobs // 3)], now=now)


def test_a_claim_costs_the_same_behind_a_long_backlog(tmp_path):
    store = SqliteStore.open(tmp_path / "kiribi.db", create=True)
    hand = Hand(store, slots=4)
    costs = []
    for more in (30, 6000):
        grown(store, more)
        costs.append(steps(store, lambda: hand.claim(slots=4, lane_concurrency={"Mailer": 0})))
    store.close()

    assert costs[1] <= costs[0] * 1.3 + 3


def test_a_claim_reads_as_many_lanes_as_it_has_slots(tmp_path):
    store = SqliteStore.open(tmp_path / "kiribi.db", create=True)
    names = [f"J{n}" for n in range(60)]
    store.insert([job(name, priority=n % 5, run_at=1000) for n, name in enumerate(names)], now=1000)
    read = []
    store._db.connection.set_trace_callback(read.append)
    hand = Hand(store, slots=4)
    claims = hand.claim(slots=4, lanes=names)
    store._db.connection.set_trace_callback(None)
    store.close()

    assert [claim.priority for claim in claims] == [4, 4, 4, 4]
    assert sum("LIMIT 4" in sql and "lane = 'J" in sql for sql in read) == 4


def test_claim_settle_list_and_statistics_cost_the_same_after_a_long_history(tmp_path):
    store = SqliteStore.open(tmp_path / "kiribi.db", create=True)
    hand = Hand(store, slots=1)
    costs = []
    for more in (20, 4000):
        grown(store, more)
        while claims := hand.claim(now=2000, slots=500, lanes=("Import", "Mailer", "x")):
            from tests.store.hand import settlement

            store.turn(hand.id, now=2000, settlements=[settlement(one, Complete(), 2000) for one in claims])
        store.insert([job()], now=2000)
        costs.append(steps(store, lambda: _a_day(store, hand)))
    store.close()

    assert costs[1] <= costs[0] * 1.3 + 3


def _a_day(store, hand):
    from kiribi_cli.core.job import Status
    from kiribi_cli.store.base import Filter

    list(store.find(Filter(), now=3000, limit=10))
    list(store.find(Filter(statuses=(Status.FAILED,)), now=3000, limit=10))
    list(store.find(Filter(names=("Import",)), now=3000, limit=10))
    list(store.find(Filter(statuses=(Status.COMPLETED,), since=1000), now=3000, limit=10))
    store.latest("Mailer")
    store.names()
    store.now(now=3000)
    store.hours("job", since=0, until=10_000)
    store.next_due()
    list(store.events(job_id=5))
    store.job(3, now=3000)
    store.attempts(3)
    hand.run(Complete(), now=3000)
    store.insert([job(key="7")], now=3000)
    store.cancel([store.latest(None)], by="ann", now=3000)


def test_looking_for_work_counts_what_runs_only_where_there_are_limits(tmp_path):
    store = SqliteStore.open(tmp_path / "kiribi.db", create=True)
    store.insert([job()], now=1000)

    room = claim.room(store._db, Want(1, frozenset({"Import"})))
    assert room.heads == [((0, 1000, 1), "default", "Import")]
    store.close()
