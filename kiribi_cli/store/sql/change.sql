-- What a person does to jobs. Each names the status that it expects.

-- name: one
SELECT id, job, status, queue, tags, attempts, max_attempts, original_attempts, run_at, unique_key, unique_until,
       unique_hash, unique_hold
FROM jobs WHERE id = :id;

-- name: reopen
UPDATE jobs SET
  status = :status, run_at = :run_at, finished_at = NULL, max_attempts = :max_attempts,
  original_attempts = coalesce(original_attempts, max_attempts), snoozes = 0, interruptions = 0, expires_at = NULL,
  cancel_requested_at = NULL, cancel_requested_by = NULL, cancel_signal = NULL, reason = NULL,
  unique_hold = :unique_hold, lane = CASE WHEN adhoc THEN '' ELSE job END
WHERE id = :id AND status = :was;

-- name: start_now
UPDATE jobs SET status = :status, run_at = :run_at WHERE id = :id AND status = 'retrying';

-- name: ask_to_cancel
UPDATE jobs SET
  cancel_requested_at = coalesce(cancel_requested_at, :now), cancel_requested_by = coalesce(cancel_requested_by, :by),
  cancel_signal = coalesce(:signal, cancel_signal)
WHERE id = :id AND status = 'running';

-- name: edit
UPDATE jobs SET
  status = :status, run_at = :run_at, payload = coalesce(:payload, payload), options = coalesce(:options, options),
  queue = coalesce(:queue, queue), priority = coalesce(:priority, priority),
  max_attempts = coalesce(:max_attempts, max_attempts), tags = coalesce(:tags, tags),
  expires_at = CASE WHEN :expires_at = 0 THEN NULL ELSE coalesce(:expires_at, expires_at) END,
  unique_key = coalesce(:unique_key, unique_key), unique_hash = coalesce(:unique_hash, unique_hash),
  unique_hold = CASE WHEN :unique_hash IS NULL THEN unique_hold ELSE :unique_hash END,
  unique_until = CASE WHEN :unique_hash IS NULL THEN unique_until ELSE coalesce(unique_until, 'unfinished') END
WHERE id = :id AND status = :was;

-- name: attempt_ids
SELECT id FROM attempts WHERE job_id = :id;

-- name: delete_attempts
DELETE FROM attempts WHERE job_id = :id;

-- name: delete
DELETE FROM jobs WHERE id = :id AND status = :was AND finished_at IS NOT NULL;
