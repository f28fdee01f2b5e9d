-- Version 2. Statements are as in ../sql/schema.sql, word for word: a test compares.

-- What the view `enqueue` (cli.md, 13) knows of jobs.toml: one row for each definition in each queue that it may go to,
-- as core/plan.py boils it down. Written by whoever publishes a jobs.toml; the rows of a name are those of one file.
CREATE TABLE definitions (
  job TEXT NOT NULL,
  queue TEXT NOT NULL,
  own INTEGER NOT NULL CHECK (own IN (0, 1)),       -- whether this is the queue that the definition names
  kind TEXT NOT NULL,
  priority INTEGER NOT NULL,
  tags TEXT,
  max_attempts INTEGER NOT NULL,
  options TEXT,
  expires_ms INTEGER,
  payload_max INTEGER NOT NULL,
  -- JSON array of the key in parts: text, and arrays (paths into the payload); 'null': the whole payload.
  unique_key TEXT,
  unique_until TEXT,              -- NULL: not unique. As in jobs, but a period is its length.
  on_conflict TEXT CHECK (on_conflict IN ('skip', 'error')),
  config_path TEXT NOT NULL,      -- the jobs.toml that said so last
  PRIMARY KEY (job, queue)
) STRICT, WITHOUT ROWID;

-- Short attempts are written once, when they have ended, and share a row of events.
ALTER TABLE attempts ADD COLUMN event_seq INTEGER;
INSERT INTO sqlite_sequence (name, seq)
SELECT 'attempts', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'attempts');

-- The door for programs in any language (cli.md, 13). Read from, it lists the definitions that are known.
CREATE VIEW enqueue AS
SELECT job, NULL AS payload, queue, priority, NULL AS run_at, NULL AS unique_key FROM definitions WHERE own = 1;

-- Refuses what core/payload.py refuses, and makes the row that core/plan.py and insert.py would make.
-- Comments stand outside: every connection reads the text of a trigger, that of each `kiribi enqueue` too. SQLite 3.40
-- must understand it; there RAISE takes nothing but a literal.
-- Backslashes come in pairs or begin an escape: with the pairs gone, "\u" is always one. Half of a surrogate pair, and a
-- byte that is no UTF-8, reads as U+FFFD where there is none. Only with more than 64 brackets can anything be nested too
-- deep. The key is filled in from its parts; where that fails it is NULL. Who holds it is looked for before the new row
-- takes it, because with `insert or replace` the holder would be deleted.
CREATE TRIGGER enqueue_job INSTEAD OF INSERT ON enqueue BEGIN
  SELECT CASE
    WHEN NEW.job IS NULL OR NOT EXISTS (SELECT 1 FROM definitions WHERE job = NEW.job)
    THEN RAISE(ABORT, 'no such job definition: select job from enqueue lists what is published, kiribi def publish does it')
    WHEN NEW.queue IS NOT NULL AND NOT EXISTS (SELECT 1 FROM definitions WHERE job = NEW.job AND queue = NEW.queue)
    THEN RAISE(ABORT, 'no such queue in the jobs.toml of this definition')
    WHEN NEW.priority IS NOT NULL AND (typeof(NEW.priority) <> 'integer' OR NEW.priority NOT BETWEEN -1000 AND 1000)
    THEN RAISE(ABORT, 'priority must be an integer within -1000 to 1000')
    WHEN NEW.unique_key IS NOT NULL AND (typeof(NEW.unique_key) <> 'text' OR NEW.unique_key = '')
    THEN RAISE(ABORT, 'unique_key must be text, and not empty')
    WHEN NEW.run_at IS NOT NULL AND (typeof(NEW.run_at) <> 'text' OR julianday(NEW.run_at) IS NULL
         OR date(julianday(substr(NEW.run_at, 1, 10))) IS NOT substr(NEW.run_at, 1, 10))
    THEN RAISE(ABORT, 'run_at must be text such as 2027-01-31 02:30:00 (UTC) or 2027-01-31T02:30:00+01:00')
    WHEN NEW.payload IS NOT NULL AND typeof(NEW.payload) <> 'text'
    THEN RAISE(ABORT, 'the payload must be JSON as text')
    WHEN length(CAST(NEW.payload AS BLOB)) > (SELECT payload_max FROM definitions WHERE job = NEW.job AND own = 1)
    THEN RAISE(ABORT, 'the payload is too big for payload_max of its definition')
    WHEN NOT json_valid(coalesce(NEW.payload, 'null')) OR instr(NEW.payload, char(0))
    THEN RAISE(ABORT, 'the payload is not JSON')
    WHEN instr(replace(NEW.payload, '\\', '  '), '\u0000')
    THEN RAISE(ABORT, 'the payload is not valid: a string holds NUL')
    ELSE CASE (
      SELECT max(CASE WHEN twice > 1 THEN 3 ELSE wrong END)
      FROM (
        SELECT count(*) AS twice, max(CASE
          WHEN type = 'integer' AND typeof(atom) <> 'integer' OR type = 'real' AND abs(atom) = 9e999 THEN 1
          WHEN replace(coalesce(key, '') || coalesce(atom, ''), char(65533), '') GLOB '*' || char(65533) || '*' THEN 2 END) AS wrong
        FROM json_tree(NEW.payload) GROUP BY parent, key))
      WHEN 1 THEN RAISE(ABORT, 'the payload is not valid: a number is beyond 64 bits')
      WHEN 2 THEN RAISE(ABORT, 'the payload is not valid: a string holds half of a surrogate pair')
      WHEN 3 THEN RAISE(ABORT, 'the payload is not valid: an object has a key twice')
    END
  END;
  SELECT RAISE(ABORT, 'the payload is not valid: nested deeper than 64')
  WHERE length(NEW.payload) - length(replace(replace(NEW.payload, '[', ''), '{', '')) > 64 AND EXISTS (
    WITH RECURSIVE
      inner (id, parent) AS MATERIALIZED (
        SELECT id, parent FROM json_tree(NEW.payload) WHERE type IN ('object', 'array')),
      deep (id, n) AS (
        SELECT id, 1 FROM inner WHERE parent IS NULL UNION ALL
        SELECT inner.id, n + 1 FROM deep JOIN inner ON inner.parent = deep.id)
    SELECT 1 FROM deep WHERE n > 64);
  INSERT INTO jobs (job, kind, status, queue, lane, priority, tags, payload, options, max_attempts, unique_key,
                    unique_until, unique_hash, created_at, run_at, expires_at, origin_kind)
  SELECT job, kind, CASE WHEN due > now THEN 'scheduled' ELSE 'pending' END, queue, job,
         coalesce(NEW.priority, priority), tags, NEW.payload, options, max_attempts, key,
         CASE WHEN unique_until < 'a' THEN CAST(now + unique_until AS TEXT) WHEN key IS NOT NULL THEN coalesce(unique_until, 'unfinished') END,
         CAST(length(job) || ':' || job || key AS BLOB), now, max(due, now), max(due, now) + expires_ms, 'sql'
  FROM (
    SELECT *, CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) AS now,
           coalesce(CAST(round((julianday(NEW.run_at) - 2440587.5) * 86400000) AS INTEGER), 0) AS due,
           coalesce(NEW.unique_key, (
             SELECT CASE WHEN count(*) = count(text) THEN group_concat(text, '') END
             FROM (
               SELECT CASE part.type WHEN 'text' THEN part.value ELSE (
                 WITH RECURSIVE walk (n, type, value) AS (
                   SELECT 0, type, value FROM json_each('[' || NEW.payload || ']') UNION ALL
                   SELECT n + 1, inner.type, inner.value
                   FROM walk, json_each(CASE WHEN walk.type IN ('object', 'array') THEN walk.value END) AS inner
                   WHERE CAST(inner.key AS TEXT) = json_extract(part.value, '$[' || n || ']'))
                 SELECT CASE type WHEN 'true' THEN type WHEN 'false' THEN type WHEN 'text' THEN value
                                  WHEN 'integer' THEN value END
                 FROM walk WHERE n = json_array_length(part.value)) END AS text
               FROM json_each(definitions.unique_key) AS part ORDER BY part.key))) AS key
    FROM definitions
    WHERE job = NEW.job AND (queue = NEW.queue OR NEW.queue IS NULL AND own = 1));
  SELECT RAISE(ABORT, 'the unique key cannot be made of this payload here: give unique_key')
  FROM jobs JOIN definitions USING (job, queue)
  WHERE id = last_insert_rowid() AND unique_hash IS NULL AND on_conflict IS NOT NULL;
  SELECT RAISE(ABORT, 'the unique key is too long for SQL: more than 250 bytes with the name of the job')
  FROM jobs WHERE id = last_insert_rowid() AND length(unique_hash) > 255;
  UPDATE jobs SET unique_hold = NULL
  WHERE unique_hold = (SELECT unique_hash FROM jobs WHERE id = last_insert_rowid()) AND unique_until < 'a'
    AND CAST(unique_until AS INTEGER) <= (SELECT created_at FROM jobs WHERE id = last_insert_rowid());
  UPDATE jobs SET unique_hold = unique_hash
  WHERE id = last_insert_rowid() AND unique_hash IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM jobs AS holder WHERE holder.unique_hold = jobs.unique_hash);
  SELECT RAISE(ABORT, 'the unique key is held by another job')
  FROM jobs JOIN definitions USING (job, queue)
  WHERE id = last_insert_rowid() AND unique_hash IS NOT unique_hold AND on_conflict = 'error';
  DELETE FROM jobs WHERE id = last_insert_rowid() AND unique_hash IS NOT unique_hold;
  INSERT INTO events (at, type, job_id, job, to_status)
  SELECT created_at, 'job.enqueued', id, job, status FROM jobs WHERE id = last_insert_rowid();
END;

-- Unique keys are compared as they are, where they are short (core/unique.py).
UPDATE jobs SET unique_hash = form, unique_hold = CASE WHEN unique_hold IS NOT NULL THEN form END
FROM (SELECT id AS its, CAST(length(name) || ':' || name || unique_key AS BLOB) AS form
      FROM (SELECT id, CASE WHEN adhoc THEN '' ELSE job END AS name, unique_key FROM jobs WHERE unique_hash IS NOT NULL))
WHERE id = its AND length(form) <= 255;

-- What waits for a time. The status is in it for counting: without it each row is looked up.
DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (run_at, status) WHERE status IN ('scheduled', 'retrying');

-- Every index of SQLite ends with the id: named once more, it stood there twice.
DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (queue, lane, priority DESC, run_at) WHERE status = 'pending';
DROP INDEX jobs_by_name;
CREATE INDEX jobs_by_name ON jobs (job);
DROP INDEX jobs_ended;
CREATE INDEX jobs_ended ON jobs (status) WHERE finished_at IS NOT NULL;
