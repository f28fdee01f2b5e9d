"""What Hypothesis draws for the machine: few names, few keys and short times, so that things meet."""

from hypothesis import strategies as st

from kiribi_cli.core.definition import Retention
from kiribi_cli.store.base import Edit, Want

START = 360_000_000
MINUTE = 60_000
# So far may the clock be turned back in all: what is found by time is found with that slack.
BACK_MOST = 50 * MINUTE
PERIOD = 10 * MINUTE

# What SQL alone can enqueue: the unique key is `n` of the payload, where the definition has one.
PUBLISHED = {
    "Import": {"unique_key": '["",["n"],""]', "unique_until": str(PERIOD), "on_conflict": "skip"},
    "Mailer": {"unique_key": '["",["n"],""]', "unique_until": "pending", "on_conflict": "error"},
    "Report": {"unique_key": None, "unique_until": None, "on_conflict": None},
}
NAMES = st.sampled_from([*PUBLISHED, ""])
QUEUES = st.sampled_from(["default", "default", "fast"])
TAGS = st.sampled_from([(), (), ("x",), ("x", "y")])
KEYS = st.sampled_from([None, None, "7", "7", "8"])
UNTIL = st.sampled_from(["pending", "pending", "unfinished", PERIOD])
LATER = st.sampled_from([0, 0, 0, 0, 500, 20_000, -2000])
EXPIRES = st.sampled_from([None, None, None, 400, 30_000])
RARELY = st.sampled_from([False, False, False, True])
OFTEN = st.sampled_from([True, True, False])
SCENES = st.sampled_from(
    ["nothing", "queued", "running", "running", "retrying", "ended", "one behind", "dead", "dead", "rescued"]
)
PASSING = st.sampled_from([1, 100, 1000, 1000, 10_000, 2 * MINUTE, 12 * MINUTE, 70 * MINUTE, -1, -1000, -9 * MINUTE])
PRIORITIES = st.sampled_from([0, 0, 0, 1, -1])
NEW = st.tuples(NAMES, QUEUES, PRIORITIES, TAGS, KEYS, UNTIL, LATER, EXPIRES, st.integers(0, 5))
ENDS = st.sampled_from([
    "complete", "complete", "other code", "retry", "retry", "retry now", "fail", "snooze", "release", "untouched",
    "cancel", "lost", "lost for good", "never started",
])  # fmt: skip
# What a worker does in a turn with something it has claimed.
DOINGS = st.sampled_from(["wait", "begin", "begin", "end", "end", "end", "give back"])
WANTS = st.one_of(
    st.none(),
    st.builds(
        Want, slots=st.sampled_from([1, 2, 4, 4]), lanes=st.sampled_from([frozenset(["Import", "Mailer", "Report", ""])] * 3 + [frozenset(["Mailer", ""])]),
        queues=st.sampled_from([None, None, {"default": None}, {"default": 1, "fast": None}]),
        queue_concurrency=st.sampled_from([{}, {}, {"fast": 1}]),
        lane_concurrency=st.sampled_from([{}, {"Import": 1}, {"Import": 2, "Mailer": 1}]),
    ),
)  # fmt: skip
EVERYTHING = Want(4, frozenset(["Import", "Mailer", "Report", ""]))
RULES = st.builds(
    Retention, completed_ms=st.sampled_from([None, 0, 1000, 60 * MINUTE]), failed_ms=st.sampled_from([0, 1000]),
    cancelled_ms=st.sampled_from([0, 1000]), keep_last=st.sampled_from([0, 0, 1, 2]),
)  # fmt: skip
EDITS = st.builds(
    Edit, payload=st.sampled_from([None, '{"n":9}']), queue=st.sampled_from([None, "fast"]), priority=st.sampled_from([None, 3]),
    max_attempts=st.sampled_from([None, 5]), tags=st.sampled_from([None, ("z",)]), expires_at=st.sampled_from([None, 0, START + 5 * MINUTE]),
)  # fmt: skip
# Statuses, the time that `ago` means, ago, queues, names.
SEARCHES = st.tuples(
    st.lists(st.sampled_from(["scheduled", "pending", "retrying", "running", "completed", "failed", "cancelled"]), max_size=2),
    st.sampled_from(["created", "started", "finished"]), st.sampled_from([None, MINUTE, 60 * MINUTE]),
    st.sampled_from([(), ("fast",)]), st.sampled_from([(), ("Import",), ("I*", "M*")]),
)  # fmt: skip
# What no program may write, whoever it is: each statement meets a row if there is one of its kind.
NONSENSE = (
    "UPDATE jobs SET status = 'asleep'", "UPDATE jobs SET job = ''", "UPDATE jobs SET kind = 'magic'",
    "UPDATE jobs SET priority = 5000", "UPDATE jobs SET attempts = -1", "UPDATE jobs SET max_attempts = 0",
    "UPDATE jobs SET adhoc = 2", "UPDATE jobs SET run_at = 'tomorrow'", "UPDATE jobs SET run_at = NULL",
    "UPDATE jobs SET finished_at = 1 WHERE finished_at IS NULL", "UPDATE jobs SET finished_at = NULL WHERE finished_at > 0",
    "UPDATE jobs SET attempt_id = NULL WHERE status = 'running'", "UPDATE jobs SET attempt_id = 1 WHERE status <> 'running'",
    "UPDATE jobs SET worker_id = NULL WHERE status = 'running'", "UPDATE jobs SET worker_id = 1 WHERE status <> 'running'",
    "UPDATE jobs SET unique_hold = x'00' WHERE id = (SELECT min(id) FROM jobs WHERE unique_hash IS NOT NULL)",
    """INSERT INTO jobs (job, kind, status, lane, unique_hash, unique_hold, created_at, run_at)
       SELECT job, kind, 'pending', lane, unique_hash, unique_hold, 1, 1 FROM jobs WHERE unique_hold IS NOT NULL""",
    """INSERT INTO jobs (id, job, kind, status, lane, created_at, run_at)
       SELECT id, job, kind, 'pending', lane, created_at, run_at FROM jobs""",
    "UPDATE attempts SET outcome = 'asleep'", "UPDATE attempts SET decision = 'shrug'", "UPDATE attempts SET attempt = 0",
    "UPDATE attempts SET finished_at = NULL WHERE outcome <> 'running'", "UPDATE attempts SET finished_at = 1 WHERE outcome = 'running'",
    "UPDATE attempts SET decision = NULL WHERE outcome <> 'running'", "UPDATE attempts SET decision = 'retry' WHERE outcome = 'running'",
    "INSERT INTO attempts (id, job_id, attempt, started_at, worker, host) SELECT id, job_id, attempt, 1, '', '' FROM attempts",
    "INSERT INTO events (seq, at, type) SELECT seq, 1, 'job.started' FROM events",
    "INSERT INTO stats (dimension, key, queue, hour) SELECT dimension, key, queue, hour FROM stats",
    """INSERT INTO histograms (dimension, key, queue, hour, measure, bucket, n)
       SELECT dimension, key, queue, hour, measure, bucket, 1 FROM histograms""",
    "UPDATE workers SET state = 'asleep'", "UPDATE workers SET stopped_at = 1 WHERE stopped_at IS NULL",
    "UPDATE workers SET kind = 'magic'", "UPDATE workers SET stop_requested = 'perhaps'",
)  # fmt: skip
