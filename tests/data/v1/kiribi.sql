-- A database of schema version 1: what the kiribi of that time left behind, its worker killed. Data, never edited.
PRAGMA auto_vacuum=INCREMENTAL;
PRAGMA application_id=1802072681;
PRAGMA user_version=1;
BEGIN TRANSACTION;
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
  next_attempt_at INTEGER,
  CHECK ((outcome = 'running') = (finished_at IS NULL)),
  CHECK ((outcome = 'running') = (decision IS NULL))
) STRICT;
INSERT INTO "attempts" VALUES(1,2,1,'completed','complete',0,NULL,NULL,NULL,NULL,NULL,1740996084004,1740996084005,1,1,0,9838592,'["echo", "hello", "Grace \"Amazing\" Hopper"]','/srv/app','web1:19537','web1',19546,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',29,NULL);
INSERT INTO "attempts" VALUES(2,10,1,'completed','complete',0,NULL,NULL,NULL,NULL,NULL,1740996084008,1740996084009,1,1,0,9838592,'["true"]','/srv/app','web1:19537','web1',19547,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',0,NULL);
INSERT INTO "attempts" VALUES(3,1,1,'completed','complete',0,NULL,NULL,NULL,NULL,NULL,1740996084010,1740996084013,3,1,0,9838592,'["echo", "hello", "Ada"]','/srv/app','web1:19537','web1',19548,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',10,NULL);
INSERT INTO "attempts" VALUES(4,3,1,'completed','complete',0,NULL,NULL,NULL,NULL,NULL,1740996084012,1740996084013,1,1,0,9838592,'["sh", "-c", "echo 13 > $KIRIBI_RESULT_FILE; echo 0.5 halfway > $KIRIBI_PROGRESS_FILE"]','/srv/app','web1:19537','web1',19549,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',0,NULL);
INSERT INTO "attempts" VALUES(5,4,1,'failed','retry',3,NULL,NULL,'exit','exit 3','7fb89203',1740996084013,1740996084015,2,1,0,9838592,'["/bin/sh", "-eu", "-c", "echo \"exit $KIRIBI_ARG_CODE\" >&2; exit \"$KIRIBI_ARG_CODE\""]','/srv/app','web1:19537','web1',19550,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',7,1740996084027);
INSERT INTO "attempts" VALUES(6,5,1,'failed','fail',64,NULL,NULL,'exit','exit 64','7fb89203',1740996084016,1740996084017,1,1,0,9838592,'["/bin/sh", "-eu", "-c", "echo \"exit $KIRIBI_ARG_CODE\" >&2; exit \"$KIRIBI_ARG_CODE\""]','/srv/app','web1:19537','web1',19551,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',8,NULL);
INSERT INTO "attempts" VALUES(7,6,1,'failed','fail',NULL,'SIGKILL',NULL,'signal','signal 9 (KILL)','4f922143',1740996084017,1740996084019,2,1,0,9838592,'["/bin/sh", "-eu", "-c", "kill -9 $$"]','/srv/app','web1:19537','web1',19552,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',0,NULL);
INSERT INTO "attempts" VALUES(8,7,1,'timed_out','fail',NULL,NULL,NULL,'timed_out','timed out after 0.1s','6fb4fb3b',1740996084019,1740996084121,102,1,0,9969664,'["sleep", "30"]','/srv/app','web1:19537','web1',19553,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2415776]',0,NULL);
INSERT INTO "attempts" VALUES(9,8,1,'never_started','fail',NULL,NULL,NULL,'never_started','./there-is-no-such-program does not exist','829810fd',1740996084018,1740996084018,0,0,0,0,NULL,NULL,'web1:19537','web1',NULL,NULL,0,NULL);
INSERT INTO "attempts" VALUES(10,9,1,'failed','retry',75,NULL,NULL,'exit','exit 75','7fb89203',1740996084128,1740996084129,1,1,0,9969664,'["/bin/sh", "-eu", "-c", "echo later; exit 75"]','/srv/app','web1:19537','web1',19555,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',6,1740996094909);
INSERT INTO "attempts" VALUES(11,11,1,'completed','complete',0,NULL,NULL,NULL,NULL,NULL,1740996084129,1740996084134,5,1,0,9969664,'["printf", "two\\nlines\\n"]','/srv/app','web1:19537','web1',19556,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',10,NULL);
INSERT INTO "attempts" VALUES(12,4,2,'failed','fail',3,NULL,NULL,'exit','exit 3','7fb89203',1740996084142,1740996084147,5,0,1,9969664,'["/bin/sh", "-eu", "-c", "echo \"exit $KIRIBI_ARG_CODE\" >&2; exit \"$KIRIBI_ARG_CODE\""]','/srv/app','web1:19537','web1',19558,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',7,NULL);
INSERT INTO "attempts" VALUES(13,12,1,'failed','fail',1,NULL,NULL,'exit','err','63f3d84f',1740996084149,1740996084150,1,1,0,9969664,'["sh", "-c", "echo out; echo err >&2; exit 1"]','/srv/app','web1:19537','web1',19559,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',8,NULL);
INSERT INTO "attempts" VALUES(14,4,3,'failed','retry',3,NULL,NULL,'exit','exit 3','7fb89203',1740996085353,1740996085364,11,1,0,9969664,'["/bin/sh", "-eu", "-c", "echo \"exit $KIRIBI_ARG_CODE\" >&2; exit \"$KIRIBI_ARG_CODE\""]','/srv/app','web1:19586','web1',19597,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',7,1740996085374);
INSERT INTO "attempts" VALUES(15,4,4,'failed','fail',3,NULL,NULL,'exit','exit 3','7fb89203',1740996086456,1740996086465,9,1,0,10063872,'["/bin/sh", "-eu", "-c", "echo \"exit $KIRIBI_ARG_CODE\" >&2; exit \"$KIRIBI_ARG_CODE\""]','/srv/app','web1:19619','web1',19629,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',7,NULL);
INSERT INTO "attempts" VALUES(16,15,1,'failed','retry',1,NULL,NULL,'exit','no','9cb2aa31',1740996086470,1740996086476,6,1,0,10063872,'["/bin/sh", "-eu", "-c", "echo no >&2; exit 1"]','/srv/app','web1:19619','web1',19630,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',3,2000196086480);
INSERT INTO "attempts" VALUES(17,16,1,'running',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1740996087193,NULL,NULL,NULL,NULL,NULL,'["sleep", "60"]','/srv/app','web1:19643','web1',19656,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2416093]',0,NULL);
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
INSERT INTO "events" VALUES(1,1740996080380,'job.enqueued',1,1,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(2,1740996080607,'job.enqueued',1,2,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(3,1740996080821,'job.enqueued',1,3,'Sum',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(4,1740996081037,'job.enqueued',1,4,'Fails',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(5,1740996081442,'job.enqueued',1,5,'Fails',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(6,1740996081875,'job.enqueued',1,6,'Killed',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(7,1740996082274,'job.enqueued',1,7,'TooLong',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(8,1740996082583,'job.enqueued',1,8,'NoProgram',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(9,1740996082874,'job.enqueued',1,9,'Busy',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(10,1740996083109,'job.enqueued',1,10,'Import',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(11,1740996083345,'job.enqueued',1,11,'printf',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(12,1740996083620,'job.enqueued',1,12,'report',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(13,1740996083977,'worker.started',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(14,1740996084004,'job.started',1,2,'Greet','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(15,1740996084005,'job.completed',1,2,'Greet','running','completed',1,1,0,'web1:19537','completed',NULL);
INSERT INTO "events" VALUES(16,1740996084008,'job.started',1,10,'Import','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(17,1740996084009,'job.completed',1,10,'Import','running','completed',1,1,0,'web1:19537','completed',NULL);
INSERT INTO "events" VALUES(18,1740996084010,'job.started',1,1,'Greet','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(19,1740996084013,'job.completed',1,1,'Greet','running','completed',1,1,0,'web1:19537','completed',NULL);
INSERT INTO "events" VALUES(20,1740996084012,'job.started',1,3,'Sum','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(21,1740996084013,'job.completed',1,3,'Sum','running','completed',1,1,0,'web1:19537','completed',NULL);
INSERT INTO "events" VALUES(22,1740996084013,'job.started',1,4,'Fails','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(23,1740996084015,'job.retrying',1,4,'Fails','running','retrying',1,0,3,'web1:19537','backoff',NULL);
INSERT INTO "events" VALUES(24,1740996084016,'job.started',1,5,'Fails','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(25,1740996084017,'job.failed',1,5,'Fails','running','failed',1,1,64,'web1:19537','final_code',NULL);
INSERT INTO "events" VALUES(26,1740996084018,'job.failed',1,8,'NoProgram','running','failed',1,1,NULL,'web1:19537','never_started',NULL);
INSERT INTO "events" VALUES(27,1740996084017,'job.started',1,6,'Killed','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(28,1740996084019,'job.failed',1,6,'Killed','running','failed',1,1,NULL,'web1:19537','attempts_used',NULL);
INSERT INTO "events" VALUES(29,1740996084019,'job.started',1,7,'TooLong','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(30,1740996084121,'job.failed',1,7,'TooLong','running','failed',1,1,NULL,'web1:19537','attempts_used',NULL);
INSERT INTO "events" VALUES(31,1740996084128,'job.started',1,9,'Busy','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(32,1740996084129,'job.retrying',1,9,'Busy','running','retrying',1,0,75,'web1:19537','backoff',NULL);
INSERT INTO "events" VALUES(33,1740996084129,'job.started',1,11,'printf','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(34,1740996084134,'job.completed',1,11,'printf','running','completed',1,1,0,'web1:19537','completed',NULL);
INSERT INTO "events" VALUES(35,1740996084142,'job.started',1,4,'Fails','pending','running',2,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(36,1740996084147,'job.failed',1,4,'Fails','running','failed',2,1,3,'web1:19537','attempts_used',NULL);
INSERT INTO "events" VALUES(37,1740996084149,'job.started',1,12,'report','pending','running',1,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(38,1740996084150,'job.failed',1,12,'report','running','failed',1,1,1,'web1:19537','attempts_used',NULL);
INSERT INTO "events" VALUES(39,1740996084150,'worker.stopped',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:19537',NULL,NULL);
INSERT INTO "events" VALUES(40,1740996084380,'job.enqueued',1,13,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(41,1740996084730,'job.cancelled',1,13,'Greet','pending','cancelled',NULL,1,NULL,'root@web1','cancelled',NULL);
INSERT INTO "events" VALUES(42,1740996085017,'job.retrying',1,4,'Fails','failed','pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(43,1740996085333,'worker.started',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:19586',NULL,NULL);
INSERT INTO "events" VALUES(44,1740996085353,'job.started',1,4,'Fails','pending','running',3,NULL,NULL,'web1:19586',NULL,NULL);
INSERT INTO "events" VALUES(45,1740996085364,'job.retrying',1,4,'Fails','running','retrying',3,0,3,'web1:19586','backoff',NULL);
INSERT INTO "events" VALUES(46,1740996085369,'worker.stopped',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:19586',NULL,NULL);
INSERT INTO "events" VALUES(47,1740996085629,'job.enqueued',1,14,'Greet',NULL,'scheduled',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(48,1740996085932,'job.enqueued',1,15,'Retries',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(49,1740996086419,'worker.started',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:19619',NULL,NULL);
INSERT INTO "events" VALUES(50,1740996086456,'job.started',1,4,'Fails','pending','running',4,NULL,NULL,'web1:19619',NULL,NULL);
INSERT INTO "events" VALUES(51,1740996086465,'job.failed',1,4,'Fails','running','failed',4,1,3,'web1:19619','attempts_used',NULL);
INSERT INTO "events" VALUES(52,1740996086470,'job.started',1,15,'Retries','pending','running',1,NULL,NULL,'web1:19619',NULL,NULL);
INSERT INTO "events" VALUES(53,1740996086476,'job.retrying',1,15,'Retries','running','retrying',1,0,1,'web1:19619','backoff',NULL);
INSERT INTO "events" VALUES(54,1740996086481,'worker.stopped',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:19619',NULL,NULL);
INSERT INTO "events" VALUES(55,1740996086841,'job.enqueued',1,16,'Slow',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(56,1740996087179,'worker.started',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:19643',NULL,NULL);
INSERT INTO "events" VALUES(57,1740996087193,'job.started',1,16,'Slow','pending','running',1,NULL,NULL,'web1:19643',NULL,NULL);
INSERT INTO "events" VALUES(58,1740996091749,'job.enqueued',1,17,'Import',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(59,1740996092196,'job.enqueued',1,18,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(60,1740996096198,'job.enqueued',1,19,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(63,1740996100115,'job.enqueued',3,22,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(64,1740996101558,'job.enqueued',1,23,'true',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
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
INSERT INTO "histograms" VALUES('job','Busy','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('job','Busy','default',1740996000000,'wait',39,1);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'duration',3,1);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'duration',8,1);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'duration',12,1);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'duration',13,1);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'wait',43,2);
INSERT INTO "histograms" VALUES('job','Greet','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('job','Greet','default',1740996000000,'duration',6,1);
INSERT INTO "histograms" VALUES('job','Greet','default',1740996000000,'wait',44,2);
INSERT INTO "histograms" VALUES('job','Import','mail',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('job','Import','mail',1740996000000,'wait',37,1);
INSERT INTO "histograms" VALUES('job','Killed','default',1740996000000,'duration',3,1);
INSERT INTO "histograms" VALUES('job','Killed','default',1740996000000,'wait',42,1);
INSERT INTO "histograms" VALUES('job','Retries','default',1740996000000,'duration',9,1);
INSERT INTO "histograms" VALUES('job','Retries','default',1740996000000,'wait',34,1);
INSERT INTO "histograms" VALUES('job','Sum','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('job','Sum','default',1740996000000,'wait',44,1);
INSERT INTO "histograms" VALUES('job','TooLong','default',1740996000000,'duration',25,1);
INSERT INTO "histograms" VALUES('job','TooLong','default',1740996000000,'wait',40,1);
INSERT INTO "histograms" VALUES('job','printf','default',1740996000000,'duration',8,1);
INSERT INTO "histograms" VALUES('job','printf','default',1740996000000,'wait',36,1);
INSERT INTO "histograms" VALUES('job','report','mail',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('job','report','mail',1740996000000,'wait',34,1);
INSERT INTO "histograms" VALUES('tag','demo','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('tag','demo','default',1740996000000,'duration',6,1);
INSERT INTO "histograms" VALUES('tag','demo','default',1740996000000,'wait',44,2);
INSERT INTO "histograms" VALUES('tag','navy','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('tag','navy','default',1740996000000,'wait',44,1);
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
INSERT INTO "jobs" VALUES(1,'Greet','command',0,'completed','default','Greet',0,'["demo"]','{"name":"Ada"}',NULL,1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996080380,1740996080380,1740996084010,3630,1740996084010,1740996084013,2000196080380,NULL,NULL,NULL,3,3,0,NULL,NULL,NULL,NULL,'completed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(2,'Greet','command',0,'completed','default','Greet',5,'["demo","navy"]','{"name": "Grace \"Amazing\" Hopper"}',NULL,1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996080607,1740996080607,1740996084004,3397,1740996084004,1740996084005,2000196080607,NULL,NULL,NULL,1,1,0,NULL,NULL,NULL,NULL,'completed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(3,'Sum','command',0,'completed','default','Sum',0,NULL,'[6, 7]',NULL,1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996080821,1740996080821,1740996084012,3191,1740996084012,1740996084013,NULL,NULL,NULL,NULL,1,1,0,NULL,NULL,NULL,NULL,'completed',NULL,'13',NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(4,'Fails','shell',0,'failed','default','Fails',0,NULL,'{"code":3}','{"backoff":{"kind":"fixed","base_ms":10,"jitter":0.0}}',4,4,4,2,0,0,NULL,NULL,NULL,NULL,1740996081037,1740996085374,1740996084013,2976,1740996086456,1740996086465,NULL,NULL,NULL,NULL,9,27,3,NULL,'exit','exit 3','7fb89203','attempts_used',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19619',NULL,NULL);
INSERT INTO "jobs" VALUES(5,'Fails','shell',0,'failed','default','Fails',0,NULL,'{"code":64}','{"backoff":{"kind":"fixed","base_ms":10,"jitter":0.0}}',1,2,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996081442,1740996081442,1740996084016,2574,1740996084016,1740996084017,NULL,NULL,NULL,NULL,1,1,64,NULL,'exit','exit 64','7fb89203','final_code',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(6,'Killed','shell',0,'failed','default','Killed',0,NULL,NULL,NULL,1,1,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996081875,1740996081875,1740996084017,2142,1740996084017,1740996084019,NULL,NULL,NULL,NULL,2,2,NULL,'SIGKILL','signal','signal 9 (KILL)','4f922143','attempts_used',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(7,'TooLong','command',0,'failed','default','TooLong',0,NULL,NULL,'{"timeout_ms":100}',1,1,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996082274,1740996082274,1740996084019,1745,1740996084019,1740996084121,NULL,NULL,NULL,NULL,102,102,NULL,NULL,'timed_out','timed out after 0.1s','6fb4fb3b','attempts_used',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(8,'NoProgram','command',0,'failed','default','NoProgram',0,NULL,NULL,NULL,1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996082583,1740996082583,NULL,NULL,NULL,1740996084018,NULL,NULL,NULL,NULL,0,0,NULL,NULL,'never_started','./there-is-no-such-program does not exist','829810fd','never_started',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(9,'Busy','shell',0,'retrying','default','Busy',0,NULL,NULL,NULL,1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996082874,1740996094909,1740996084128,1254,1740996084128,NULL,NULL,NULL,NULL,NULL,1,1,75,NULL,'exit','exit 75','7fb89203','backoff',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(10,'Import','command',0,'completed','mail','Import',1,NULL,'{"customer":7}',NULL,1,3,1,NULL,0,0,'7','unfinished',X'29A949760B218D6122BFFADD3AB26A99',NULL,1740996083109,1740996083109,1740996084008,899,1740996084008,1740996084009,NULL,NULL,NULL,NULL,1,1,0,NULL,NULL,NULL,NULL,'completed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(11,'printf','command',1,'completed','default','',0,NULL,NULL,'{"command":["printf","two\\nlines\\n"],"cwd":"/srv/app"}',1,1,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996083345,1740996083345,1740996084129,784,1740996084129,1740996084134,NULL,NULL,NULL,NULL,5,5,0,NULL,NULL,NULL,NULL,'completed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(12,'report','command',1,'failed','mail','',-3,NULL,NULL,'{"command":["sh","-c","echo out; echo err >&2; exit 1"],"cwd":"/srv/app"}',1,1,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996083620,1740996083620,1740996084149,529,1740996084149,1740996084150,NULL,NULL,NULL,NULL,1,1,1,NULL,'exit','err','63f3d84f','attempts_used',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19537',NULL,NULL);
INSERT INTO "jobs" VALUES(13,'Greet','command',0,'cancelled','default','Greet',0,'["demo"]','{"name":"Nobody"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996084380,1740996084380,NULL,NULL,NULL,1740996084730,2000196084380,NULL,NULL,NULL,NULL,0,NULL,NULL,'cancelled','cancelled by root@web1','','cancelled',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(14,'Greet','command',0,'scheduled','default','Greet',0,'["demo"]','{"name":"Later"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996085629,4070908800000,NULL,NULL,NULL,NULL,4330108800000,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(15,'Retries','shell',0,'retrying','default','Retries',0,NULL,NULL,'{"backoff":{"kind":"fixed","base_ms":259200000000,"jitter":0.0}}',1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996085932,2000196086480,1740996086470,538,1740996086470,NULL,NULL,NULL,NULL,NULL,6,6,1,NULL,'exit','no','9cb2aa31','backoff',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19619',NULL,NULL);
INSERT INTO "jobs" VALUES(16,'Slow','command',0,'running','default','Slow',0,NULL,NULL,NULL,1,2,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996086841,1740996086841,1740996087193,352,1740996087193,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:19643',4,17);
INSERT INTO "jobs" VALUES(17,'Import','command',0,'pending','mail','Import',1,NULL,'{"customer":8}',NULL,0,3,0,NULL,0,0,'8','unfinished',X'5012829DC56DF14681063DAEFE0762AA',X'5012829DC56DF14681063DAEFE0762AA',1740996091749,1740996091749,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(18,'Greet','command',0,'pending','default','Greet',10,'["demo"]','{"name":"Waiting"}',NULL,0,3,0,NULL,0,0,'greeting','unfinished',X'0BD4E056E51BBA1B334ABC48D0C970CD',X'0BD4E056E51BBA1B334ABC48D0C970CD',1740996092196,1740996092196,NULL,NULL,NULL,NULL,2000196092196,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(19,'Greet','command',0,'pending','default','Greet',0,'["demo"]','{"name":"Expires"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996096198,1740996096198,NULL,NULL,NULL,NULL,2000196096198,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(20,'Greet','command',0,'pending','default','Greet',0,'["demo"]','{"name": "user 1"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996100115,1740996100115,NULL,NULL,NULL,NULL,2000196100115,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'batch','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(21,'Greet','command',0,'pending','default','Greet',0,'["demo"]','{"name": "user 2"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996100115,1740996100115,NULL,NULL,NULL,NULL,2000196100115,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'batch','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(22,'Greet','command',0,'pending','default','Greet',0,'["demo"]','{"name": "user 3"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996100115,1740996100115,NULL,NULL,NULL,NULL,2000196100115,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'batch','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(23,'true','command',1,'pending','default','',0,NULL,NULL,'{"command":["true"],"cwd":"/srv/app"}',0,1,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996101558,1740996101558,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
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
INSERT INTO "stats" VALUES('error','4f922143','default',1740996000000,'signal 9 (KILL)',0,1,0,0,0,1,2,2,2142,2142,1,9838592);
INSERT INTO "stats" VALUES('error','63f3d84f','mail',1740996000000,'err',0,1,0,0,0,1,1,1,529,529,1,9969664);
INSERT INTO "stats" VALUES('error','6fb4fb3b','default',1740996000000,'timed out after 0.1s',0,1,0,0,0,1,102,102,1745,1745,1,9969664);
INSERT INTO "stats" VALUES('error','7fb89203','default',1740996000000,'exit 3',0,3,0,0,3,6,29,11,6804,2976,6,10063872);
INSERT INTO "stats" VALUES('error','829810fd','default',1740996000000,'./there-is-no-such-program does not exist',0,1,0,0,0,1,0,0,0,0,0,0);
INSERT INTO "stats" VALUES('error','9cb2aa31','default',1740996000000,'no',0,0,0,0,1,1,6,6,538,538,1,10063872);
INSERT INTO "stats" VALUES('job','Busy','default',1740996000000,NULL,0,0,0,0,1,1,1,1,1254,1254,1,9969664);
INSERT INTO "stats" VALUES('job','Fails','default',1740996000000,NULL,0,3,0,0,2,5,28,11,5550,2976,5,10063872);
INSERT INTO "stats" VALUES('job','Greet','default',1740996000000,NULL,2,0,1,0,0,2,4,3,7027,3630,2,9838592);
INSERT INTO "stats" VALUES('job','Import','mail',1740996000000,NULL,1,0,0,0,0,1,1,1,899,899,1,9838592);
INSERT INTO "stats" VALUES('job','Killed','default',1740996000000,NULL,0,1,0,0,0,1,2,2,2142,2142,1,9838592);
INSERT INTO "stats" VALUES('job','NoProgram','default',1740996000000,NULL,0,1,0,0,0,1,0,0,0,0,0,0);
INSERT INTO "stats" VALUES('job','Retries','default',1740996000000,NULL,0,0,0,0,1,1,6,6,538,538,1,10063872);
INSERT INTO "stats" VALUES('job','Sum','default',1740996000000,NULL,1,0,0,0,0,1,1,1,3191,3191,1,9838592);
INSERT INTO "stats" VALUES('job','TooLong','default',1740996000000,NULL,0,1,0,0,0,1,102,102,1745,1745,1,9969664);
INSERT INTO "stats" VALUES('job','printf','default',1740996000000,NULL,1,0,0,0,0,1,5,5,784,784,1,9969664);
INSERT INTO "stats" VALUES('job','report','mail',1740996000000,NULL,0,1,0,0,0,1,1,1,529,529,1,9969664);
INSERT INTO "stats" VALUES('tag','demo','default',1740996000000,NULL,2,0,1,0,0,2,4,3,7027,3630,2,9838592);
INSERT INTO "stats" VALUES('tag','navy','default',1740996000000,NULL,1,0,0,0,0,1,1,1,3397,3397,1,9838592);
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
INSERT INTO "workers" VALUES(1,'web1:19537','web1',19537,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2415744]','0.1.0','worker','stopped',NULL,1740996083977,1740996083984,1740996084150,1,NULL,0,0,'/srv/app/jobs.toml',NULL);
INSERT INTO "workers" VALUES(2,'web1:19586','web1',19586,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2415878]','0.1.0','worker','stopped',NULL,1740996085333,1740996085334,1740996085369,1,NULL,0,0,'/srv/app/jobs.toml',NULL);
INSERT INTO "workers" VALUES(3,'web1:19619','web1',19619,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2415974]','0.1.0','worker','stopped',NULL,1740996086419,1740996086432,1740996086481,1,NULL,0,0,'/srv/app/jobs.toml',NULL);
INSERT INTO "workers" VALUES(4,'web1:19643','web1',19643,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2416070]','0.1.0','worker','running',NULL,1740996087179,1740996087180,NULL,1,NULL,0,0,'/srv/app/jobs.toml',NULL);
CREATE INDEX jobs_ready ON jobs (queue, lane, priority DESC, run_at, id) WHERE status = 'pending';
CREATE INDEX jobs_due ON jobs (run_at) WHERE status IN ('scheduled', 'retrying');
CREATE INDEX jobs_running ON jobs (worker_id) WHERE status = 'running';
CREATE INDEX jobs_blocked ON jobs (id) WHERE status = 'blocked';
CREATE INDEX jobs_expiring ON jobs (expires_at)
  WHERE expires_at IS NOT NULL AND first_started_at IS NULL AND finished_at IS NULL;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_hold) WHERE unique_hold IS NOT NULL;
CREATE INDEX jobs_by_name ON jobs (job, id);
CREATE INDEX jobs_ended ON jobs (status, id) WHERE finished_at IS NOT NULL;
CREATE INDEX attempts_by_job ON attempts (job_id);
CREATE INDEX events_by_job ON events (job_id) WHERE type <> 'job.enqueued' AND job_id IS NOT NULL;
CREATE INDEX workers_alive ON workers (id) WHERE stopped_at IS NULL;
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',23);
INSERT INTO "sqlite_sequence" VALUES('events',64);
INSERT INTO "sqlite_sequence" VALUES('workers',4);
INSERT INTO "sqlite_sequence" VALUES('attempts',17);
COMMIT;
