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

-- name: same_claim
SELECT attempt_id, group_concat(id, ', ') FROM jobs WHERE status = 'running' GROUP BY attempt_id HAVING count(*) > 1 LIMIT 100;

-- name: broken_status
SELECT id, status FROM jobs
WHERE (finished_at IS NOT NULL) <> (status IN ('completed', 'failed', 'cancelled', 'skipped'))
   OR (attempt_id IS NOT NULL) <> (status = 'running') OR (worker_id IS NOT NULL) <> (status = 'running')
   OR status NOT IN ('scheduled', 'pending', 'blocked', 'running', 'retrying',
                     'completed', 'failed', 'cancelled', 'skipped') LIMIT 100;

-- name: cancelled_but_waits
SELECT id, status FROM jobs
WHERE cancel_requested_at IS NOT NULL AND finished_at IS NULL AND status <> 'running' LIMIT 100;

-- name: lane_of_nobody
-- What `kiribi run` began waits in a lane that no worker looks at, as long as its process is registered.
SELECT id, lane FROM jobs
WHERE finished_at IS NULL AND status <> 'running' AND lane LIKE 'run:%'
  AND NOT EXISTS (SELECT 1 FROM workers WHERE 'run:' || workers.id = jobs.lane AND stopped_at IS NULL) LIMIT 100;

-- name: strange_lane
SELECT id, lane, job FROM jobs
WHERE finished_at IS NULL AND lane NOT LIKE 'run:%' AND lane <> CASE WHEN adhoc THEN '' ELSE job END LIMIT 100;

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

-- name: double_hold
-- The unique index forbids it; this is for when somebody has dropped it.
SELECT group_concat(id, ', ') FROM jobs WHERE unique_hold IS NOT NULL GROUP BY unique_hold HAVING count(*) > 1 LIMIT 100;

-- name: worker_unknown
SELECT id, worker_id FROM jobs
WHERE status = 'running'
  AND NOT EXISTS (SELECT 1 FROM workers WHERE workers.id = jobs.worker_id AND stopped_at IS NULL) LIMIT 100;

-- name: ids_ahead
-- AUTOINCREMENT goes on from here: an id beyond it would be given away again.
SELECT found.name, found.most, coalesce(sqlite_sequence.seq, 0)
FROM (SELECT 'jobs' AS name, max(id) AS most FROM jobs UNION ALL SELECT 'attempts', max(id) FROM attempts
      UNION ALL SELECT 'events', max(seq) FROM events UNION ALL SELECT 'workers', max(id) FROM workers) AS found
LEFT JOIN sqlite_sequence ON sqlite_sequence.name = found.name
WHERE found.most > coalesce(sqlite_sequence.seq, 0) OR (found.name = 'attempts' AND sqlite_sequence.seq IS NULL);

-- name: broken_json
SELECT id FROM jobs
WHERE (payload IS NOT NULL AND NOT json_valid(payload)) OR (result IS NOT NULL AND NOT json_valid(result))
   OR (tags IS NOT NULL AND coalesce(json_type(iif(json_valid(tags), tags, 0)), '') <> 'array')
   OR (options IS NOT NULL AND coalesce(json_type(iif(json_valid(options), options, 0)), '') <> 'object') LIMIT 100;

-- name: broken_details
SELECT seq FROM events WHERE details IS NOT NULL AND NOT json_valid(details) LIMIT 100;

-- name: broken_definitions
SELECT job FROM definitions GROUP BY job
HAVING sum(own) <> 1 OR max(options IS NOT NULL AND NOT json_valid(options))
    OR max(unique_key IS NOT NULL AND NOT json_valid(unique_key)) LIMIT 100;

-- name: events_order
-- Numbered without gaps: where each begins and ends, and where the one before ended.
SELECT before, seq - span, seq FROM (SELECT seq, span, lag(seq) OVER (ORDER BY seq) AS before FROM events)
WHERE seq - span <> before
UNION ALL
SELECT (SELECT max(seq) FROM events), seq, seq + 1 FROM sqlite_sequence
WHERE name = 'events' AND seq > (SELECT max(seq) FROM events) LIMIT 100;

-- name: strange_run
SELECT seq FROM events
WHERE type = 'job.ran' AND span <> 2 * json_array_length(iif(json_valid(details), details, '[]')) LIMIT 100;

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

-- name: swept_to
-- Events are deleted oldest first, and are numbered without gaps: what is missing before the first has been swept.
SELECT coalesce((SELECT seq - span FROM events ORDER BY seq LIMIT 1),
                (SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0);

-- name: all_jobs
SELECT id, job, status, attempts, attempt, attempt_id, total_ms, snoozes, interruptions, original_attempts IS NOT NULL,
       finished_at, exit_code, signal, error_fingerprint, duration_ms
FROM jobs ORDER BY id;

-- name: all_attempts
-- Along attempts_by_job, which ends with the id.
SELECT job_id, id, attempt, outcome, decision, finished_at, duration_ms, exit_code, signal, error_fingerprint, event_seq
FROM attempts ORDER BY job_id, id;

-- name: all_moves
-- Along events_by_job.
SELECT job_id, seq, type, from_status, to_status, attempt, at, job
FROM events WHERE type <> 'job.enqueued' AND job_id IS NOT NULL ORDER BY job_id, seq;

-- name: all_enqueued
-- Runs of jobs are numbered upwards like the jobs in them.
SELECT job_id, seq, span, to_status, job FROM events WHERE type = 'job.enqueued' ORDER BY seq;

-- name: all_ran
SELECT told.value ->> 0, events.seq, told.value ->> 1, told.value ->> 3, events.job
FROM events JOIN json_each(iif(json_valid(events.details), events.details, '[]')) AS told WHERE events.type = 'job.ran' ORDER BY 1, 2;

-- name: all_stats
SELECT hour, dimension, key, queue, completed, failed, cancelled, skipped, retried, attempts, duration_ms_sum,
       duration_ms_max, wait_ms_sum, wait_ms_max, cpu_ms_sum, max_rss_bytes
FROM stats ORDER BY hour, dimension, key, queue;

-- name: all_histograms
SELECT hour, dimension, key, queue, measure, bucket, n FROM histograms ORDER BY hour, dimension, key, queue;

-- name: complete_history
-- Whether no job was ever deleted: then statistics count what is there, and nothing else.
SELECT (SELECT count(*) FROM jobs) = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'jobs'), 0);
