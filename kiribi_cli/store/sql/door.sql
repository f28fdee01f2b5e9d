-- What the view `enqueue` knows of jobs.toml.

-- name: published
SELECT job, queue, own, kind, priority, tags, max_attempts, options, expires_ms, payload_max, unique_key, unique_until,
       on_conflict
FROM definitions WHERE config_path = :config_path;

-- name: published_elsewhere
SELECT 1 FROM definitions
WHERE config_path <> :config_path AND job IN (SELECT value FROM json_each(:jobs)) LIMIT 1;

-- name: publishers
SELECT DISTINCT config_path FROM definitions ORDER BY config_path;

-- name: withdraw
DELETE FROM definitions WHERE config_path = :config_path OR job IN (SELECT value FROM json_each(:jobs));

-- name: publish
INSERT INTO definitions (job, queue, own, kind, priority, tags, max_attempts, options, expires_ms, payload_max,
                         unique_key, unique_until, on_conflict, config_path)
VALUES (:job, :queue, :own, :kind, :priority, :tags, :max_attempts, :options, :expires_ms, :payload_max,
        :unique_key, :unique_until, :on_conflict, :config_path);
