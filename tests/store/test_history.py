"""Looking costs what is looked at, not what there is: each list, count and page on a hundred times the history.

Counted in steps of SQLite's machine, with the same jobs asked for: the last fifty, those of the last minutes, one by id.
"""

import sqlite3
from contextlib import closing

import pytest

from kiribi_cli.core.job import FINISHED, UNFINISHED, Status
from kiribi_cli.store.base import Filter
from kiribi_cli.store.sqlite import SqliteStore
from tests.store import past

NOW = 1_800_000_000_000
HOUR = 3_600_000
SHORT, LONG = 300, 30_000
FEW = 20


class History:
    """A store with a past, and what of it is asked for: `recent` is when the last jobs but a few were created."""

    def __init__(self, folder, count):
        path = folder / f"{count}.db"
        SqliteStore.open(path, create=True).close()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            past.fill(connection, count, NOW)
        self.store = SqliteStore.open(path, create=False)
        self.recent = self.store.job(count - FEW, now=NOW).created_at
        self.early = self.store.job(FEW, now=NOW).created_at
        self.middle = count // 2

    def steps(self, look):
        """How many instructions SQLite executes for it, in tens."""
        count = 0

        def tick():
            nonlocal count
            count += 1
            return 0

        connection = self.store._db.connection
        connection.set_progress_handler(tick, 10)
        try:
            look(self)
        finally:
            connection.set_progress_handler(None, 0)
        return count


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    histories = History(folder, SHORT), History(folder, LONG)
    yield histories
    for history in histories:
        history.store.close()


def listed(sort="created", *, descending=True, limit=FEW, **which):
    def look(history):
        given = {key: value(history) if callable(value) else value for key, value in which.items()}
        return [
            one.id
            for one in history.store.find(Filter(**given), now=NOW, sort=sort, descending=descending, limit=limit)
        ]

    return look


def recent(history):
    return history.recent


def early(history):
    return history.early


LOOKS = {
    "the newest": listed(),
    "the oldest": listed(descending=False),
    "a page further back": listed(before=200),
    "failed": listed(statuses=(Status.FAILED,)),
    "a status that none has": listed(statuses=(Status.SKIPPED,)),
    "finished": listed(statuses=FINISHED),
    "pending": listed(statuses=(Status.PENDING,)),
    "all that is pending": listed(statuses=(Status.PENDING,), limit=None),
    "running": listed(statuses=(Status.RUNNING,)),
    "scheduled, oldest first": listed(statuses=(Status.SCHEDULED,), descending=False),
    "unfinished": listed(statuses=UNFINISHED, limit=None),
    "failed or running": listed(statuses=(Status.FAILED, Status.RUNNING)),
    "pending or skipped": listed(statuses=(Status.PENDING, Status.SKIPPED), limit=None),
    "of a name": listed(names=("Mailer",)),
    "of a name that none has": listed(names=("Nobody",)),
    "of a pattern": listed(names=("Re*",)),
    "of a name and completed": listed(names=("Import",), statuses=(Status.COMPLETED,)),
    "of a name and waiting": listed(names=("Import",), statuses=UNFINISHED, limit=None),
    "since": listed(since=recent, limit=None),
    "until": listed(until=early, limit=5),
    "failed since": listed(statuses=(Status.FAILED,), since=recent, limit=None),
    "of a name since": listed(names=("Import",), since=recent, limit=None),
    "of a tag since": listed(tags=("nightly",), since=recent, limit=None),
    "started since": listed(time="started", since=recent, limit=None),
    "started until": listed(time="started", until=early, limit=None),
    "finished since": listed(time="finished", since=recent, limit=None),
    "finished until": listed(time="finished", until=early, limit=None),
    "failed, by when, since": listed("finished", statuses=(Status.FAILED,), time="finished", since=recent, limit=None),
    "first started": listed("started", descending=False),
    "first finished": listed("finished", descending=False),
    "by name": listed("job", descending=False),
    "by name, backwards": listed("job"),
    "how many, at most": lambda history: history.store.count_some(Filter(), now=NOW, at_most=100),
    "how many failed, at most": lambda h: h.store.count_some(Filter(statuses=(Status.FAILED,)), now=NOW, at_most=10),
    "one job": lambda h: (h.store.job(h.middle, now=NOW), h.store.attempts(h.middle), list(h.store.events(job_id=h.middle))),
    "the newest id": lambda history: (history.store.latest(None), history.store.latest("Mailer", 2)),
    "what stands now": lambda history: (history.store.now(now=NOW), history.store.now(now=NOW, names=["Mailer"])),
    "what runs": lambda history: history.store.running(),
    "names and queues": lambda h: (h.store.names(), h.store.has_queue("mail"), h.store.waiting_names()),
    "the oldest that waits": lambda history: history.store.oldest_pending(),
    "when the next is due": lambda history: history.store.next_due(),
    "events of the last minutes": lambda history: list(history.store.events(since=NOW - 60_000)),
    "how many are ahead": lambda h: h.store.ahead_of(next(h.store.find(Filter(), now=NOW, limit=1)), now=NOW),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_costs_the_same_after_a_hundred_times_the_history(both, name):
    short, long = (history.steps(LOOKS[name]) for history in both)

    # Binary searches take seven more turns for each bound; a few rows more lie within the slack of a clock.
    assert long <= short * 1.3 + 200, (short, long)


@pytest.mark.parametrize("sort", ["started", "finished"])
def test_what_moved_last_costs_as_much_as_the_last_minutes(both, sort):
    """Ten times as many as are asked for, at worst: the windows grow by that."""
    _, long = both

    assert long.steps(listed(sort)) < LONG / 10
