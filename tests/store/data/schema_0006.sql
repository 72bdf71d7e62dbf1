BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0006');
CREATE TABLE announcement (
	profile VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	held INTEGER, 
	since DATETIME NOT NULL, 
	PRIMARY KEY (profile)
);
INSERT INTO "announcement" VALUES('north','validationError',1,'2026-09-01 07:30:00.000000');
CREATE TABLE baseline (
	profile VARCHAR NOT NULL, 
	school_year INTEGER NOT NULL, 
	source_uuid VARCHAR NOT NULL, 
	accepted DATETIME NOT NULL, 
	rows TEXT NOT NULL, settled TEXT DEFAULT '' NOT NULL, named TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (profile)
);
INSERT INTO "baseline" VALUES('north',2026,'5d8a1c52-0000-4000-8000-000000000001','2026-09-01 07:30:00.000000','[["students","4",2]]','{"run":1}','{"North High":"4"}');
CREATE TABLE directory (
	id INTEGER NOT NULL, 
	tenant_id VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (tenant_id)
);
INSERT INTO "directory" VALUES(1,'7b0c9d3e-0000-4000-8000-000000000002');
CREATE TABLE directory_cursor (
	directory INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	cursor VARCHAR, 
	scan INTEGER NOT NULL, 
	scanning BOOLEAN NOT NULL, 
	PRIMARY KEY (directory, name), 
	FOREIGN KEY(directory) REFERENCES directory (id) ON DELETE CASCADE
);
INSERT INTO "directory_cursor" VALUES(1,'users','https://graph.example/delta?token=1',1,0);
CREATE TABLE directory_group (
	directory INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	state SMALLINT NOT NULL, 
	display_name VARCHAR NOT NULL, 
	mail_nickname VARCHAR NOT NULL, 
	nickname_key VARCHAR NOT NULL, 
	mail VARCHAR NOT NULL, 
	created VARCHAR NOT NULL, 
	anchor_source VARCHAR, 
	anchor_kind VARCHAR, 
	anchor_id VARCHAR, 
	scan INTEGER NOT NULL, 
	remembered DATETIME, 
	PRIMARY KEY (directory, id), 
	FOREIGN KEY(directory) REFERENCES directory (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "directory_group" VALUES(1,'g-1',1,'','Section_9','section_9','','',NULL,NULL,NULL,0,NULL);
CREATE TABLE directory_school (
	directory INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	state SMALLINT NOT NULL, 
	display_name VARCHAR NOT NULL, 
	name_key VARCHAR NOT NULL, 
	anchor_source VARCHAR, 
	anchor_kind VARCHAR, 
	anchor_id VARCHAR, 
	scan INTEGER NOT NULL, 
	remembered DATETIME, 
	PRIMARY KEY (directory, id), 
	FOREIGN KEY(directory) REFERENCES directory (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "directory_school" VALUES(1,'s-1',1,'Hill','hill',NULL,NULL,NULL,0,NULL);
CREATE TABLE directory_user (
	directory INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	state SMALLINT NOT NULL, 
	upn VARCHAR NOT NULL, 
	upn_key VARCHAR NOT NULL, 
	mail VARCHAR NOT NULL, 
	mail_key VARCHAR, 
	mail_nickname VARCHAR NOT NULL, 
	nickname_key VARCHAR, 
	display_name VARCHAR NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	on_premises BOOLEAN NOT NULL, 
	created VARCHAR NOT NULL, 
	anchor_source VARCHAR, 
	anchor_kind VARCHAR, 
	anchor_id VARCHAR, 
	education TEXT NOT NULL, 
	scan INTEGER NOT NULL, 
	education_scan INTEGER NOT NULL, 
	remembered DATETIME, 
	PRIMARY KEY (directory, id), 
	FOREIGN KEY(directory) REFERENCES directory (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "directory_user" VALUES(1,'u-1',1,'Ada@example.org','ada@example.org','',NULL,'',NULL,'',1,0,'','5d8a1c52-0000-4000-8000-000000000001','student','007','',1,0,NULL);
CREATE TABLE drift (
	profile VARCHAR NOT NULL, 
	code VARCHAR NOT NULL, 
	subject_kind VARCHAR NOT NULL, 
	subject_id VARCHAR NOT NULL, 
	member_kind VARCHAR NOT NULL, 
	member_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	written TEXT NOT NULL, 
	found TEXT NOT NULL, 
	first_seen DATETIME NOT NULL, 
	last_seen DATETIME NOT NULL, 
	resolved_at DATETIME, 
	PRIMARY KEY (profile, code, subject_kind, subject_id, member_kind, member_id, name)
);
INSERT INTO "drift" VALUES('north','MembershipRemovedByHand','section','9','student','007','member','','','2026-09-01 07:30:00.000000','2026-09-01 07:30:00.000000',NULL);
CREATE TABLE held_run (
	run_id BIGINT NOT NULL, 
	number INTEGER NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(number) REFERENCES held_set (number) ON DELETE CASCADE
);
INSERT INTO "held_run" VALUES(1,1);
CREATE TABLE held_set (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	profile VARCHAR NOT NULL, 
	checksum VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	created DATETIME NOT NULL, 
	decided DATETIME, 
	changes TEXT NOT NULL
);
INSERT INTO "held_set" VALUES(1,'north','66641c9d702aa381ff09d6f780f67bb5924e39b073d839d982daa7e0dad7558b','waiting','2026-09-01 07:30:00.000000',NULL,'[{"change":{"kind":"member.remove","subject":{"kind":"section","sis_id":"9"},"member":{"kind":"student","sis_id":"007"},"values":{},"before":{},"reason":"the enrollment ended","object_id":null},"reason":"over the limit for this kind of change","detail":""}]');
CREATE TABLE issue (
	profile VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	sis_id VARCHAR NOT NULL, 
	code VARCHAR NOT NULL, 
	detail VARCHAR NOT NULL, 
	joining_value VARCHAR NOT NULL, 
	severity VARCHAR NOT NULL, 
	count INTEGER NOT NULL, 
	run_id BIGINT NOT NULL, 
	first_seen DATETIME NOT NULL, 
	last_seen DATETIME NOT NULL, 
	resolved_at DATETIME, 
	PRIMARY KEY (profile, kind, sis_id, code)
);
INSERT INTO "issue" VALUES('north','student','10','UnmatchedEntry','no account','s10@example.org','error',1,1,'2026-09-01 07:30:00.000000','2026-09-01 07:30:00.000000',NULL);
CREATE TABLE lease (
	profile VARCHAR NOT NULL, 
	token VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	boot VARCHAR NOT NULL, 
	pid INTEGER NOT NULL, 
	started VARCHAR NOT NULL, 
	since DATETIME NOT NULL, 
	expires DATETIME NOT NULL, 
	PRIMARY KEY (profile)
);
CREATE TABLE limit_relaxation (
	profile VARCHAR NOT NULL, 
	since DATETIME NOT NULL, 
	until DATETIME NOT NULL, 
	limits TEXT NOT NULL, 
	PRIMARY KEY (profile)
);
INSERT INTO "limit_relaxation" VALUES('north','2026-09-01 07:30:00.000000','2026-09-08 00:00:00.000000','{"removal_percent":100}');
CREATE TABLE link (
	id INTEGER NOT NULL, 
	source_uuid VARCHAR NOT NULL, 
	tenant_id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	sis_id VARCHAR NOT NULL, 
	object_id VARCHAR NOT NULL, 
	profile VARCHAR NOT NULL, 
	created BOOLEAN NOT NULL, 
	rule VARCHAR NOT NULL, 
	licenses_due BOOLEAN NOT NULL, 
	deleted BOOLEAN NOT NULL, 
	written TEXT NOT NULL, 
	linked_at DATETIME NOT NULL, unread BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "link" VALUES(1,'5d8a1c52-0000-4000-8000-000000000001','7b0c9d3e-0000-4000-8000-000000000002','student','007','object-student-007','north',1,'created',1,0,'{"grade":"05"}','2026-09-01 00:00:00.000000',0);
INSERT INTO "link" VALUES(2,'5d8a1c52-0000-4000-8000-000000000001','7b0c9d3e-0000-4000-8000-000000000002','teacher','3','object-teacher-3','north',1,'created',0,0,'','2026-09-01 00:00:00.000000',0);
INSERT INTO "link" VALUES(3,'5d8a1c52-0000-4000-8000-000000000001','7b0c9d3e-0000-4000-8000-000000000002','section','9','object-section-9','north',1,'created',0,0,'','2026-09-01 00:00:00.000000',0);
INSERT INTO "link" VALUES(4,'5d8a1c52-0000-4000-8000-000000000001','7b0c9d3e-0000-4000-8000-000000000002','school','4','object-school-4','north',1,'created',0,0,'','2026-09-01 00:00:00.000000',0);
CREATE TABLE membership (
	container_id INTEGER NOT NULL, 
	member_id INTEGER NOT NULL, 
	role SMALLINT NOT NULL, 
	run_id BIGINT NOT NULL, absent_since DATETIME, 
	PRIMARY KEY (container_id, member_id, role), 
	FOREIGN KEY(container_id) REFERENCES link (id) ON DELETE CASCADE, 
	FOREIGN KEY(member_id) REFERENCES link (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "membership" VALUES(3,1,1,1,'2026-09-01 07:30:00.000000');
INSERT INTO "membership" VALUES(3,2,2,1,NULL);
INSERT INTO "membership" VALUES(4,3,4,1,NULL);
CREATE TABLE profile_state (
	profile VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	failures INTEGER NOT NULL, 
	reason VARCHAR NOT NULL, 
	since DATETIME, 
	next_attempt DATETIME, paused_since DATETIME, pause_reason VARCHAR DEFAULT '' NOT NULL, 
	PRIMARY KEY (profile)
);
INSERT INTO "profile_state" VALUES('north','failing',1,'the server is down','2026-09-01 07:30:00.000000','2026-09-01 07:31:00.000000','2026-09-01 07:30:00.000000','run 1 was taken back');
CREATE TABLE run (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	profile VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	source_uuid VARCHAR, 
	tenant_id VARCHAR, 
	started DATETIME NOT NULL, 
	finished DATETIME, 
	status VARCHAR NOT NULL, 
	summary TEXT NOT NULL, 
	error VARCHAR NOT NULL
);
INSERT INTO "run" VALUES(1,'north','sync','5d8a1c52-0000-4000-8000-000000000001','7b0c9d3e-0000-4000-8000-000000000002','2026-09-01 07:30:00.000000','2026-09-01 07:30:00.000000','held','{"held":{"member.remove":1}}','');
CREATE TABLE run_change (
	run_id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	subject_kind VARCHAR NOT NULL, 
	subject_id VARCHAR NOT NULL, 
	member_kind VARCHAR NOT NULL, 
	member_id VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	new_values TEXT NOT NULL, 
	old_values TEXT NOT NULL, 
	adopts VARCHAR, 
	withheld VARCHAR NOT NULL, 
	detail VARCHAR NOT NULL, 
	code VARCHAR NOT NULL, 
	status INTEGER NOT NULL, 
	object_id VARCHAR, 
	intended_at DATETIME, 
	settled_at DATETIME, 
	PRIMARY KEY (run_id, kind, subject_kind, subject_id, member_kind, member_id), 
	FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "run_change" VALUES(1,'member.add','section','9','student','007','done','APPEARED','','',NULL,'','','',204,NULL,NULL,'2026-09-01 07:30:00.000000');
INSERT INTO "run_change" VALUES(1,'user.create','student','8','','','intended','APPEARED','{"grade":"01"}','',NULL,'','','',0,NULL,'2026-09-01 07:30:00+00:00',NULL);
CREATE TABLE sighting (
	profile VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	sis_id VARCHAR NOT NULL, 
	run_id BIGINT NOT NULL, 
	present BOOLEAN NOT NULL, 
	facts TEXT NOT NULL, 
	PRIMARY KEY (profile, kind, sis_id)
)
 WITHOUT ROWID

;
INSERT INTO "sighting" VALUES('north','student','8',1,1,'{"call":"/ws/v1/school/4/student","received":2,"expected":2,"schools":["4"],"value":"ada","target":"mail","candidates":[]}');
CREATE TABLE source_stop (
	run_id BIGINT NOT NULL, 
	profile VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	created DATETIME NOT NULL, 
	decided DATETIME, 
	counts TEXT NOT NULL, 
	schools TEXT NOT NULL, 
	PRIMARY KEY (run_id)
);
INSERT INTO "source_stop" VALUES(1,'north','waiting','2026-09-01 07:30:00.000000',NULL,'{"students":2}','["4"]');
CREATE TABLE tally (
	name VARCHAR NOT NULL, 
	number BIGINT NOT NULL, 
	PRIMARY KEY (name)
)
 WITHOUT ROWID

;
INSERT INTO "tally" VALUES('directory 7b0c9d3e-0000-4000-8000-000000000002',7);
CREATE INDEX ix_run_profile ON run (profile, id);
CREATE INDEX ix_run_change_open ON run_change (run_id) WHERE state = 'intended' AND kind IN ('user.create', 'class.create', 'school.create');
CREATE INDEX ix_held_set_profile ON held_set (profile, number);
CREATE INDEX ix_held_run_number ON held_run (number);
CREATE INDEX ix_link_object ON link (tenant_id, object_id);
CREATE UNIQUE INDEX ux_link_person ON link (source_uuid, tenant_id, object_id) WHERE kind IN ('student', 'teacher');
CREATE UNIQUE INDEX ux_link_record ON link (source_uuid, tenant_id, kind, sis_id);
CREATE INDEX ix_membership_member ON membership (member_id);
CREATE INDEX ix_directory_user_anchor ON directory_user (directory, anchor_source);
CREATE INDEX ix_directory_user_mail ON directory_user (directory, mail_key);
CREATE INDEX ix_directory_user_nickname ON directory_user (directory, nickname_key);
CREATE INDEX ix_directory_user_upn ON directory_user (directory, upn_key);
CREATE INDEX ix_directory_group_anchor ON directory_group (directory, anchor_source);
CREATE INDEX ix_directory_group_nickname ON directory_group (directory, nickname_key);
CREATE INDEX ix_directory_school_anchor ON directory_school (directory, anchor_source);
CREATE INDEX ix_directory_school_name ON directory_school (directory, name_key);
CREATE INDEX ix_membership_absent ON membership (container_id) WHERE absent_since IS NOT NULL;
CREATE INDEX ix_source_stop_profile ON source_stop (profile);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('run',1);
INSERT INTO "sqlite_sequence" VALUES('held_set',1);
COMMIT;
