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
