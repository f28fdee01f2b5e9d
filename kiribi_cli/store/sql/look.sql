-- Reading. Nothing here counts or sorts the history: every statement is led by an index or by a list of ids.

-- name: jobs
SELECT id, job, kind, adhoc, status, queue, priority, tags, attempts, max_attempts, snoozes, interruptions, attempt,
       attempt_id, unique_key, created_at, run_at, first_started_at, started_at, finished_at, expires_at,
       cancel_requested_at, cancel_requested_by, duration_ms, total_ms, exit_code, signal, error_kind, error_message,
       error_fingerprint, reason, progress, schedule, scheduled_for, flow, step, parent, origin_kind, origin_by, worker,
       payload, result, options, wait_ms
FROM jobs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: running
-- The + keeps it from walking along the ids of the whole history.
SELECT id FROM jobs WHERE status = 'running' ORDER BY +id;

-- name: latest
SELECT id FROM jobs WHERE step IS NULL AND origin_kind <> 'hook' ORDER BY id DESC LIMIT 1 OFFSET :skip;

-- name: latest_named
SELECT id FROM jobs WHERE job = :job AND step IS NULL AND origin_kind <> 'hook' ORDER BY id DESC LIMIT 1 OFFSET :skip;

-- name: attempts_of
SELECT id, job_id, attempt, outcome, decision, exit_code, signal, http_status, error_kind, error_message,
       error_fingerprint, started_at, finished_at, duration_ms, cpu_user_ms, cpu_system_ms, max_rss_bytes, command, cwd,
       worker, host, pid, log_bytes, next_attempt_at
FROM attempts WHERE job_id = :job_id ORDER BY id;

-- name: attempt
SELECT id, job_id, attempt, outcome, decision, exit_code, signal, http_status, error_kind, error_message,
       error_fingerprint, started_at, finished_at, duration_ms, cpu_user_ms, cpu_system_ms, max_rss_bytes, command, cwd,
       worker, host, pid, log_bytes, next_attempt_at
FROM attempts WHERE id = :id;

-- name: names
-- Skip-scan: one seek for each name.
WITH RECURSIVE names (job) AS (
  SELECT * FROM (SELECT job FROM jobs ORDER BY job LIMIT 1)
  UNION ALL
  SELECT (SELECT later.job FROM jobs AS later WHERE later.job > names.job ORDER BY later.job LIMIT 1)
  FROM names WHERE names.job IS NOT NULL
)
SELECT job FROM names WHERE job IS NOT NULL;

-- name: ahead_in_lane
SELECT count(*) FROM (
  SELECT 1 FROM jobs WHERE status = 'pending' AND queue = :queue AND lane = :lane AND priority > :priority LIMIT :most);

-- name: ahead_in_priority
SELECT count(*) FROM (
  SELECT 1 FROM jobs WHERE status = 'pending' AND queue = :queue AND lane = :lane AND priority = :priority
    AND (run_at, id) < (:run_at, :id) LIMIT :most);

-- name: last_seq
SELECT max(seq) FROM events;

-- name: events_from
SELECT seq, at, type, span, job_id, job, from_status, to_status, attempt, final, exit_code, "by", reason, details
FROM events WHERE seq >= :from_seq AND at >= :since
  AND (:types IS NULL OR type = 'job.ran' OR type IN (SELECT value FROM json_each(:types)))
ORDER BY seq LIMIT :page;

-- name: events_of
SELECT seq, at, type, span, job_id, job, from_status, to_status, attempt, final, exit_code, "by", reason, details
FROM events WHERE job_id = :job_id AND type <> 'job.enqueued' AND seq >= :from_seq AND at >= :since
  AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
ORDER BY seq;

-- name: shared_events_of
-- The rows that tell of attempts of this job among others.
SELECT seq, at, type, span, job_id, job, from_status, to_status, attempt, final, exit_code, "by", reason, details
FROM events WHERE type = 'job.ran' AND seq IN (SELECT event_seq FROM attempts WHERE job_id = :job_id)
ORDER BY seq;

-- name: enqueueing_of
-- The run of enqueued jobs that this one belongs to, if it reaches down to it; :from_seq is near it.
SELECT seq - (job_id - :job_id), at, type, job_id - span < :job_id, :job_id, job, from_status, to_status, attempt, final,
       exit_code, "by", reason, details
FROM events WHERE seq >= :from_seq AND type = 'job.enqueued' AND job_id >= :job_id ORDER BY seq LIMIT 1;

-- name: first_event_from
-- For a binary search: seq and time of the event at or after a place.
SELECT seq, at FROM events WHERE seq >= :place ORDER BY seq LIMIT 1;

-- name: first_job_from
SELECT id, created_at FROM jobs WHERE id >= :place ORDER BY id LIMIT 1;

-- name: last_job
SELECT max(id) FROM jobs;
