-- Who works, who died, what they held.

-- name: add
INSERT INTO workers (name, host, pid, process, version, kind, state, started_at, heartbeat_at, slots, queues, config_path)
VALUES (:name, :host, :pid, :process, :version, :kind, 'running', :now, :now, :slots, :queues, :config_path);

-- name: heartbeat
UPDATE workers SET state = :state, heartbeat_at = :now, low_disk = :low_disk, config_error = :config_error
WHERE id = :id AND stopped_at IS NULL;

-- name: stop
UPDATE workers SET state = :state, stopped_at = :now WHERE id = :id AND stopped_at IS NULL;

-- name: declare_lost
-- A heartbeat that changed since is a sign of life: whoever made it keeps what it holds.
UPDATE workers SET state = 'lost', stopped_at = :now
WHERE id = :id AND heartbeat_at = :heartbeat_at AND stopped_at IS NULL;

-- name: ask_to_stop
UPDATE workers SET stop_requested = :how
WHERE id = :id AND stopped_at IS NULL AND (stop_requested IS NULL OR :how = 'now');

-- name: stop_requested
SELECT stop_requested FROM workers WHERE id = :id;

-- name: unstopped
SELECT id, name, host, pid, process, version, kind, state, stop_requested, started_at, heartbeat_at, stopped_at, slots,
       queues, scheduler, low_disk, config_path, config_error
FROM workers WHERE stopped_at IS NULL ORDER BY id;

-- name: stopped_since
SELECT id, name, host, pid, process, version, kind, state, stop_requested, started_at, heartbeat_at, stopped_at, slots,
       queues, scheduler, low_disk, config_path, config_error
FROM workers WHERE stopped_at >= :since ORDER BY id;

-- name: one
SELECT id, name, host, pid, process, version, kind, state, stop_requested, started_at, heartbeat_at, stopped_at, slots,
       queues, scheduler, low_disk, config_path, config_error
FROM workers WHERE id = :id;

-- name: holds_something
SELECT 1 FROM jobs WHERE status = 'running' AND worker_id = :id LIMIT 1;

-- name: cancel_requests
SELECT attempt_id, id, coalesce(cancel_requested_by, ''), cancel_signal
FROM jobs WHERE status = 'running' AND worker_id = :id AND cancel_requested_at IS NOT NULL;

-- name: held_by
-- A command of `kiribi run` had its caller's environment, which is stored nowhere: its last attempt was the last.
SELECT jobs.id, job, kind, adhoc, queue, priority, tags, payload, options, jobs.attempt, attempts, CASE WHEN jobs.adhoc AND jobs.lane <> '' THEN jobs.attempts ELSE jobs.max_attempts END,
       snoozes, interruptions, run_at, created_at,
       first_started_at IS NULL OR first_started_at = jobs.started_at, schedule, scheduled_for, flow, step,
       jobs.attempt_id, attempts.pid, attempts.process, attempts.started_at
FROM jobs LEFT JOIN attempts ON attempts.id = jobs.attempt_id
WHERE status = 'running' AND worker_id = :id ORDER BY jobs.attempt_id;

-- name: take_over
-- Its name, too: `kiribi ps` and `why` tell by it who runs what.
UPDATE jobs SET worker_id = :by, worker = (SELECT name FROM workers WHERE id = :by), lane = CASE WHEN adhoc THEN '' ELSE job END
WHERE id = :job_id AND attempt_id = :attempt_id AND worker_id = :worker_id;

-- name: left_waiting
-- Between two attempts of a `kiribi run` that died: its lane is its own.
SELECT id, job, queue, tags, status, adhoc FROM jobs WHERE status = 'pending' AND lane = :lane
UNION ALL
SELECT id, job, queue, tags, status, adhoc FROM jobs WHERE status IN ('scheduled', 'retrying') AND lane = :lane;

-- name: to_usual_lane
UPDATE jobs SET lane = job WHERE id = :id AND NOT adhoc AND finished_at IS NULL;

-- name: alive_in_any_version
-- Asked before a migration: these columns must keep their names for ever.
SELECT name, pid, process, heartbeat_at FROM workers WHERE stopped_at IS NULL;

-- name: forget_stopped
DELETE FROM workers WHERE id IN (SELECT id FROM workers WHERE stopped_at < :before LIMIT 500);
