-- What stands now and what the statistics say: as long as the backlog, or as the hours asked for; never as the history.

-- name: pending_all
SELECT count(*), min(run_at) FROM jobs WHERE status = 'pending';

-- name: pending_named
-- A definition's jobs wait in its lane. Only the names of others, which wait elsewhere (turn.py), are looked up.
SELECT count(*), min(run_at) FROM jobs WHERE status = 'pending'
  AND (lane IN (SELECT value FROM json_each(:names))
       OR ((lane = '' OR lane LIKE 'run:%') AND +job IN (SELECT value FROM json_each(:names))));

-- name: timed_all
SELECT count(*) FILTER (WHERE run_at <= :now), min(run_at),
       count(*) FILTER (WHERE run_at > :now AND status = 'scheduled'),
       count(*) FILTER (WHERE run_at > :now AND status = 'retrying')
FROM jobs WHERE status IN ('scheduled', 'retrying');

-- name: timed_named
SELECT count(*) FILTER (WHERE run_at <= :now), min(run_at),
       count(*) FILTER (WHERE run_at > :now AND status = 'scheduled'),
       count(*) FILTER (WHERE run_at > :now AND status = 'retrying')
FROM jobs WHERE status IN ('scheduled', 'retrying') AND +job IN (SELECT value FROM json_each(:names));

-- name: running
SELECT count(*) FROM jobs WHERE status = 'running'
  AND (:names IS NULL OR job IN (SELECT value FROM json_each(:names)));

-- name: blocked
SELECT count(*) FROM jobs WHERE status = 'blocked'
  AND (:names IS NULL OR job IN (SELECT value FROM json_each(:names)));

-- name: timed_names
SELECT DISTINCT job FROM (
  SELECT job, adhoc FROM jobs WHERE status IN ('scheduled', 'retrying') ORDER BY run_at LIMIT :most) WHERE NOT adhoc;

-- name: oldest_pending
SELECT id FROM jobs WHERE status = 'pending' ORDER BY run_at LIMIT 1;

-- name: has_queue
SELECT EXISTS (SELECT 1 FROM jobs WHERE status = 'pending' AND queue = :queue)
    OR EXISTS (SELECT 1 FROM jobs WHERE status = 'running' AND queue = :queue)
    OR EXISTS (SELECT 1 FROM stats WHERE hour >= :since AND dimension = 'job' AND queue = :queue)
    OR EXISTS (SELECT 1 FROM jobs WHERE status IN ('scheduled', 'retrying') AND queue = :queue);

-- name: queues
-- Of what is pending or running, of the first timed ones, and of the statistics since then.
SELECT queue FROM jobs WHERE status = 'running'
UNION
SELECT queue FROM (SELECT queue FROM jobs WHERE status IN ('scheduled', 'retrying') ORDER BY run_at LIMIT :most)
UNION
SELECT queue FROM stats WHERE hour >= :since AND dimension = 'job'
UNION
SELECT queue FROM (
  WITH RECURSIVE lines (queue) AS (
    SELECT * FROM (SELECT queue FROM jobs WHERE status = 'pending' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT later.queue FROM jobs AS later
            WHERE later.status = 'pending' AND later.queue > lines.queue ORDER BY later.queue LIMIT 1)
    FROM lines WHERE lines.queue IS NOT NULL
  )
  SELECT queue FROM lines WHERE queue IS NOT NULL
);

-- name: hours
-- Hour by hour, so that only the rows of this dimension are read.
WITH RECURSIVE each (hour) AS (
  SELECT max(:since, (SELECT min(hour) FROM stats))
  UNION ALL
  SELECT hour + 3600000 FROM each WHERE hour + 3600000 < min(:until, (SELECT max(hour) + 1 FROM stats))
)
SELECT dimension, key, queue, stats.hour, label, completed, failed, cancelled, skipped, retried, attempts,
       duration_ms_sum, duration_ms_max, wait_ms_sum, wait_ms_max, cpu_ms_sum, max_rss_bytes
FROM each CROSS JOIN stats ON stats.hour = each.hour AND dimension = :dimension AND (:key IS NULL OR key = :key)
WHERE each.hour < :until ORDER BY stats.hour, key, queue;

-- name: histogram
WITH RECURSIVE each (hour) AS (
  SELECT max(:since, (SELECT min(hour) FROM histograms))
  UNION ALL
  SELECT hour + 3600000 FROM each WHERE hour + 3600000 < min(:until, (SELECT max(hour) + 1 FROM histograms))
)
SELECT key, queue, min(each.hour), measure, bucket, sum(n)
FROM each CROSS JOIN histograms
  ON histograms.hour = each.hour AND dimension = :dimension AND key BETWEEN :low AND :high
WHERE each.hour < :until GROUP BY iif(:hourly, each.hour, 0), key, queue, measure, bucket;
