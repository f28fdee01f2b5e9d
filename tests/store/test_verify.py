"""`kiribi db verify`: every rule names the job and what is wrong with it, and nothing is said of a sound database."""

import sqlite3
from contextlib import closing

import pytest

from kiribi_cli.core.definition import Retention
from kiribi_cli.core.settle import Complete, Fail, Release, Retry, Snooze
from kiribi_cli.store.base import Filter, Keep
from kiribi_cli.store.sqlite import SqliteStore
from tests.store import past
from tests.store.hand import Hand, begun, job, settlement

HOUR = 3_600_000


@pytest.fixture
def lived(store, hand: Hand):
    """Jobs: 1 completed, unique; 2 failed at its second attempt; 3 running; 4 scheduled; 5, 6 completed between turns;
    7 cancelled; 8 snoozed, released, completed, waits again; 9 pending, unique till it starts; 10 claimed, not begun."""
    store.insert([job(key="7", payload='{"ä": 1}', tags='["x"]')], now=1000)
    hand.run(Complete(), now=2000)
    store.insert([job(max_attempts=2)], now=2000)
    hand.run(Retry(2100), now=2050)
    hand.run(Fail("attempts_used"), now=2200)
    store.insert([job("Mailer")], now=2300)
    live = hand.claim_one(now=2400)
    store.turn(hand.id, now=2600, began=[begun(live, 2550)])
    store.insert([job(run_at=90_000), job(), job()], now=2700)
    both = hand.claim(now=2800, slots=2)
    done = [settlement(one, Complete(), 2900, exit_code=0, running=begun(one, 2890)) for one in both]
    assert not store.turn(hand.id, now=2950, settlements=done).lost
    store.insert([job(), job()], now=3000)
    store.cancel([7], by="ann", now=3100)
    hand.run(Snooze(3300), now=3200)
    hand.run(Release(), now=3400)
    hand.run(Complete(), now=3500)
    store.retry([8], by="ann", now=3600, force=True, run_at={8: 95_000})
    store.insert([job(key="9", unique_until="pending")], now=3700)
    store.insert([job("Mailer")], now=3800)
    store.claim_job(hand.id, 10, now=3900)
    return store


# What somebody does to the database, and what verify says of it.
BREACHES = {
    "attempt of a running job gone": ("DELETE FROM attempts WHERE outcome = 'running'", "job 3 is running, but has no live attempt"),
    "live attempt of an ended job": (
        "INSERT INTO attempts (job_id, attempt, started_at, worker, host) VALUES (1, 2, 1, 'w', 'h')",
        "attempt 11 of job 1 is live, but the job does not know it",
    ),
    "two live attempts": (
        "INSERT INTO attempts (job_id, attempt, started_at, worker, host) VALUES (3, 2, 1, 'w', 'h')",
        "job 3 has 2 live attempts: 4, 11",
    ),
    "one claim twice": (
        "UPDATE jobs SET attempt_id = 4 WHERE id = 10",
        "attempt 4 is the claim of several jobs: 3, 10",
    ),
    "running again after its end": (
        "UPDATE jobs SET status = 'pending', finished_at = NULL WHERE id = 5",
        "job 5 is pending, but its attempt 5 was its end (completed)",
    ),
    "attempt of nobody": ("UPDATE attempts SET job_id = 99 WHERE id = 1", "attempt 1 belongs to job 99, which is not there"),
    "attempt twin": ("UPDATE attempts SET attempt = 1 WHERE id = 3", "job 2 says it was tried 2 times, but its attempts are numbered 1, 1"),
    "attempt gone": ("DELETE FROM attempts WHERE id = 2", "job 2 says it was tried 2 times, but its attempts are numbered 2"),
    "spent too many": ("UPDATE jobs SET attempts = 3 WHERE id = 8", "job 8 has spent 3 attempts, but made 3, 2 of them given back"),
    "spent too few": ("UPDATE jobs SET attempts = 1 WHERE id = 2", "job 2 has spent 1 attempts, but made 2, 0 of them given back"),
    "snoozes": ("UPDATE jobs SET snoozes = 2 WHERE id = 8", "job 8 counts 2 snoozes"),
    "time": ("UPDATE jobs SET total_ms = 1 WHERE id = 1", "job 1 ran for 1 ms, but its attempts took 10 ms"),
    "outcome": ("UPDATE attempts SET outcome = 'worker_lost' WHERE id = 1", "attempt 1 of job 1 ended as worker_lost, and the decision was complete"),
    "status": ("UPDATE jobs SET status = 'failed' WHERE id = 5", "job 5 is failed, but no attempt of it ended so"),
    "when": ("UPDATE jobs SET finished_at = 7 WHERE id = 2", "job 2 and its last attempt 3 do not agree on when it ended"),
    "exit code": ("UPDATE jobs SET exit_code = 42 WHERE id = 2", "job 2 and its last attempt 3 do not agree on how it ended"),
    "no such status": ("PRAGMA ignore_check_constraints = 1; UPDATE jobs SET status = 'done' WHERE id = 1", "job 1 is done, and its other columns"),
    "cancel forgotten": ("UPDATE jobs SET cancel_requested_at = 1 WHERE id = 4", "job 4 was cancelled while it ran, and is scheduled"),
    "run is over": ("UPDATE jobs SET lane = 'run:77' WHERE id = 4", "job 4 waits for a kiribi run (run:77) that is over"),
    "lane": ("UPDATE jobs SET lane = 'Mailer' WHERE id = 4", "job 4 stands in the lane 'Mailer', where nobody looks for a Import"),
    "key kept": ("UPDATE jobs SET unique_hold = unique_hash WHERE id = 1", "job 1 (completed) holds a unique key that it should have let go"),
    "key lost": ("UPDATE jobs SET unique_hold = NULL WHERE id = 9", "job 9 (pending) does not hold its unique key"),
    "key twice": (
        "DROP INDEX jobs_unique; UPDATE jobs SET unique_hash = x'36', unique_hold = x'36' WHERE id IN (4, 9)",
        "jobs 4, 9 hold the same unique key",
    ),
    "worker stopped": ("UPDATE workers SET state = 'lost', stopped_at = 1", "job 3 is running on worker 1, which is not registered"),
    "ids": ("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'jobs'", "jobs go up to 10, but ids are given away from 3"),
    "payload": ("UPDATE jobs SET payload = '{' WHERE id = 1", "job 1 holds text that is not the JSON it should be"),
    "tags": ("UPDATE jobs SET tags = '{}' WHERE id = 1", "job 1 holds text that is not the JSON it should be"),
    "details": ("UPDATE events SET details = '[' WHERE type = 'job.ran'", "the details of event 15 are not JSON"),
    "event gone": ("DELETE FROM events WHERE seq = 6", "events 6 to 6 are missing"),
    "last event gone": ("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)", "events 24 to 24 are missing"),
    "events overlap": ("UPDATE events SET span = 2 WHERE seq = 4", "event 4 overlaps the one before it"),
    "enqueueing gone": (
        "UPDATE events SET type = 'worker.started', job_id = NULL WHERE type = 'job.enqueued' AND job_id = 2",
        "job 2 has no event of its enqueueing",
    ),
    "illegal move": ("UPDATE events SET to_status = 'skipped' WHERE type = 'job.failed'", "went from running to skipped, which is no legal move"),
    "broken path": ("UPDATE events SET from_status = 'blocked' WHERE type = 'job.cancelled'", "job 7 leaves blocked, but it was pending"),
    "another end": ("UPDATE events SET to_status = 'cancelled' WHERE type = 'job.failed'", "job 2 is failed, but by its events it is cancelled"),
    "end told twice": ("UPDATE events SET attempt = 2 WHERE type = 'job.retrying' AND job_id = 2", "of job 2 ended attempts 1, 2, but its events tell of the ends of 2, 2"),
    "beginning not told": ("UPDATE events SET type = 'x', from_status = NULL, to_status = NULL WHERE type = 'job.started' AND job_id = 3", "attempt 1 of job 3 is live, but no event tells of its beginning"),
    "shared event": ("UPDATE attempts SET event_seq = 4 WHERE id = 5", "attempt 5 of job 5 says that event 4 tells of it, and it does not"),
    "shared events": ("UPDATE events SET details = '[]' WHERE type = 'job.ran'", "event 15 does not hold as many attempts as it says"),
    "begun twice": (
        "UPDATE events SET job_id = 3, job = 'Mailer', type = 'job.started', to_status = 'running', attempt = 1 WHERE type = 'job.cancelled'",
        "the events of job 3 tell of the beginning of an attempt twice: 1, 1",
    ),
    "enqueued twice": (
        "UPDATE events SET type = 'job.enqueued', from_status = NULL WHERE type = 'job.retrying' AND job_id = 2",
        "job 2 is enqueued a second time",
    ),
    "less than nothing": ("UPDATE stats SET skipped = -1", "count less than nothing"),
    "an id again": ("UPDATE events SET type = 'job.deleted', to_status = NULL WHERE type = 'job.failed'", "job 2 is failed, but by its events it is deleted"),
    "name": ("UPDATE jobs SET job = 'Other', lane = 'Other' WHERE id = 4", "job 4 is a Other, but its events are of Import"),
    "job gone": ("DELETE FROM jobs WHERE id = 9", "job 9 is gone, though it had not finished: it was pending"),
    "running job gone": ("DELETE FROM jobs WHERE id = 3", "job 3 is gone, though it had not finished: it was running"),
    "count of one hour": ("UPDATE stats SET completed = completed - 1 WHERE dimension = 'job'", "of job 'Import' the history of the hour 1970-01-01T00:00:00.000Z holds 4 completed, the statistics say 3"),
    "counted twice": ("UPDATE stats SET completed = completed + 1, attempts = attempts + 1 WHERE dimension = 'job'", "holds 8 attempts, the statistics say 9"),
    "cancelled": ("UPDATE stats SET cancelled = 0", "holds 1 cancelled, the statistics say 0"),
    "statistics gone": ("DELETE FROM stats", "there is a histogram of job 'Import' in queue default"),
    "ends without attempts": ("UPDATE stats SET attempts = 0 WHERE dimension = 'tag'", "statistics of tag 'x' in queue default, hour 1970-01-01T00:00:00.000Z count 0 attempts, but 1 ends"),
    "longest": ("UPDATE stats SET duration_ms_max = 99999", "the longest duration is 99999 ms"),
    "tag": ("UPDATE stats SET attempts = 99 WHERE dimension = 'tag'", "count 99 attempts, all jobs of the queue fewer"),
    "error": ("UPDATE stats SET retried = 0, attempts = 1 WHERE dimension = 'error'", "error f00 happened 2 times in the hour 1970-01-01T00:00:00.000Z, the statistics say 1"),
    "histogram": ("UPDATE histograms SET n = n + 1 WHERE measure = 'duration'", "and the histogram of duration do not agree"),
    "half an hour": ("UPDATE stats SET hour = hour + 1", "do not begin with an hour"),
    "index": ("DROP INDEX jobs_due", "the index jobs_due is missing"),
    "trigger": ("DROP TRIGGER enqueue_job", "the trigger enqueue_job is missing"),
    "strange trigger": ("CREATE TRIGGER mine AFTER UPDATE ON jobs BEGIN SELECT 1; END", "the trigger mine on jobs is not of kiribi"),
    "another index": ("DROP INDEX jobs_due; CREATE INDEX jobs_due ON jobs (run_at)", "the index jobs_due is not what this kiribi makes of it"),
    "table": ("DROP TABLE histograms", "the table histograms is missing"),
    "definition": (
        "INSERT INTO definitions (job, queue, own, kind, priority, max_attempts, payload_max, config_path) VALUES ('A', 'b', 0, 'command', 0, 1, 1, 'x')",
        "the published definition A contradicts itself",
    ),
}  # fmt: skip


@pytest.mark.damages
@pytest.mark.parametrize("breach", BREACHES)
def test_verify_says_what_is_broken(lived, breach):
    damage, sentence = BREACHES[breach]
    sound = list(lived.verify())
    with closing(sqlite3.connect(lived.path, isolation_level=None)) as connection:
        connection.executescript(damage)
    found = list(lived.verify())

    assert sound == []
    assert any(sentence in line for line in found), found


@pytest.mark.parametrize(("age", "left"), [(0, [3, 4, 8, 9, 10]), (None, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])])
def test_what_was_swept_is_no_breach(lived, age, left):
    """Jobs with their events, or events alone: at each step between."""
    rules = Retention(completed_ms=age, failed_ms=age, cancelled_ms=age, skipped_ms=age, keep_last=0)
    keep = Keep(default=rules, by_name={}, events_ms=0)
    events = 0
    found = []
    while (swept := lived.sweep(keep, now=10 * HOUR, batch=2)).more:
        events += swept.events
        found += lived.verify()

    assert found + list(lived.verify()) == []
    assert [one.id for one in lived.find(Filter(), now=0, descending=False)] == left
    assert events > 10


def test_a_long_history_as_jobs_leave_it_is_sound(tmp_path):
    path = tmp_path / "past.db"
    SqliteStore.open(path, create=True).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        past.fill(connection, 3_000, 1_800_000_000_000)
    with closing(SqliteStore.open(path, create=False)) as store:
        found = list(store.verify())

    assert found == []
