-- Enqueueing many jobs alike.

-- name: alike
INSERT INTO jobs (job, kind, adhoc, status, queue, lane, priority, tags, payload, options, max_attempts,
                  created_at, run_at, expires_at, parent, origin_kind, origin_by)
SELECT :job, :kind, :adhoc, :status, :queue, :lane, :priority, :tags, value, :options, :max_attempts,
       :created_at, :run_at, :expires_at, :parent, :origin_kind, :origin_by
FROM json_each(:payloads);
