-- Finding jobs by filters: a few ways in, each led by an index, and one condition that they all share.
-- Each answers (id, what to sort by); what `:sort` names, or NULL.

-- name: matches
(:statuses IS NULL OR CASE WHEN status IN ('scheduled', 'retrying') AND run_at <= :now THEN 'pending' ELSE status END
                      IN (SELECT value FROM json_each(:statuses)))
AND (:names IS NULL OR job IN (SELECT value FROM json_each(:names)))
AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
AND (:workers IS NULL OR worker IN (SELECT value FROM json_each(:workers)))
AND (:origins IS NULL OR origin_kind IN (SELECT value FROM json_each(:origins)))
AND (:since IS NULL OR CASE :time WHEN 'created' THEN created_at WHEN 'started' THEN started_at ELSE finished_at END >= :since)
AND (:until IS NULL OR CASE :time WHEN 'created' THEN created_at WHEN 'started' THEN started_at ELSE finished_at END < :until)
AND (:tags IS NULL OR EXISTS (
  SELECT 1 FROM json_each(jobs.tags) AS tag WHERE tag.value IN (SELECT value FROM json_each(:tags))))
AND (:errors IS NULL OR EXISTS (
  SELECT 1 FROM json_each(:errors) AS error
  WHERE error_kind = error.value OR error_fingerprint = error.value
     OR instr(lower(error_message), lower(error.value)) > 0))
AND (:grep IS NULL OR NOT EXISTS (
  SELECT 1 FROM json_each(:grep) AS word
  WHERE instr(lower(job), lower(word.value)) = 0 AND instr(lower(coalesce(tags, '')), lower(word.value)) = 0
    AND instr(lower(coalesce(error_message, '')), lower(word.value)) = 0
    AND instr(lower(coalesce(error_kind, '')), lower(word.value)) = 0))
-- An array of [path, text, text, ...]: for each path one of the texts, as JSON writes it or as the string says it.
AND (:payload IS NULL OR NOT EXISTS (
  SELECT 1 FROM json_each(:payload) AS want
  WHERE NOT EXISTS (
    SELECT 1 FROM json_each(want.value) AS one
    WHERE one.key > 0 AND (
      jobs.payload -> (want.value ->> 0) = one.value
      OR (json_type(jobs.payload, want.value ->> 0) = 'text' AND jobs.payload ->> (want.value ->> 0) = one.value)))))

-- name: key
CASE :sort WHEN 'started' THEN started_at WHEN 'finished' THEN finished_at WHEN 'priority' THEN priority
           WHEN 'attempts' THEN attempts WHEN 'duration' THEN duration_ms WHEN 'job' THEN job END

-- name: newest_first
SELECT id, {{key}} FROM jobs
WHERE id > :after AND id < :before AND {{matches}} ORDER BY id DESC LIMIT :page;

-- name: oldest_first
SELECT id, {{key}} FROM jobs
WHERE id > :after AND id < :before AND {{matches}} ORDER BY id LIMIT :page;

-- name: newest_named
SELECT id, {{key}} FROM jobs
WHERE job = :lead AND id > :after AND id < :before AND {{matches}} ORDER BY id DESC LIMIT :page;

-- name: oldest_named
SELECT id, {{key}} FROM jobs
WHERE job = :lead AND id > :after AND id < :before AND {{matches}} ORDER BY id LIMIT :page;

-- name: newest_ended
SELECT id, {{key}} FROM jobs
WHERE status = :lead AND finished_at IS NOT NULL AND id > :after AND id < :before AND {{matches}}
ORDER BY id DESC LIMIT :page;

-- name: oldest_ended
SELECT id, {{key}} FROM jobs
WHERE status = :lead AND finished_at IS NOT NULL AND id > :after AND id < :before AND {{matches}}
ORDER BY id LIMIT :page;

-- What is not finished, by the indexes of that: as many rows as wait, at once. The + keeps it from walking along the ids
-- of the whole history instead.

-- name: pending
SELECT id, {{key}} FROM jobs WHERE status = 'pending' AND +id > :after AND +id < :before AND {{matches}};

-- name: later
SELECT id, {{key}} FROM jobs
WHERE status IN ('scheduled', 'retrying') AND run_at > :now AND +id > :after AND +id < :before AND {{matches}};

-- name: due
SELECT id, {{key}} FROM jobs
WHERE status IN ('scheduled', 'retrying') AND run_at <= :now AND +id > :after AND +id < :before AND {{matches}};

-- name: running
SELECT id, {{key}} FROM jobs WHERE status = 'running' AND +id > :after AND +id < :before AND {{matches}};

-- name: blocked
SELECT id, {{key}} FROM jobs WHERE status = 'blocked' AND +id > :after AND +id < :before AND {{matches}};

-- name: waiting
-- How long the backlog is, no further than :most.
SELECT count(*) FROM (
  SELECT 1 FROM jobs WHERE status = 'pending' UNION ALL
  SELECT 1 FROM jobs WHERE status IN ('scheduled', 'retrying') LIMIT :most);

-- name: named
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE job IN (SELECT value FROM json_each(:names)) LIMIT :most);

-- name: ended
SELECT count(*) FROM (
  SELECT 1 FROM jobs WHERE finished_at IS NOT NULL AND status IN (SELECT value FROM json_each(:statuses)) LIMIT :most);

-- name: started_since
SELECT DISTINCT +job_id FROM attempts WHERE id >= :attempts AND started_at >= :since AND +job_id <= :bound
UNION ALL
SELECT id FROM jobs WHERE status = 'running' AND started_at >= :since AND +id <= :bound;

-- name: finished_since
-- An event may tell of many attempts that were short; those are found by their own time.
SELECT DISTINCT +job_id FROM events
WHERE seq >= :events AND at >= :since AND +job_id <= :bound
  AND to_status IN ('completed', 'failed', 'cancelled', 'skipped')
UNION ALL
SELECT +job_id FROM attempts
WHERE id >= :attempts AND event_seq IS NOT NULL AND finished_at >= :since AND +job_id <= :bound;

-- name: first_attempt_from
-- For a binary search.
SELECT id, started_at FROM attempts WHERE id >= :place ORDER BY id LIMIT 1;

-- name: last_attempt
SELECT max(id) FROM attempts;

-- name: among
SELECT id, {{key}} FROM jobs
WHERE id IN (SELECT value FROM json_each(:ids)) AND id > :after AND id < :before AND {{matches}};
