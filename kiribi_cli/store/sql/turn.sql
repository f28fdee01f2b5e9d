-- What a worker does: one transaction for all that ended and all that can start.

-- name: heads
-- Skip-scan over jobs_ready: one seek for each (queue, lane) that has something pending, however long the backlog.
WITH RECURSIVE heads (queue, lane, priority, run_at, id) AS (
  SELECT * FROM (SELECT queue, lane, priority, run_at, id FROM jobs WHERE status = 'pending'
                 ORDER BY queue, lane, priority DESC, run_at, id LIMIT 1)
  UNION ALL
  SELECT next.queue, next.lane, next.priority, next.run_at, next.id
  FROM heads JOIN jobs AS next ON next.id = coalesce(
    -- Two seeks: for (queue, lane) > (?, ?) SQLite seeks by the queue only, and reads the backlog to get to the lane.
    (SELECT later.id FROM jobs AS later
     WHERE later.status = 'pending' AND later.queue = heads.queue AND later.lane > heads.lane
     ORDER BY later.lane, later.priority DESC, later.run_at, later.id LIMIT 1),
    (SELECT later.id FROM jobs AS later
     WHERE later.status = 'pending' AND later.queue > heads.queue
     ORDER BY later.queue, later.lane, later.priority DESC, later.run_at, later.id LIMIT 1))
)
SELECT queue, lane, priority, run_at, id FROM heads;

-- name: busy
-- Running rows are few: as many as there are slots.
SELECT queue, lane, count(*) FROM jobs WHERE status = 'running' GROUP BY queue, lane;

-- name: in_lane
SELECT id, job, kind, adhoc, queue, priority, tags, payload, options, attempt, attempts, max_attempts, snoozes,
       interruptions, run_at, created_at, first_started_at IS NULL, schedule, scheduled_for, flow, step, lane
FROM jobs
WHERE status = 'pending' AND queue = :queue AND lane = :lane
ORDER BY priority DESC, run_at, id LIMIT :most;

-- name: this_one
SELECT id, job, kind, adhoc, queue, priority, tags, payload, options, attempt, attempts, max_attempts, snoozes,
       interruptions, run_at, created_at, first_started_at IS NULL, schedule, scheduled_for, flow, step, lane
FROM jobs
WHERE id = :id AND status = 'pending';

-- name: make_pending
-- What was due already has waited since then.
UPDATE jobs SET status = 'pending', run_at = min(run_at, :now)
WHERE id = :id AND status IN ('scheduled', 'retrying');

-- name: worker_name
SELECT name, host FROM workers WHERE id = :worker_id AND stopped_at IS NULL;

-- name: take_attempt_ids
-- The claim token is a number and nothing else until the attempt begins; then it is the id of its row.
UPDATE sqlite_sequence SET seq = seq + :n WHERE name = 'attempts' RETURNING seq;

-- name: start
-- Only the claim. What tells of the start itself is written when the attempt has begun: a claim may be given back.
UPDATE jobs SET
  status = 'running', worker = :worker, worker_id = :worker_id, attempt_id = :first + chosen.key,
  attempt = attempt + 1, attempts = attempts + 1,
  unique_hold = CASE WHEN unique_until = 'pending' THEN NULL ELSE unique_hold END
FROM json_each(:ids) AS chosen
WHERE jobs.id = chosen.value AND status = 'pending';

-- name: event
INSERT INTO events (at, type, job_id, job, from_status, to_status, attempt, final, exit_code, "by", reason, details)
VALUES (:at, :type, :job_id, :job, :from_status, :to_status, :attempt, :final, :exit_code, :by, :reason, :details);

-- name: began_job
UPDATE jobs SET
  wait_ms = CASE WHEN first_started_at IS NULL THEN max(:started_at - run_at, 0) ELSE wait_ms END,
  first_started_at = coalesce(first_started_at, :started_at), started_at = :started_at, duration_ms = NULL,
  exit_code = NULL, signal = NULL, error_kind = NULL, error_message = NULL, error_fingerprint = NULL, reason = NULL,
  progress = NULL
WHERE id = :job_id AND attempt_id = :attempt_id AND worker_id = :worker_id
  AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.id = :attempt_id);

-- name: began_attempt
INSERT INTO attempts (id, job_id, attempt, started_at, worker, host, pid, process, command, cwd)
SELECT :attempt_id, id, attempt, :started_at, :worker, :host, :pid, :process, :command, :cwd
FROM jobs WHERE id = :job_id AND attempt_id = :attempt_id AND worker_id = :worker_id
ON CONFLICT (id) DO UPDATE SET
  started_at = excluded.started_at, pid = excluded.pid, process = excluded.process, command = excluded.command,
  cwd = excluded.cwd
WHERE outcome = 'running';

-- name: began_event
INSERT INTO events (at, type, job_id, job, from_status, to_status, attempt, "by")
SELECT :started_at, 'job.started', id, job, 'pending', 'running', attempt, :worker
FROM jobs WHERE id = :job_id AND attempt_id = :attempt_id AND worker_id = :worker_id
  AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.id = :attempt_id);

-- name: started
-- Of an attempt that began and ended between two turns, unless a worker that died since had told of its beginning.
INSERT INTO events (at, type, job_id, job, from_status, to_status, attempt, "by")
SELECT :at, 'job.started', :job_id, :job, 'pending', 'running', :attempt, :by
WHERE NOT EXISTS (SELECT 1 FROM attempts WHERE id = :attempt_id);

-- name: give_back
-- As if it had never been claimed, but that the token is used up.
UPDATE jobs SET
  status = 'pending', worker_id = NULL, attempt_id = NULL, attempts = attempts - 1, attempt = attempt - 1,
  unique_hold = CASE WHEN :take AND unique_until = 'pending' THEN unique_hash ELSE unique_hold END
WHERE id = :job_id AND attempt_id = :attempt_id AND worker_id = :worker_id;

-- name: progress
UPDATE jobs SET progress = :progress
WHERE status = 'running' AND worker_id = :worker_id AND attempt_id = :attempt_id;

-- name: due
UPDATE jobs SET status = 'pending' WHERE id IN (
  SELECT id FROM jobs WHERE status IN ('scheduled', 'retrying') AND run_at <= :now ORDER BY run_at LIMIT :most);

-- name: next_due
SELECT min(run_at) FROM jobs WHERE status IN ('scheduled', 'retrying');

-- name: next_expiry
SELECT min(expires_at) FROM jobs WHERE expires_at IS NOT NULL AND first_started_at IS NULL AND finished_at IS NULL
  AND status <> 'running';

-- name: too_late
SELECT id, job, queue, tags, status, created_at, expires_at FROM jobs
WHERE expires_at IS NOT NULL AND first_started_at IS NULL AND finished_at IS NULL AND expires_at <= :now
  AND status <> 'running'
ORDER BY expires_at LIMIT :most;

-- name: give_up
-- Ends a job that is not running: cancelled by hand, expired, superseded.
UPDATE jobs SET
  status = 'cancelled', finished_at = :now, reason = :reason, error_kind = :reason, error_message = :message,
  error_fingerprint = :fingerprint,
  unique_hold = CASE WHEN unique_until IN ('pending', 'unfinished') THEN NULL ELSE unique_hold END
WHERE id = :id AND status = :status;

-- name: held
-- The fence: the claims of this worker as they stand now.
SELECT attempt_id, id, cancel_requested_by, cancel_requested_at, unique_until, unique_hash
FROM jobs WHERE status = 'running' AND worker_id = :worker_id;

-- name: settle
UPDATE jobs SET
  status = :status, worker_id = NULL, attempt_id = NULL, run_at = coalesce(:run_at, run_at),
  finished_at = :ended_at, attempts = attempts - :refund, snoozes = snoozes + :snoozed,
  interruptions = interruptions + :interrupted, duration_ms = :duration_ms, total_ms = total_ms + :duration_ms,
  started_at = coalesce(:started_at, started_at),
  wait_ms = CASE WHEN first_started_at IS NULL THEN max(:started_at - run_at, 0) ELSE wait_ms END,
  first_started_at = coalesce(first_started_at, :started_at),
  exit_code = :exit_code, signal = :signal, error_kind = :error_kind, error_message = :error_message,
  error_fingerprint = :error_fingerprint, reason = :reason, result = :result,
  unique_hold = CASE
    WHEN :ended_at IS NULL AND unique_until = 'pending' THEN unique_hash
    WHEN :ended_at IS NOT NULL AND unique_until IN ('pending', 'unfinished') THEN NULL
    ELSE unique_hold END
WHERE id = :job_id AND attempt_id = :attempt_id AND worker_id = :worker_id;

-- name: end_attempt
-- Its row is there if it has been told to have begun. What never began, began when it ended.
INSERT INTO attempts (id, job_id, attempt, outcome, decision, exit_code, signal, error_kind, error_message,
                      error_fingerprint, started_at, finished_at, duration_ms, cpu_user_ms, cpu_system_ms,
                      max_rss_bytes, log_bytes, next_attempt_at, worker, host, pid, process, command, cwd)
VALUES (:attempt_id, :job_id, :attempt, :outcome, :decision, :exit_code, :signal, :error_kind, :error_message,
        :error_fingerprint, coalesce(:started_at, :finished_at), :finished_at, :duration_ms, :cpu_user_ms,
        :cpu_system_ms, :max_rss_bytes, :log_bytes, :next_attempt_at, :worker, :host, :pid, :process, :command, :cwd)
ON CONFLICT (id) DO UPDATE SET
  outcome = excluded.outcome, decision = excluded.decision, exit_code = excluded.exit_code, signal = excluded.signal,
  error_kind = excluded.error_kind, error_message = excluded.error_message,
  error_fingerprint = excluded.error_fingerprint, started_at = coalesce(:started_at, started_at),
  finished_at = excluded.finished_at, duration_ms = excluded.duration_ms, cpu_user_ms = excluded.cpu_user_ms,
  cpu_system_ms = excluded.cpu_system_ms, max_rss_bytes = excluded.max_rss_bytes, log_bytes = excluded.log_bytes,
  next_attempt_at = excluded.next_attempt_at, pid = coalesce(excluded.pid, pid),
  process = coalesce(excluded.process, process), command = coalesce(excluded.command, command),
  cwd = coalesce(excluded.cwd, cwd)
WHERE outcome = 'running';

-- name: ran_attempt
-- Began and completed between two turns: its row is written once. One that is there already is not of that kind.
INSERT OR IGNORE INTO attempts (
  id, job_id, attempt, outcome, decision, exit_code, started_at, finished_at, duration_ms, cpu_user_ms, cpu_system_ms,
  max_rss_bytes, log_bytes, worker, host, pid, process, command, cwd, event_seq)
VALUES (:attempt_id, :job_id, :attempt, 'completed', 'complete', 0, :started_at, :finished_at, :duration_ms,
        :cpu_user_ms, :cpu_system_ms, :max_rss_bytes, :log_bytes, :worker, :host, :pid, :process, :command, :cwd,
        :event_seq);

-- name: ran_jobs
-- All of them in one statement, out of the rows of their attempts: half the price of binding the same values again.
UPDATE jobs SET
  status = 'completed', worker_id = NULL, attempt_id = NULL, finished_at = ran.finished_at,
  duration_ms = ran.duration_ms, total_ms = total_ms + ran.duration_ms, started_at = ran.started_at,
  wait_ms = CASE WHEN first_started_at IS NULL THEN max(ran.started_at - run_at, 0) ELSE wait_ms END,
  first_started_at = coalesce(first_started_at, ran.started_at), exit_code = 0, signal = NULL, error_kind = NULL,
  error_message = NULL, error_fingerprint = NULL, reason = 'completed', result = NULL,
  unique_hold = CASE WHEN unique_until IN ('pending', 'unfinished') THEN NULL ELSE unique_hold END
FROM attempts AS ran
-- The + keeps it from beginning with all that runs.
WHERE ran.id IN (SELECT value FROM json_each(:ids)) AND jobs.id = ran.job_id AND +jobs.attempt_id = ran.id
  AND +jobs.worker_id = :worker_id;

-- name: ran_result
UPDATE jobs SET result = :result WHERE id = :job_id;

-- name: ran_event
-- One row for many attempts, each of which is two events; seq is the last of them. Read by story.py.
INSERT INTO events (seq, at, type, span, job, from_status, to_status, "by", details)
VALUES (:seq, :at, 'job.ran', :span, :job, 'running', 'completed', :by, :details);

-- name: add_stats
INSERT INTO stats (dimension, key, queue, hour, label, completed, failed, cancelled, skipped, retried, attempts,
                   duration_ms_sum, duration_ms_max, wait_ms_sum, wait_ms_max, cpu_ms_sum, max_rss_bytes)
VALUES (:dimension, :key, :queue, :hour, :label, :completed, :failed, :cancelled, :skipped, :retried, :attempts,
        :duration_ms_sum, :duration_ms_max, :wait_ms_sum, :wait_ms_max, :cpu_ms_sum, :max_rss_bytes)
ON CONFLICT DO UPDATE SET
  label = coalesce(excluded.label, label), completed = completed + excluded.completed,
  failed = failed + excluded.failed, cancelled = cancelled + excluded.cancelled, skipped = skipped + excluded.skipped,
  retried = retried + excluded.retried, attempts = attempts + excluded.attempts,
  duration_ms_sum = duration_ms_sum + excluded.duration_ms_sum,
  duration_ms_max = max(duration_ms_max, excluded.duration_ms_max), wait_ms_sum = wait_ms_sum + excluded.wait_ms_sum,
  wait_ms_max = max(wait_ms_max, excluded.wait_ms_max), cpu_ms_sum = cpu_ms_sum + excluded.cpu_ms_sum,
  max_rss_bytes = max(max_rss_bytes, excluded.max_rss_bytes);

-- name: add_histogram
INSERT INTO histograms (dimension, key, queue, hour, measure, bucket, n)
VALUES (:dimension, :key, :queue, :hour, :measure, :bucket, :n)
ON CONFLICT DO UPDATE SET n = n + excluded.n;
