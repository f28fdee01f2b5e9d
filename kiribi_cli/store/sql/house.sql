-- Keeping house. The counts are bounded, but for `verify`, which reads everything.

-- name: rows
-- Counted up to :most, and the range of ids: each of both ends in a SELECT of its own, or SQLite reads all between them.
SELECT (SELECT count(*) FROM (SELECT 1 FROM jobs LIMIT :most)),
       coalesce((SELECT max(id) FROM jobs) - (SELECT min(id) FROM jobs) + 1, 0),
       (SELECT count(*) FROM (SELECT 1 FROM attempts LIMIT :most)),
       coalesce((SELECT max(id) FROM attempts) - (SELECT min(id) FROM attempts) + 1, 0),
       (SELECT count(*) FROM (SELECT 1 FROM events LIMIT :most)),
       coalesce((SELECT max(seq) FROM events) - (SELECT min(seq) FROM events) + 1, 0);

-- name: oldest
SELECT id, created_at FROM jobs ORDER BY id LIMIT 1;

-- name: running_without_attempt
-- A claim whose attempt has not begun has no row yet, but a number that no other attempt will get.
SELECT jobs.id FROM jobs LEFT JOIN attempts ON attempts.id = jobs.attempt_id
WHERE jobs.status = 'running'
  AND (attempts.outcome <> 'running' OR attempts.job_id <> jobs.id
       OR (attempts.id IS NULL AND jobs.first_started_at IS NOT NULL AND jobs.duration_ms IS NULL)
       OR jobs.attempt_id > (SELECT seq FROM sqlite_sequence WHERE name = 'attempts')) LIMIT 100;

-- name: attempt_without_running
SELECT attempts.id, attempts.job_id FROM attempts LEFT JOIN jobs ON jobs.id = attempts.job_id
WHERE attempts.outcome = 'running' AND (jobs.id IS NULL OR jobs.attempt_id IS NOT attempts.id) LIMIT 100;

-- name: orphaned_attempts
SELECT id, job_id FROM attempts WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = attempts.job_id) LIMIT 100;

-- name: more_spent_than_made
SELECT id, attempts, attempt FROM jobs WHERE attempts > attempt OR attempts < 0 LIMIT 100;

-- name: attempts_missing
SELECT id, attempt FROM jobs
WHERE attempt <> coalesce((SELECT max(attempt) FROM attempts WHERE job_id = jobs.id), 0)
                + (status = 'running' AND NOT EXISTS (SELECT 1 FROM attempts WHERE id = jobs.attempt_id)) LIMIT 100;

-- name: broken_status
SELECT id, status FROM jobs
WHERE (finished_at IS NOT NULL) <> (status IN ('completed', 'failed', 'cancelled', 'skipped'))
   OR (attempt_id IS NOT NULL) <> (status = 'running') OR (worker_id IS NOT NULL) <> (status = 'running')
   OR status NOT IN ('scheduled', 'pending', 'blocked', 'running', 'retrying',
                     'completed', 'failed', 'cancelled', 'skipped') LIMIT 100;

-- name: broken_hold
SELECT id, status FROM jobs
WHERE unique_hold IS NOT NULL
  AND (unique_hold IS NOT unique_hash OR unique_until IS NULL
       OR (unique_until = 'unfinished' AND finished_at IS NOT NULL)
       OR (unique_until = 'pending' AND (finished_at IS NOT NULL OR status = 'running'))) LIMIT 100;

-- name: lost_hold
SELECT id, status FROM jobs
WHERE unique_hold IS NULL AND unique_hash IS NOT NULL AND finished_at IS NULL
  AND (unique_until = 'unfinished' OR (unique_until = 'pending' AND status <> 'running')) LIMIT 100;

-- name: worker_unknown
SELECT id, worker_id FROM jobs
WHERE status = 'running'
  AND NOT EXISTS (SELECT 1 FROM workers WHERE workers.id = jobs.worker_id AND stopped_at IS NULL) LIMIT 100;

-- name: stats_too_few
-- The statistics outlive the jobs, so they may count more, never fewer. What ended in the queue it was moved from counts there.
SELECT job, ended, counted FROM (
  SELECT job, count(*) AS ended,
         coalesce((SELECT sum(completed + failed + cancelled + skipped) FROM stats
                   WHERE dimension = 'job' AND key = jobs.job), 0) AS counted
  FROM jobs WHERE finished_at IS NOT NULL GROUP BY job)
WHERE counted < ended LIMIT 100;

-- name: broken_payload
SELECT id FROM jobs WHERE (payload IS NOT NULL AND NOT json_valid(payload)) OR (tags IS NOT NULL AND NOT json_valid(tags))
   OR (options IS NOT NULL AND NOT json_valid(options)) LIMIT 100;

-- name: events_overlap
SELECT seq FROM (SELECT seq, span, lag(seq) OVER (ORDER BY seq) AS before FROM events)
WHERE before IS NOT NULL AND seq - span < before LIMIT 100;

-- name: unknown_attempts
-- A claim whose attempt has not been told to have begun has a log, maybe, and no row yet.
SELECT value FROM json_each(:ids)
WHERE value NOT IN (SELECT attempt_id FROM jobs WHERE status = 'running')
  AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.id = value);

-- name: anything
SELECT EXISTS (SELECT 1 FROM jobs) OR EXISTS (SELECT 1 FROM attempts) OR EXISTS (SELECT 1 FROM events)
    OR EXISTS (SELECT 1 FROM workers) OR EXISTS (SELECT 1 FROM stats);

-- name: counters
SELECT name, seq FROM sqlite_sequence ORDER BY name;

-- name: set_counter
UPDATE sqlite_sequence SET seq = max(seq, :seq) WHERE name = :table;

-- name: add_counter
INSERT INTO sqlite_sequence (name, seq) SELECT :table, :seq
WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = :table);
