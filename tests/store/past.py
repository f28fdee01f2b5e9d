"""A history as running jobs leave it behind, made with SQL: the statuses, attempts, events and hourly statistics of days.

Used where the length of a history is what matters. What stands now is the same whatever its length: 50 pending jobs, 20
scheduled, 3 running.
"""

import sqlite3
from itertools import pairwise

from kiribi_cli.core.histogram import bucket

DAY_MS = 86_400_000
WAITING = 73
# Jobs made by one round of statements: their rows are sorted in memory.
CHUNK = 200_000

NAMES = ("Mailer", "Import", "Resize", "Report", "Index", "Sync", "Bill", "Audit")
QUEUES = ("default", "default", "media", "default", "default", "mail", "default", "slow")

# Of a hundred jobs: 85 completed at once, 5 on their second attempt, 5 failed on their third, 3 cancelled before they
# began, 2 failed at once. `n` is the number of the job, `t` when it was created.
MADE = """
CREATE TEMP TABLE made AS
WITH RECURSIVE counted (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM counted WHERE n < :last)
SELECT counted.n AS n, :begin + (:end - :begin) * counted.n / :total AS t, name, queue, tags, wait.ms AS wait_ms,
       took.ms AS took_ms,
       CASE WHEN counted.n % 100 < 90 THEN 'completed' WHEN counted.n % 100 BETWEEN 95 AND 97 THEN 'cancelled'
            ELSE 'failed' END AS status,
       CASE WHEN counted.n % 100 < 85 OR counted.n % 100 > 97 THEN 1 WHEN counted.n % 100 < 90 THEN 2
            WHEN counted.n % 100 < 95 THEN 3 ELSE 0 END AS tries,
       'exit 1: connection to host' || (counted.n % 7) || ' refused' AS message, 'f0' || (counted.n % 7) AS fingerprint
FROM counted JOIN kinds ON kinds.n = (counted.n * 7919) % 64
JOIN spells AS wait ON wait.n = (counted.n * 104729) % 50 JOIN spells AS took ON took.n = (counted.n * 31337) % 97
"""

FILL = (
    """
INSERT INTO jobs (id, job, kind, status, queue, lane, tags, payload, attempts, max_attempts, attempt, created_at, run_at,
                  first_started_at, wait_ms, started_at, finished_at, duration_ms, total_ms, exit_code, error_kind,
                  error_message, error_fingerprint, reason, origin_by, worker)
SELECT n, name, 'command', status, queue, name, tags, '{"user":' || n || ',"name":"user number ' || n || '"}', tries, 3, tries,
       t, t, iif(tries, t + wait_ms, NULL), iif(tries, wait_ms, NULL),
       iif(tries, t + wait_ms + (tries - 1) * (took_ms + 1000), NULL), t + wait_ms + iif(tries, tries * (took_ms + 1000) - 1000, 0),
       iif(tries, took_ms, NULL), took_ms * tries, iif(tries, status = 'failed', NULL),
       CASE status WHEN 'failed' THEN 'exit' WHEN 'cancelled' THEN 'cancelled' END,
       CASE status WHEN 'failed' THEN message WHEN 'cancelled' THEN 'cancelled by deploy@host' END,
       CASE status WHEN 'failed' THEN fingerprint WHEN 'cancelled' THEN '' END,
       CASE status WHEN 'failed' THEN iif(tries = 3, 'attempts_used', 'final_code') ELSE status END, 'deploy@host',
       iif(tries, 'host:' || (100 + n / 1000000), NULL)
FROM made
""",
    """
CREATE TEMP TABLE tried AS
SELECT made.*, try, t + wait_ms + (try - 1) * (took_ms + 1000) AS began, try = tries AND status = 'completed' AS good
FROM made JOIN (SELECT 1 AS try UNION ALL SELECT 2 UNION ALL SELECT 3) ON try <= tries ORDER BY n, try
""",
    """
INSERT INTO attempts (job_id, attempt, outcome, decision, exit_code, error_kind, error_message, error_fingerprint, started_at,
                      finished_at, duration_ms, cpu_user_ms, cpu_system_ms, max_rss_bytes, command, cwd, worker, host, pid,
                      process, log_bytes, next_attempt_at)
SELECT n, try, iif(good, 'completed', 'failed'), CASE WHEN good THEN 'complete' WHEN try < tries THEN 'retry' ELSE 'fail' END,
       NOT good, iif(good, NULL, 'exit'), iif(good, NULL, message), iif(good, NULL, fingerprint), began, began + took_ms,
       took_ms, 4, 1, 9830400, '["/bin/true"]', '/srv/app', 'host:100', 'host', 1000 + n % 30000,
       '["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", ' || n || ']', 0,
       iif(try < tries, began + took_ms + 1000, NULL)
FROM tried
""",
    """
INSERT INTO events (at, type, job_id, job, from_status, to_status, attempt, final, exit_code, "by", reason)
SELECT * FROM (
  SELECT t AS at, 'job.enqueued', n AS n, name, NULL, 'pending', NULL, NULL, NULL, 'deploy@host', NULL FROM made
  UNION ALL
  SELECT began, 'job.started', n, name, 'pending', 'running', try, NULL, NULL, 'host:100', NULL FROM tried
  UNION ALL
  SELECT began + took_ms, CASE WHEN good THEN 'job.completed' WHEN try < tries THEN 'job.retrying' ELSE 'job.failed' END, n, name,
         'running', CASE WHEN good THEN 'completed' WHEN try < tries THEN 'retrying' ELSE 'failed' END, try,
         try = tries, NOT good, 'host:100', NULL FROM tried
  UNION ALL
  SELECT t + wait_ms, 'job.cancelled', n, name, 'pending', 'cancelled', NULL, 1, NULL, 'deploy@host', 'cancelled'
  FROM made WHERE tries = 0
) ORDER BY at, n
""",
    """
CREATE TEMP TABLE counted_once AS
SELECT name, queue, tags, began + took_ms - (began + took_ms) % 3600000 AS hour, good, NOT good AND try = tries AS failed,
       NOT good AND try < tries AS retried, 0 AS cancelled, 1 AS attempts, took_ms, iif(try = 1, wait_ms, NULL) AS waited_ms,
       iif(good, NULL, message) AS message, iif(good, NULL, fingerprint) AS fingerprint FROM tried
UNION ALL
SELECT name, queue, tags, t + wait_ms - (t + wait_ms) % 3600000, 0, 0, 0, 1, 0, NULL, NULL, NULL, NULL FROM made WHERE tries = 0
""",
    """
INSERT INTO stats (dimension, key, queue, hour, label, completed, failed, cancelled, retried, attempts, duration_ms_sum,
                   duration_ms_max, wait_ms_sum, wait_ms_max, cpu_ms_sum, max_rss_bytes)
SELECT * FROM (
  WITH told (dimension) AS (VALUES ('job'), ('tag'), ('error'))
  SELECT dimension, CASE dimension WHEN 'job' THEN name WHEN 'tag' THEN tags ->> 0 ELSE fingerprint END AS the_key, queue, hour,
         iif(dimension = 'error', max(message), NULL), sum(good), sum(failed), sum(cancelled), sum(retried), sum(attempts),
         coalesce(sum(took_ms), 0), coalesce(max(took_ms), 0), coalesce(sum(waited_ms), 0), coalesce(max(waited_ms), 0),
         5 * sum(attempts), 9830400
  FROM counted_once JOIN told
    ON dimension = 'job' OR (dimension = 'tag' AND tags IS NOT NULL) OR (dimension = 'error' AND fingerprint IS NOT NULL)
  GROUP BY dimension, the_key, queue, hour
) WHERE true
ON CONFLICT DO UPDATE SET completed = completed + excluded.completed, failed = failed + excluded.failed,
  cancelled = cancelled + excluded.cancelled, retried = retried + excluded.retried, attempts = attempts + excluded.attempts,
  duration_ms_sum = duration_ms_sum + excluded.duration_ms_sum, duration_ms_max = max(duration_ms_max, excluded.duration_ms_max),
  wait_ms_sum = wait_ms_sum + excluded.wait_ms_sum, wait_ms_max = max(wait_ms_max, excluded.wait_ms_max),
  cpu_ms_sum = cpu_ms_sum + excluded.cpu_ms_sum
""",
    """
INSERT INTO histograms (dimension, key, queue, hour, measure, bucket, n)
SELECT * FROM (
  WITH measured AS (
    SELECT name, queue, tags, hour, 'duration' AS measure, took_ms AS ms FROM counted_once WHERE took_ms IS NOT NULL
    UNION ALL SELECT name, queue, tags, hour, 'wait', waited_ms FROM counted_once WHERE waited_ms IS NOT NULL
  ), counted AS (SELECT name, queue, tags, hour, measure, ms, count(*) AS n FROM measured GROUP BY name, queue, tags, hour, measure, ms)
  SELECT 'job', name, queue, hour, measure, bucket(ms) AS b, sum(n) FROM counted GROUP BY name, queue, hour, measure, b
  UNION ALL
  SELECT 'tag', tags ->> 0, queue, hour, measure, bucket(ms) AS b, sum(n) FROM counted WHERE tags IS NOT NULL
  GROUP BY tags ->> 0, queue, hour, measure, b
) WHERE true
ON CONFLICT DO UPDATE SET n = n + excluded.n
""",
    "DROP TABLE counted_once",
    "DROP TABLE tried",
    "DROP TABLE made",
)

UNFINISHED = (
    """
INSERT INTO workers (id, name, host, pid, version, state, started_at, heartbeat_at, slots)
VALUES (900, 'host:900', 'host', 900, '0', 'running', :now, :now, 4)
""",
    """
WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 73)
INSERT INTO jobs (job, kind, status, queue, lane, payload, created_at, run_at, origin_by, attempt, attempts, worker, worker_id,
                  attempt_id, started_at, first_started_at)
SELECT name, 'command', CASE WHEN counted.n <= 50 THEN 'pending' WHEN counted.n <= 70 THEN 'scheduled' ELSE 'running' END, queue,
       name, '{}', :now, :now + iif(counted.n BETWEEN 51 AND 70, 864000000, 0), 'deploy@host', counted.n > 70, counted.n > 70,
       iif(counted.n > 70, 'host:900', NULL), iif(counted.n > 70, 900, NULL),
       iif(counted.n > 70, (SELECT max(id) FROM attempts) + counted.n, NULL), iif(counted.n > 70, :now, NULL),
       iif(counted.n > 70, :now, NULL)
FROM counted JOIN kinds ON kinds.n = counted.n % 64
""",
    """
INSERT INTO attempts (id, job_id, attempt, started_at, worker, host)
SELECT attempt_id, id, 1, started_at, worker, 'host' FROM jobs WHERE status = 'running'
""",
    """
INSERT INTO events (at, type, job_id, job, to_status)
SELECT :now, 'job.enqueued', id, job, iif(status = 'scheduled', status, 'pending') FROM jobs WHERE finished_at IS NULL ORDER BY id
""",
    """
INSERT INTO events (at, type, job_id, job, from_status, to_status, attempt)
SELECT :now, 'job.started', id, job, 'pending', 'running', 1 FROM jobs WHERE status = 'running'
""",
)


def fill(connection: sqlite3.Connection, count: int, now: int, days: int = 60) -> None:
    """Put `count` finished jobs of the last days into an empty database of the current schema, and what stands now."""
    connection.create_function("bucket", 1, bucket, deterministic=True)
    _kinds(connection)
    values = {"begin": now - days * DAY_MS, "end": now - 60_000, "total": count, "now": now}
    for before, last in pairwise([*range(0, count, CHUNK), count]):
        connection.execute("BEGIN")
        connection.execute(MADE, values | {"first": before + 1, "last": last})
        for statement in FILL:
            connection.execute(statement)
        connection.execute("COMMIT")
    for statement in UNFINISHED:
        connection.execute(statement, values if ":now" in statement else {})


def _kinds(connection: sqlite3.Connection) -> None:
    """Which definition, queue and tags a job has, and the times that waiting and running take."""
    connection.execute("CREATE TEMP TABLE kinds (n INTEGER PRIMARY KEY, name, queue, tags)")
    # Half of them are of the first definition, a quarter of the second; the last two are rare.
    kinds = [min(6 - n.bit_length(), 7) if n else 7 for n in range(64)]
    rows = [(n, NAMES[kind], QUEUES[kind], '["nightly"]' if n % 5 == 0 else None) for n, kind in enumerate(kinds)]
    connection.executemany("INSERT INTO kinds VALUES (?, ?, ?, ?)", rows)
    connection.execute("CREATE TEMP TABLE spells (n INTEGER PRIMARY KEY, ms)")
    connection.executemany("INSERT INTO spells VALUES (?, ?)", [(n, int(1.13**n)) for n in range(97)])
