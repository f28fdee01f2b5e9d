-- Old history goes, in small batches.

-- name: of_status
-- Oldest first along jobs_ended; what is kept is passed by, and the next batch begins behind it.
SELECT id, job, status, finished_at, unique_hold IS NOT NULL AND CAST(unique_until AS INTEGER) > :now
FROM jobs
WHERE status = :lead AND finished_at IS NOT NULL AND id > :after AND id < :bound ORDER BY id LIMIT :page;

-- name: of_name
SELECT id, job, status, finished_at, unique_hold IS NOT NULL AND CAST(unique_until AS INTEGER) > :now
FROM jobs
WHERE job = :lead AND finished_at IS NOT NULL AND id > :after AND id < :bound ORDER BY id LIMIT :page;

-- name: nth_newest
SELECT id FROM jobs WHERE job = :job AND finished_at IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET :skip;

-- name: attempt_ids
SELECT id FROM attempts WHERE job_id IN (SELECT value FROM json_each(:ids));

-- name: delete_attempts
DELETE FROM attempts WHERE job_id IN (SELECT value FROM json_each(:ids));

-- name: delete_jobs
-- Asked again: somebody may have retried one since it was looked at.
DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(:ids)) AND finished_at IS NOT NULL;

-- name: still_finished
SELECT id, status FROM jobs WHERE id IN (SELECT value FROM json_each(:ids)) AND finished_at IS NOT NULL;

-- name: old_events
SELECT max(seq), count(*) FROM (SELECT seq FROM events WHERE seq < :bound ORDER BY seq LIMIT :page);

-- name: delete_events
DELETE FROM events WHERE seq <= :seq;
