-- The shape of the database. A new one is made from this; an older one comes here by ../migrations, and a test holds
-- that both ways end in exactly the same. Times are milliseconds since 1970-01-01T00:00:00Z, sizes bytes.

-- CHECK with chains of OR, not IN: for a list of more than two SQLite builds a small index, for each row anew, and that
-- was a quarter of what a row costs.
CREATE TABLE jobs (
  -- AUTOINCREMENT: an id never returns, even after the newest job is deleted.
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  job TEXT NOT NULL CHECK (job <> ''),
  kind TEXT NOT NULL CHECK (kind = 'command' OR kind = 'shell' OR kind = 'python' OR kind = 'http'
                            OR kind = 'flow'),
  adhoc INTEGER NOT NULL DEFAULT 0 CHECK (adhoc IN (0, 1)),
  status TEXT NOT NULL CHECK (status = 'scheduled' OR status = 'pending' OR status = 'blocked'
                              OR status = 'running' OR status = 'retrying' OR status = 'completed'
                              OR status = 'failed' OR status = 'cancelled' OR status = 'skipped'),
  queue TEXT NOT NULL DEFAULT 'default',
  -- Jobs of one lane wait for the same limit: the definition, or '' for ad-hoc jobs. Claiming looks at the head
  -- of each (queue, lane), so a backlog behind one limit costs the others nothing.
  lane TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -1000 AND 1000),
  tags TEXT,
  payload TEXT,
  options TEXT,
  -- attempts: spent, given back by snooze and release. attempt: number of the latest, only ever counted up.
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  max_attempts INTEGER NOT NULL DEFAULT 3 CHECK (max_attempts >= 1),
  attempt INTEGER NOT NULL DEFAULT 0,
  original_attempts INTEGER,      -- max_attempts before the first `kiribi retry`, which grants more
  snoozes INTEGER NOT NULL DEFAULT 0,
  interruptions INTEGER NOT NULL DEFAULT 0,
  unique_key TEXT,
  unique_until TEXT,              -- 'pending', 'unfinished', or the time (ms, as text) at which the hold ends
  unique_hash BLOB,
  -- The hold itself: the hash while this job is in the way of others, else NULL.
  unique_hold BLOB,
  created_at INTEGER NOT NULL,
  run_at INTEGER NOT NULL,
  first_started_at INTEGER,
  wait_ms INTEGER,                -- first start - due; run_at moves on with every retry
  started_at INTEGER,
  finished_at INTEGER,
  expires_at INTEGER,
  cancel_requested_at INTEGER,
  cancel_requested_by TEXT,
  cancel_signal TEXT,             -- what `cancel --signal` or `--now` asked for, else NULL
  duration_ms INTEGER,
  total_ms INTEGER NOT NULL DEFAULT 0,
  exit_code INTEGER,
  signal TEXT,
  error_kind TEXT,
  error_message TEXT,
  error_fingerprint TEXT,
  reason TEXT,                    -- stable code of `kiribi why` for how it ended
  progress TEXT,
  result TEXT,
  schedule TEXT,
  scheduled_for INTEGER,
  flow INTEGER,
  step TEXT,
  parent INTEGER,
  origin_kind TEXT NOT NULL DEFAULT 'cli',
  origin_by TEXT NOT NULL DEFAULT '',
  worker TEXT,                    -- name of the latest worker
  worker_id INTEGER,              -- set while running: whose claim it is
  attempt_id INTEGER,             -- set while running: the claim token
  CHECK ((finished_at IS NOT NULL) = (status = 'completed' OR status = 'failed'
                                      OR status = 'cancelled' OR status = 'skipped')),
  CHECK ((attempt_id IS NOT NULL) = (status = 'running')),
  CHECK ((worker_id IS NOT NULL) = (status = 'running')),
  CHECK (unique_hold IS NULL OR unique_hold = unique_hash)
) STRICT;

-- Each index ends with the id, as every index of SQLite does.
-- What can be claimed, in claiming order within each (queue, lane).
CREATE INDEX jobs_ready ON jobs (queue, lane, priority DESC, run_at) WHERE status = 'pending';
-- What waits for a time. The status is in it for counting: without it each row is looked up.
CREATE INDEX jobs_due ON jobs (run_at, status) WHERE status IN ('scheduled', 'retrying');
CREATE INDEX jobs_running ON jobs (worker_id) WHERE status = 'running';
CREATE INDEX jobs_blocked ON jobs (id) WHERE status = 'blocked';
CREATE INDEX jobs_expiring ON jobs (expires_at)
  WHERE expires_at IS NOT NULL AND first_started_at IS NULL AND finished_at IS NULL;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_hold) WHERE unique_hold IS NOT NULL;
-- `ls --job`, `@last:NAME`, keep_last.
CREATE INDEX jobs_by_name ON jobs (job);
-- `ls --status failed` over any length of history.
CREATE INDEX jobs_ended ON jobs (status) WHERE finished_at IS NOT NULL;

-- event_seq: where its events stand if they share a row with those of others (events.type job.ran), else NULL.
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,   -- the claim token: never reused
  job_id INTEGER NOT NULL,
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  outcome TEXT NOT NULL DEFAULT 'running' CHECK (outcome = 'running' OR outcome = 'completed'
                                        OR outcome = 'failed' OR outcome = 'snoozed'
                                        OR outcome = 'timed_out' OR outcome = 'never_started'
                                        OR outcome = 'worker_lost' OR outcome = 'interrupted'
                                        OR outcome = 'cancelled'),
  decision TEXT CHECK (decision = 'complete' OR decision = 'retry' OR decision = 'snooze'
                       OR decision = 'release' OR decision = 'fail' OR decision = 'cancel'),
  exit_code INTEGER,
  signal TEXT,
  http_status INTEGER,
  error_kind TEXT,
  error_message TEXT,
  error_fingerprint TEXT,
  started_at INTEGER NOT NULL,
  finished_at INTEGER,
  duration_ms INTEGER,
  cpu_user_ms INTEGER,
  cpu_system_ms INTEGER,
  max_rss_bytes INTEGER,
  command TEXT,
  cwd TEXT,
  worker TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER,
  -- Which process that is, for ever: JSON [boot id, pid namespace, start time in ticks]. A bare pid is never trusted.
  process TEXT,
  log_bytes INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER, event_seq INTEGER,
  CHECK ((outcome = 'running') = (finished_at IS NULL)),
  CHECK ((outcome = 'running') = (decision IS NULL))
) STRICT;

CREATE INDEX attempts_by_job ON attempts (job_id);

-- Tokens are taken from here when jobs are claimed; the row of an attempt is written when it begins.
INSERT INTO sqlite_sequence (name, seq) VALUES ('attempts', 0);

-- Attempts that began and completed between two turns of a worker share a row, too (job.ran, two events for each):
-- seq is the last of them, details list [job_id, attempt, started_at, finished_at].
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  type TEXT NOT NULL,
  -- A batch of `span` jobs enqueued in one transaction is one row: seq and job_id are the last of the run.
  span INTEGER NOT NULL DEFAULT 1,
  job_id INTEGER,
  job TEXT,
  from_status TEXT,
  to_status TEXT,
  attempt INTEGER,
  final INTEGER,
  exit_code INTEGER,
  "by" TEXT,
  reason TEXT,
  details TEXT
) STRICT;

-- The enqueueing of a job stands in its own row, so only later moves need to be found by job.
CREATE INDEX events_by_job ON events (job_id) WHERE type <> 'job.enqueued' AND job_id IS NOT NULL;

CREATE TABLE workers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  process TEXT,                   -- as in attempts
  version TEXT NOT NULL,
  kind TEXT NOT NULL DEFAULT 'worker' CHECK (kind IN ('worker', 'run')),   -- run: a `kiribi run` in the foreground
  state TEXT NOT NULL CHECK (state = 'running' OR state = 'draining' OR state = 'stopping'
                             OR state = 'stopped' OR state = 'lost'),
  stop_requested TEXT CHECK (stop_requested IN ('drain', 'now')),
  started_at INTEGER NOT NULL,
  heartbeat_at INTEGER NOT NULL,
  stopped_at INTEGER,
  slots INTEGER NOT NULL,
  queues TEXT,                    -- JSON object name -> slots or null; NULL: all
  scheduler INTEGER NOT NULL DEFAULT 0,
  low_disk INTEGER NOT NULL DEFAULT 0,   -- claims nothing: less than min_free
  config_path TEXT,
  config_error TEXT,
  CHECK ((stopped_at IS NOT NULL) = (state IN ('stopped', 'lost')))
) STRICT;

CREATE INDEX workers_alive ON workers (id) WHERE stopped_at IS NULL;

-- Statistics of their own, written when an attempt is settled: right after a sweep, and as cheap with ten million jobs.
-- dimension 'job': key = name, one row per queue; 'tag': key = tag; 'error': key = fingerprint, label = message.
CREATE TABLE stats (
  dimension TEXT NOT NULL,
  key TEXT NOT NULL,
  queue TEXT NOT NULL,
  hour INTEGER NOT NULL,          -- milliseconds of its beginning
  label TEXT,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  skipped INTEGER NOT NULL DEFAULT 0,
  retried INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  duration_ms_sum INTEGER NOT NULL DEFAULT 0,
  duration_ms_max INTEGER NOT NULL DEFAULT 0,
  wait_ms_sum INTEGER NOT NULL DEFAULT 0,
  wait_ms_max INTEGER NOT NULL DEFAULT 0,
  cpu_ms_sum INTEGER NOT NULL DEFAULT 0,
  max_rss_bytes INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (hour, dimension, key, queue)
) STRICT, WITHOUT ROWID;

-- Histograms: bucket n holds values in [1.2^n, 1.2^(n+1)) ms (core/histogram.py), so percentiles are within 10 %.
CREATE TABLE histograms (
  dimension TEXT NOT NULL,
  key TEXT NOT NULL,
  queue TEXT NOT NULL,
  hour INTEGER NOT NULL,
  measure TEXT NOT NULL CHECK (measure IN ('duration', 'wait')),
  bucket INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (hour, dimension, key, queue, measure, bucket)
) STRICT, WITHOUT ROWID;

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


-- For people and programs (cli.md, 13): only ever extended. SQLite 3.40 must be able to read them.
CREATE VIEW v_jobs AS SELECT
  id, job, kind, adhoc,
  -- Due counts as pending, whether or not a worker has looked.
  CASE WHEN status IN ('scheduled', 'retrying')
        AND run_at <= CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)
       THEN 'pending' ELSE status END AS status,
  queue, priority, coalesce(tags, '[]') AS tags, attempts, max_attempts, snoozes, unique_key, NULL AS mutex,
  strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1000.0, 'unixepoch') AS created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', run_at / 1000.0, 'unixepoch') AS run_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1000.0, 'unixepoch') AS finished_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', expires_at / 1000.0, 'unixepoch') AS expires_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', cancel_requested_at / 1000.0, 'unixepoch') AS cancel_requested_at,
  wait_ms, duration_ms, total_ms, exit_code, signal,
  CASE WHEN error_kind IS NOT NULL
       THEN json_object('kind', error_kind, 'message', error_message, 'fingerprint', error_fingerprint) END AS error,
  progress, schedule,
  strftime('%Y-%m-%dT%H:%M:%fZ', scheduled_for / 1000.0, 'unixepoch') AS scheduled_for,
  flow, step, '[]' AS "after", parent, json_object('kind', origin_kind, 'by', origin_by) AS origin, worker,
  payload, result
FROM jobs;

CREATE VIEW v_attempts AS SELECT
  id, job_id, attempt, outcome, decision, exit_code, signal, http_status,
  CASE WHEN error_kind IS NOT NULL
       THEN json_object('kind', error_kind, 'message', error_message, 'fingerprint', error_fingerprint) END AS error,
  strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1000.0, 'unixepoch') AS finished_at,
  duration_ms, cpu_user_ms, cpu_system_ms, max_rss_bytes, command, cwd, worker, host, pid, log_bytes,
  strftime('%Y-%m-%dT%H:%M:%fZ', next_attempt_at / 1000.0, 'unixepoch') AS next_attempt_at
FROM attempts;

CREATE VIEW v_stats AS SELECT
  key AS job, queue, strftime('%Y-%m-%dT%H:%M:%fZ', hour / 1000.0, 'unixepoch') AS hour,
  completed, failed, cancelled, skipped, retried, attempts, duration_ms_sum, duration_ms_max, wait_ms_sum, wait_ms_max
FROM stats WHERE dimension = 'job';

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
