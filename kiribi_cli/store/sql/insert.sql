-- Enqueueing.

-- name: job
INSERT INTO jobs (job, kind, adhoc, status, queue, lane, priority, tags, payload, options, max_attempts, unique_key,
                  unique_until, unique_hash, unique_hold, created_at, run_at, expires_at, parent, origin_kind, origin_by)
VALUES (:job, :kind, :adhoc, :status, :queue, :lane, :priority, :tags, :payload, :options, :max_attempts, :unique_key,
        :unique_until, :unique_hash, :unique_hash, :created_at, :run_at, :expires_at, :parent, :origin_kind, :origin_by);

-- name: holder
SELECT id, unique_until FROM jobs WHERE unique_hold = :unique_hash;

-- name: free_hold
UPDATE jobs SET unique_hold = NULL WHERE id = :id AND unique_hold IS NOT NULL;

-- name: last_id
SELECT last_insert_rowid();

-- name: last_seq
SELECT seq FROM sqlite_sequence WHERE name = 'events';

-- name: enqueued
INSERT INTO events (seq, at, type, span, job_id, job, to_status, "by")
VALUES (:seq, :at, 'job.enqueued', :span, :job_id, :job, :to_status, :by);
