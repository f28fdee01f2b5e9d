-- A database of schema version 2: what the kiribi of that time left behind, its worker killed. Data, never edited.
PRAGMA auto_vacuum=INCREMENTAL;
PRAGMA application_id=1802072681;
PRAGMA user_version=2;
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
  next_attempt_at INTEGER, event_seq INTEGER,
  CHECK ((outcome = 'running') = (finished_at IS NULL)),
  CHECK ((outcome = 'running') = (decision IS NULL))
) STRICT;
INSERT INTO "attempts" VALUES(1,2,1,'completed','complete',0,NULL,NULL,NULL,NULL,NULL,1740996142128,1740996142129,1,1,0,9940992,'["echo", "hello", "Grace \"Amazing\" Hopper"]','/srv/app','web1:25900','web1',25916,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',29,NULL,15);
INSERT INTO "attempts" VALUES(2,10,1,'completed','complete',0,NULL,NULL,NULL,NULL,NULL,1740996142132,1740996142136,4,1,0,9940992,'["true"]','/srv/app','web1:25900','web1',25918,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',0,NULL,17);
INSERT INTO "attempts" VALUES(3,1,1,'completed','complete',0,NULL,NULL,NULL,NULL,NULL,1740996142136,1740996142137,1,1,0,9940992,'["echo", "hello", "Ada"]','/srv/app','web1:25900','web1',25922,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',10,NULL,19);
INSERT INTO "attempts" VALUES(4,3,1,'completed','complete',0,NULL,NULL,NULL,NULL,NULL,1740996142138,1740996142139,1,1,0,9940992,'["sh", "-c", "echo 13 > $KIRIBI_RESULT_FILE; echo 0.5 halfway > $KIRIBI_PROGRESS_FILE"]','/srv/app','web1:25900','web1',25926,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',0,NULL,21);
INSERT INTO "attempts" VALUES(5,4,1,'failed','retry',3,NULL,NULL,'exit','exit 3','7fb89203',1740996142144,1740996142150,6,1,0,9940992,'["/bin/sh", "-eu", "-c", "echo \"exit $KIRIBI_ARG_CODE\" >&2; exit \"$KIRIBI_ARG_CODE\""]','/srv/app','web1:25900','web1',25927,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',7,1740996142164,NULL);
INSERT INTO "attempts" VALUES(6,5,1,'failed','fail',64,NULL,NULL,'exit','exit 64','7fb89203',1740996142150,1740996142152,2,1,0,9940992,'["/bin/sh", "-eu", "-c", "echo \"exit $KIRIBI_ARG_CODE\" >&2; exit \"$KIRIBI_ARG_CODE\""]','/srv/app','web1:25900','web1',25928,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',8,NULL,NULL);
INSERT INTO "attempts" VALUES(7,6,1,'failed','fail',NULL,'SIGKILL',NULL,'signal','signal 9 (KILL)','4f922143',1740996142159,1740996142160,1,1,0,9940992,'["/bin/sh", "-eu", "-c", "kill -9 $$"]','/srv/app','web1:25900','web1',25929,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',0,NULL,NULL);
INSERT INTO "attempts" VALUES(8,7,1,'timed_out','fail',NULL,NULL,NULL,'timed_out','timed out after 0.1s','6fb4fb3b',1740996142160,1740996142262,102,1,0,9940992,'["sleep", "30"]','/srv/app','web1:25900','web1',25930,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2421602]',0,NULL,NULL);
INSERT INTO "attempts" VALUES(9,8,1,'never_started','fail',NULL,NULL,NULL,'never_started','./there-is-no-such-program does not exist','829810fd',1740996142154,1740996142154,0,0,0,0,NULL,NULL,'web1:25900','web1',NULL,NULL,0,NULL,NULL);
INSERT INTO "attempts" VALUES(10,9,1,'failed','retry',75,NULL,NULL,'exit','exit 75','7fb89203',1740996142265,1740996142267,2,1,0,9940992,'["/bin/sh", "-eu", "-c", "echo later; exit 75"]','/srv/app','web1:25900','web1',25938,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',6,1740996153593,NULL);
INSERT INTO "attempts" VALUES(11,11,1,'completed','complete',0,NULL,NULL,NULL,NULL,NULL,1740996142267,1740996142268,1,1,0,9940992,'["printf", "two\\nlines\\n"]','/srv/app','web1:25900','web1',25939,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',10,NULL,30);
INSERT INTO "attempts" VALUES(12,4,2,'failed','fail',3,NULL,NULL,'exit','exit 3','7fb89203',1740996142279,1740996142280,1,1,0,9940992,'["/bin/sh", "-eu", "-c", "echo \"exit $KIRIBI_ARG_CODE\" >&2; exit \"$KIRIBI_ARG_CODE\""]','/srv/app','web1:25900','web1',25940,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',7,NULL,NULL);
INSERT INTO "attempts" VALUES(13,12,1,'failed','fail',1,NULL,NULL,'exit','err','63f3d84f',1740996142281,1740996142284,3,1,0,9940992,'["sh", "-c", "echo out; echo err >&2; exit 1"]','/srv/app','web1:25900','web1',25941,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',8,NULL,NULL);
INSERT INTO "attempts" VALUES(14,4,3,'failed','retry',3,NULL,NULL,'exit','exit 3','7fb89203',1740996142955,1740996142963,8,1,0,10084352,'["/bin/sh", "-eu", "-c", "echo \"exit $KIRIBI_ARG_CODE\" >&2; exit \"$KIRIBI_ARG_CODE\""]','/srv/app','web1:25980','web1',25987,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',7,1740996142974,NULL);
INSERT INTO "attempts" VALUES(15,4,4,'failed','fail',3,NULL,NULL,'exit','exit 3','7fb89203',1740996143565,1740996143566,1,1,0,10084352,'["/bin/sh", "-eu", "-c", "echo \"exit $KIRIBI_ARG_CODE\" >&2; exit \"$KIRIBI_ARG_CODE\""]','/srv/app','web1:25997','web1',26002,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',7,NULL,NULL);
INSERT INTO "attempts" VALUES(16,15,1,'failed','retry',1,NULL,NULL,'exit','no','9cb2aa31',1740996143569,1740996143570,1,1,0,10084352,'["/bin/sh", "-eu", "-c", "echo no >&2; exit 1"]','/srv/app','web1:25997','web1',26003,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 0]',3,2000196143570,NULL);
INSERT INTO "attempts" VALUES(17,16,1,'running',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1740996144072,NULL,NULL,NULL,NULL,NULL,'["sleep", "60"]','/srv/app','web1:26027','web1',26043,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2421793]',0,NULL,NULL);
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
INSERT INTO "definitions" VALUES('Busy','default',1,'shell',0,NULL,3,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Busy','hooks',0,'shell',0,NULL,3,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Busy','mail',0,'shell',1,NULL,3,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Fails','default',1,'shell',0,NULL,2,'{"backoff":{"kind":"fixed","base_ms":10,"jitter":0.0},"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Fails','hooks',0,'shell',0,NULL,2,'{"backoff":{"kind":"fixed","base_ms":10,"jitter":0.0},"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Fails','mail',0,'shell',1,NULL,2,'{"backoff":{"kind":"fixed","base_ms":10,"jitter":0.0},"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Greet','default',1,'command',0,'["demo"]',3,'{"unchecked":true}',259200000000,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Greet','hooks',0,'command',0,'["demo"]',3,'{"unchecked":true}',259200000000,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Greet','mail',0,'command',1,'["demo"]',3,'{"unchecked":true}',259200000000,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Import','default',0,'command',0,NULL,3,'{"unchecked":true}',NULL,1048576,'["",["customer"],""]','unfinished','skip','/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Import','hooks',0,'command',0,NULL,3,'{"unchecked":true}',NULL,1048576,'["",["customer"],""]','unfinished','skip','/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Import','mail',1,'command',1,NULL,3,'{"unchecked":true}',NULL,1048576,'["",["customer"],""]','unfinished','skip','/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Killed','default',1,'shell',0,NULL,1,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Killed','hooks',0,'shell',0,NULL,1,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Killed','mail',0,'shell',1,NULL,1,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('NoProgram','default',1,'command',0,NULL,3,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('NoProgram','hooks',0,'command',0,NULL,3,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('NoProgram','mail',0,'command',1,NULL,3,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Retries','default',1,'shell',0,NULL,3,'{"backoff":{"kind":"fixed","base_ms":259200000000,"jitter":0.0},"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Retries','hooks',0,'shell',0,NULL,3,'{"backoff":{"kind":"fixed","base_ms":259200000000,"jitter":0.0},"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Retries','mail',0,'shell',1,NULL,3,'{"backoff":{"kind":"fixed","base_ms":259200000000,"jitter":0.0},"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Slow','default',1,'command',0,NULL,2,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Slow','hooks',0,'command',0,NULL,2,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Slow','mail',0,'command',1,NULL,2,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Sum','default',1,'command',0,NULL,3,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Sum','hooks',0,'command',0,NULL,3,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('Sum','mail',0,'command',1,NULL,3,'{"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('TooLong','default',1,'command',0,NULL,1,'{"timeout_ms":100,"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('TooLong','hooks',0,'command',0,NULL,1,'{"timeout_ms":100,"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
INSERT INTO "definitions" VALUES('TooLong','mail',0,'command',1,NULL,1,'{"timeout_ms":100,"unchecked":true}',NULL,1048576,NULL,NULL,NULL,'/srv/app/jobs.toml');
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
INSERT INTO "events" VALUES(1,1740996134517,'job.enqueued',1,1,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(2,1740996135754,'job.enqueued',1,2,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(3,1740996136773,'job.enqueued',1,3,'Sum',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(4,1740996137210,'job.enqueued',1,4,'Fails',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(5,1740996137614,'job.enqueued',1,5,'Fails',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(6,1740996137977,'job.enqueued',1,6,'Killed',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(7,1740996138254,'job.enqueued',1,7,'TooLong',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(8,1740996139197,'job.enqueued',1,8,'NoProgram',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(9,1740996140350,'job.enqueued',1,9,'Busy',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(10,1740996141268,'job.enqueued',1,10,'Import',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(11,1740996141666,'job.enqueued',1,11,'printf',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(12,1740996141904,'job.enqueued',1,12,'report',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(13,1740996142109,'worker.started',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:25900',NULL,NULL);
INSERT INTO "events" VALUES(15,1740996142130,'job.ran',2,NULL,'Greet','running','completed',NULL,NULL,NULL,'web1:25900',NULL,'[[2,1,1740996142128,1740996142129]]');
INSERT INTO "events" VALUES(17,1740996142137,'job.ran',2,NULL,'Import','running','completed',NULL,NULL,NULL,'web1:25900',NULL,'[[10,1,1740996142132,1740996142136]]');
INSERT INTO "events" VALUES(19,1740996142139,'job.ran',2,NULL,'Greet','running','completed',NULL,NULL,NULL,'web1:25900',NULL,'[[1,1,1740996142136,1740996142137]]');
INSERT INTO "events" VALUES(21,1740996142154,'job.ran',2,NULL,'Sum','running','completed',NULL,NULL,NULL,'web1:25900',NULL,'[[3,1,1740996142138,1740996142139]]');
INSERT INTO "events" VALUES(22,1740996142144,'job.started',1,4,'Fails','pending','running',1,NULL,NULL,'web1:25900',NULL,NULL);
INSERT INTO "events" VALUES(23,1740996142150,'job.started',1,5,'Fails','pending','running',1,NULL,NULL,'web1:25900',NULL,NULL);
INSERT INTO "events" VALUES(24,1740996142150,'job.retrying',1,4,'Fails','running','retrying',1,0,3,'web1:25900','backoff',NULL);
INSERT INTO "events" VALUES(25,1740996142152,'job.failed',1,5,'Fails','running','failed',1,1,64,'web1:25900','final_code',NULL);
INSERT INTO "events" VALUES(26,1740996142159,'job.started',1,6,'Killed','pending','running',1,NULL,NULL,'web1:25900',NULL,NULL);
INSERT INTO "events" VALUES(27,1740996142154,'job.failed',1,8,'NoProgram','running','failed',1,1,NULL,'web1:25900','never_started',NULL);
INSERT INTO "events" VALUES(28,1740996142160,'job.failed',1,6,'Killed','running','failed',1,1,NULL,'web1:25900','attempts_used',NULL);
INSERT INTO "events" VALUES(30,1740996142276,'job.ran',2,NULL,'printf','running','completed',NULL,NULL,NULL,'web1:25900',NULL,'[[11,1,1740996142267,1740996142268]]');
INSERT INTO "events" VALUES(31,1740996142160,'job.started',1,7,'TooLong','pending','running',1,NULL,NULL,'web1:25900',NULL,NULL);
INSERT INTO "events" VALUES(32,1740996142265,'job.started',1,9,'Busy','pending','running',1,NULL,NULL,'web1:25900',NULL,NULL);
INSERT INTO "events" VALUES(33,1740996142262,'job.failed',1,7,'TooLong','running','failed',1,1,NULL,'web1:25900','attempts_used',NULL);
INSERT INTO "events" VALUES(34,1740996142267,'job.retrying',1,9,'Busy','running','retrying',1,0,75,'web1:25900','backoff',NULL);
INSERT INTO "events" VALUES(35,1740996142279,'job.started',1,4,'Fails','pending','running',2,NULL,NULL,'web1:25900',NULL,NULL);
INSERT INTO "events" VALUES(36,1740996142280,'job.failed',1,4,'Fails','running','failed',2,1,3,'web1:25900','attempts_used',NULL);
INSERT INTO "events" VALUES(37,1740996142281,'job.started',1,12,'report','pending','running',1,NULL,NULL,'web1:25900',NULL,NULL);
INSERT INTO "events" VALUES(38,1740996142284,'job.failed',1,12,'report','running','failed',1,1,1,'web1:25900','attempts_used',NULL);
INSERT INTO "events" VALUES(39,1740996142287,'worker.stopped',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:25900',NULL,NULL);
INSERT INTO "events" VALUES(40,1740996142381,'job.enqueued',1,13,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(41,1740996142569,'job.cancelled',1,13,'Greet','pending','cancelled',NULL,1,NULL,'root@web1','cancelled',NULL);
INSERT INTO "events" VALUES(42,1740996142770,'job.retrying',1,4,'Fails','failed','pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(43,1740996142932,'worker.started',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:25980',NULL,NULL);
INSERT INTO "events" VALUES(44,1740996142955,'job.started',1,4,'Fails','pending','running',3,NULL,NULL,'web1:25980',NULL,NULL);
INSERT INTO "events" VALUES(45,1740996142963,'job.retrying',1,4,'Fails','running','retrying',3,0,3,'web1:25980','backoff',NULL);
INSERT INTO "events" VALUES(46,1740996142966,'worker.stopped',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:25980',NULL,NULL);
INSERT INTO "events" VALUES(47,1740996143116,'job.enqueued',1,14,'Greet',NULL,'scheduled',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(48,1740996143274,'job.enqueued',1,15,'Retries',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(49,1740996143545,'worker.started',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:25997',NULL,NULL);
INSERT INTO "events" VALUES(50,1740996143565,'job.started',1,4,'Fails','pending','running',4,NULL,NULL,'web1:25997',NULL,NULL);
INSERT INTO "events" VALUES(51,1740996143566,'job.failed',1,4,'Fails','running','failed',4,1,3,'web1:25997','attempts_used',NULL);
INSERT INTO "events" VALUES(52,1740996143569,'job.started',1,15,'Retries','pending','running',1,NULL,NULL,'web1:25997',NULL,NULL);
INSERT INTO "events" VALUES(53,1740996143570,'job.retrying',1,15,'Retries','running','retrying',1,0,1,'web1:25997','backoff',NULL);
INSERT INTO "events" VALUES(54,1740996143572,'worker.stopped',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:25997',NULL,NULL);
INSERT INTO "events" VALUES(55,1740996143726,'job.enqueued',1,16,'Slow',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(56,1740996144050,'worker.started',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'web1:26027',NULL,NULL);
INSERT INTO "events" VALUES(57,1740996144072,'job.started',1,16,'Slow','pending','running',1,NULL,NULL,'web1:26027',NULL,NULL);
INSERT INTO "events" VALUES(58,1740996146998,'job.enqueued',1,17,'Import',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(59,1740996147274,'job.enqueued',1,18,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(60,1740996147477,'job.enqueued',1,19,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(63,1740996147670,'job.enqueued',3,22,'Greet',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
INSERT INTO "events" VALUES(64,1740996147906,'job.enqueued',1,23,'true',NULL,'pending',NULL,NULL,NULL,'root@web1',NULL,NULL);
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
INSERT INTO "histograms" VALUES('job','Busy','default',1740996000000,'duration',3,1);
INSERT INTO "histograms" VALUES('job','Busy','default',1740996000000,'wait',41,1);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'duration',0,2);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'duration',3,1);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'duration',9,1);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'duration',11,1);
INSERT INTO "histograms" VALUES('job','Fails','default',1740996000000,'wait',46,2);
INSERT INTO "histograms" VALUES('job','Greet','default',1740996000000,'duration',0,2);
INSERT INTO "histograms" VALUES('job','Greet','default',1740996000000,'wait',48,1);
INSERT INTO "histograms" VALUES('job','Greet','default',1740996000000,'wait',49,1);
INSERT INTO "histograms" VALUES('job','Import','mail',1740996000000,'duration',7,1);
INSERT INTO "histograms" VALUES('job','Import','mail',1740996000000,'wait',37,1);
INSERT INTO "histograms" VALUES('job','Killed','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('job','Killed','default',1740996000000,'wait',45,1);
INSERT INTO "histograms" VALUES('job','Retries','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('job','Retries','default',1740996000000,'wait',31,1);
INSERT INTO "histograms" VALUES('job','Sum','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('job','Sum','default',1740996000000,'wait',47,1);
INSERT INTO "histograms" VALUES('job','TooLong','default',1740996000000,'duration',25,1);
INSERT INTO "histograms" VALUES('job','TooLong','default',1740996000000,'wait',45,1);
INSERT INTO "histograms" VALUES('job','printf','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('job','printf','default',1740996000000,'wait',35,1);
INSERT INTO "histograms" VALUES('job','report','mail',1740996000000,'duration',6,1);
INSERT INTO "histograms" VALUES('job','report','mail',1740996000000,'wait',32,1);
INSERT INTO "histograms" VALUES('tag','demo','default',1740996000000,'duration',0,2);
INSERT INTO "histograms" VALUES('tag','demo','default',1740996000000,'wait',48,1);
INSERT INTO "histograms" VALUES('tag','demo','default',1740996000000,'wait',49,1);
INSERT INTO "histograms" VALUES('tag','navy','default',1740996000000,'duration',0,1);
INSERT INTO "histograms" VALUES('tag','navy','default',1740996000000,'wait',48,1);
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
INSERT INTO "jobs" VALUES(1,'Greet','command',0,'completed','default','Greet',0,'["demo"]','{"name":"Ada"}',NULL,1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996134517,1740996134517,1740996142136,7619,1740996142136,1740996142137,2000196134517,NULL,NULL,NULL,1,1,0,NULL,NULL,NULL,NULL,'completed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(2,'Greet','command',0,'completed','default','Greet',5,'["demo","navy"]','{"name": "Grace \"Amazing\" Hopper"}',NULL,1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996135754,1740996135754,1740996142128,6374,1740996142128,1740996142129,2000196135754,NULL,NULL,NULL,1,1,0,NULL,NULL,NULL,NULL,'completed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(3,'Sum','command',0,'completed','default','Sum',0,NULL,'[6, 7]',NULL,1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996136773,1740996136773,1740996142138,5365,1740996142138,1740996142139,NULL,NULL,NULL,NULL,1,1,0,NULL,NULL,NULL,NULL,'completed',NULL,'13',NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(4,'Fails','shell',0,'failed','default','Fails',0,NULL,'{"code":3}','{"backoff":{"kind":"fixed","base_ms":10,"jitter":0.0}}',4,4,4,2,0,0,NULL,NULL,NULL,NULL,1740996137210,1740996142974,1740996142144,4934,1740996143565,1740996143566,NULL,NULL,NULL,NULL,1,16,3,NULL,'exit','exit 3','7fb89203','attempts_used',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25997',NULL,NULL);
INSERT INTO "jobs" VALUES(5,'Fails','shell',0,'failed','default','Fails',0,NULL,'{"code":64}','{"backoff":{"kind":"fixed","base_ms":10,"jitter":0.0}}',1,2,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996137614,1740996137614,1740996142150,4536,1740996142150,1740996142152,NULL,NULL,NULL,NULL,2,2,64,NULL,'exit','exit 64','7fb89203','final_code',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(6,'Killed','shell',0,'failed','default','Killed',0,NULL,NULL,NULL,1,1,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996137977,1740996137977,1740996142159,4182,1740996142159,1740996142160,NULL,NULL,NULL,NULL,1,1,NULL,'SIGKILL','signal','signal 9 (KILL)','4f922143','attempts_used',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(7,'TooLong','command',0,'failed','default','TooLong',0,NULL,NULL,'{"timeout_ms":100}',1,1,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996138254,1740996138254,1740996142160,3906,1740996142160,1740996142262,NULL,NULL,NULL,NULL,102,102,NULL,NULL,'timed_out','timed out after 0.1s','6fb4fb3b','attempts_used',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(8,'NoProgram','command',0,'failed','default','NoProgram',0,NULL,NULL,NULL,1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996139197,1740996139197,NULL,NULL,NULL,1740996142154,NULL,NULL,NULL,NULL,0,0,NULL,NULL,'never_started','./there-is-no-such-program does not exist','829810fd','never_started',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(9,'Busy','shell',0,'retrying','default','Busy',0,NULL,NULL,NULL,1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996140350,1740996153593,1740996142265,1915,1740996142265,NULL,NULL,NULL,NULL,NULL,2,2,75,NULL,'exit','exit 75','7fb89203','backoff',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(10,'Import','command',0,'completed','mail','Import',1,NULL,'{"customer":7}',NULL,1,3,1,NULL,0,0,'7','unfinished',X'363A496D706F727437',NULL,1740996141268,1740996141268,1740996142132,864,1740996142132,1740996142136,NULL,NULL,NULL,NULL,4,4,0,NULL,NULL,NULL,NULL,'completed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(11,'printf','command',1,'completed','default','',0,NULL,NULL,'{"command":["printf","two\\nlines\\n"],"cwd":"/srv/app"}',1,1,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996141666,1740996141666,1740996142267,601,1740996142267,1740996142268,NULL,NULL,NULL,NULL,1,1,0,NULL,NULL,NULL,NULL,'completed',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(12,'report','command',1,'failed','mail','',-3,NULL,NULL,'{"command":["sh","-c","echo out; echo err >&2; exit 1"],"cwd":"/srv/app"}',1,1,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996141904,1740996141904,1740996142281,377,1740996142281,1740996142284,NULL,NULL,NULL,NULL,3,3,1,NULL,'exit','err','63f3d84f','attempts_used',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25900',NULL,NULL);
INSERT INTO "jobs" VALUES(13,'Greet','command',0,'cancelled','default','Greet',0,'["demo"]','{"name":"Nobody"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996142381,1740996142381,NULL,NULL,NULL,1740996142569,2000196142381,NULL,NULL,NULL,NULL,0,NULL,NULL,'cancelled','cancelled by root@web1','','cancelled',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(14,'Greet','command',0,'scheduled','default','Greet',0,'["demo"]','{"name":"Later"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996143116,4070908800000,NULL,NULL,NULL,NULL,4330108800000,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(15,'Retries','shell',0,'retrying','default','Retries',0,NULL,NULL,'{"backoff":{"kind":"fixed","base_ms":259200000000,"jitter":0.0}}',1,3,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996143274,2000196143570,1740996143569,295,1740996143569,NULL,NULL,NULL,NULL,NULL,1,1,1,NULL,'exit','no','9cb2aa31','backoff',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:25997',NULL,NULL);
INSERT INTO "jobs" VALUES(16,'Slow','command',0,'running','default','Slow',0,NULL,NULL,NULL,1,2,1,NULL,0,0,NULL,NULL,NULL,NULL,1740996143726,1740996143726,1740996144072,346,1740996144072,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1','web1:26027',4,17);
INSERT INTO "jobs" VALUES(17,'Import','command',0,'pending','mail','Import',1,NULL,'{"customer":8}',NULL,0,3,0,NULL,0,0,'8','unfinished',X'363A496D706F727438',X'363A496D706F727438',1740996146998,1740996146998,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(18,'Greet','command',0,'pending','default','Greet',10,'["demo"]','{"name":"Waiting"}',NULL,0,3,0,NULL,0,0,'greeting','unfinished',X'353A47726565746772656574696E67',X'353A47726565746772656574696E67',1740996147274,1740996147274,NULL,NULL,NULL,NULL,2000196147274,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(19,'Greet','command',0,'pending','default','Greet',0,'["demo"]','{"name":"Expires"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996147477,1740996147477,NULL,NULL,NULL,NULL,2000196147477,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(20,'Greet','command',0,'pending','default','Greet',0,'["demo"]','{"name": "user 1"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996147670,1740996147670,NULL,NULL,NULL,NULL,2000196147670,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'batch','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(21,'Greet','command',0,'pending','default','Greet',0,'["demo"]','{"name": "user 2"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996147670,1740996147670,NULL,NULL,NULL,NULL,2000196147670,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'batch','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(22,'Greet','command',0,'pending','default','Greet',0,'["demo"]','{"name": "user 3"}',NULL,0,3,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996147670,1740996147670,NULL,NULL,NULL,NULL,2000196147670,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'batch','root@web1',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(23,'true','command',1,'pending','default','',0,NULL,NULL,'{"command":["true"],"cwd":"/srv/app"}',0,1,0,NULL,0,0,NULL,NULL,NULL,NULL,1740996147906,1740996147906,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cli','root@web1',NULL,NULL,NULL);
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
INSERT INTO "stats" VALUES('error','4f922143','default',1740996000000,'signal 9 (KILL)',0,1,0,0,0,1,1,1,4182,4182,1,9940992);
INSERT INTO "stats" VALUES('error','63f3d84f','mail',1740996000000,'err',0,1,0,0,0,1,3,3,377,377,1,9940992);
INSERT INTO "stats" VALUES('error','6fb4fb3b','default',1740996000000,'timed out after 0.1s',0,1,0,0,0,1,102,102,3906,3906,1,9940992);
INSERT INTO "stats" VALUES('error','7fb89203','default',1740996000000,'exit 3',0,3,0,0,3,6,20,8,11385,4934,6,10084352);
INSERT INTO "stats" VALUES('error','829810fd','default',1740996000000,'./there-is-no-such-program does not exist',0,1,0,0,0,1,0,0,0,0,0,0);
INSERT INTO "stats" VALUES('error','9cb2aa31','default',1740996000000,'no',0,0,0,0,1,1,1,1,295,295,1,10084352);
INSERT INTO "stats" VALUES('job','Busy','default',1740996000000,NULL,0,0,0,0,1,1,2,2,1915,1915,1,9940992);
INSERT INTO "stats" VALUES('job','Fails','default',1740996000000,NULL,0,3,0,0,2,5,18,8,9470,4934,5,10084352);
INSERT INTO "stats" VALUES('job','Greet','default',1740996000000,NULL,2,0,1,0,0,2,2,1,13993,7619,2,9940992);
INSERT INTO "stats" VALUES('job','Import','mail',1740996000000,NULL,1,0,0,0,0,1,4,4,864,864,1,9940992);
INSERT INTO "stats" VALUES('job','Killed','default',1740996000000,NULL,0,1,0,0,0,1,1,1,4182,4182,1,9940992);
INSERT INTO "stats" VALUES('job','NoProgram','default',1740996000000,NULL,0,1,0,0,0,1,0,0,0,0,0,0);
INSERT INTO "stats" VALUES('job','Retries','default',1740996000000,NULL,0,0,0,0,1,1,1,1,295,295,1,10084352);
INSERT INTO "stats" VALUES('job','Sum','default',1740996000000,NULL,1,0,0,0,0,1,1,1,5365,5365,1,9940992);
INSERT INTO "stats" VALUES('job','TooLong','default',1740996000000,NULL,0,1,0,0,0,1,102,102,3906,3906,1,9940992);
INSERT INTO "stats" VALUES('job','printf','default',1740996000000,NULL,1,0,0,0,0,1,1,1,601,601,1,9940992);
INSERT INTO "stats" VALUES('job','report','mail',1740996000000,NULL,0,1,0,0,0,1,3,3,377,377,1,9940992);
INSERT INTO "stats" VALUES('tag','demo','default',1740996000000,NULL,2,0,1,0,0,2,2,1,13993,7619,2,9940992);
INSERT INTO "stats" VALUES('tag','navy','default',1740996000000,NULL,1,0,0,0,0,1,1,1,6374,6374,1,9940992);
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
INSERT INTO "workers" VALUES(1,'web1:25900','web1',25900,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2421582]','0.1.0','worker','stopped',NULL,1740996142109,1740996142116,1740996142287,1,NULL,0,0,'/srv/app/jobs.toml',NULL);
INSERT INTO "workers" VALUES(2,'web1:25980','web1',25980,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2421663]','0.1.0','worker','stopped',NULL,1740996142932,1740996142944,1740996142966,1,NULL,0,0,'/srv/app/jobs.toml',NULL);
INSERT INTO "workers" VALUES(3,'web1:25997','web1',25997,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2421719]','0.1.0','worker','stopped',NULL,1740996143545,1740996143552,1740996143572,1,NULL,0,0,'/srv/app/jobs.toml',NULL);
INSERT INTO "workers" VALUES(4,'web1:26027','web1',26027,'["11354674-0948-4153-ad55-d0c21d6eef24", "pid:[4026531836]", 2421762]','0.1.0','worker','running',NULL,1740996144050,1740996144056,NULL,1,NULL,0,0,'/srv/app/jobs.toml',NULL);
CREATE INDEX jobs_ready ON jobs (queue, lane, priority DESC, run_at) WHERE status = 'pending';
CREATE INDEX jobs_due ON jobs (run_at, status) WHERE status IN ('scheduled', 'retrying');
CREATE INDEX jobs_running ON jobs (worker_id) WHERE status = 'running';
CREATE INDEX jobs_blocked ON jobs (id) WHERE status = 'blocked';
CREATE INDEX jobs_expiring ON jobs (expires_at)
  WHERE expires_at IS NOT NULL AND first_started_at IS NULL AND finished_at IS NULL;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_hold) WHERE unique_hold IS NOT NULL;
CREATE INDEX jobs_by_name ON jobs (job);
CREATE INDEX jobs_ended ON jobs (status) WHERE finished_at IS NOT NULL;
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
CREATE VIEW enqueue AS
SELECT job, NULL AS payload, queue, priority, NULL AS run_at, NULL AS unique_key FROM definitions WHERE own = 1;
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('attempts',17);
INSERT INTO "sqlite_sequence" VALUES('jobs',23);
INSERT INTO "sqlite_sequence" VALUES('events',64);
INSERT INTO "sqlite_sequence" VALUES('workers',4);
COMMIT;
