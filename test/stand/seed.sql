-- What makes the stand-in tables look like a site in use at the moment {now}.

INSERT INTO {prefix}config (name, value) VALUES
  ('version', '{version}'), ('release', '{release}'), ('branch', '{branch}'),
  ('maintenance_enabled', '0'), ('cron_enabled', '1'), ('sessiontimeout', '28800'),
  ('siteidentifier', 'stand127.0.0.1'), ('fileslastcleanup', '{now}'),
  ('themerev', '{now}'), ('jsrev', '{now}'), ('debug', '0'), ('debugdisplay', '0');

INSERT INTO {prefix}config_plugins (plugin, name, value) VALUES
  ('tool_task', 'lastcronstart', '{now}'), ('tool_task', 'lastcroninterval', '60'),
  ('tool_log', 'enabled_stores', 'logstore_standard'), ('backup', 'backup_auto_active', '0');

INSERT INTO {prefix}config_log (userid, timemodified, plugin, name, value) VALUES
  (2, {now} - 86400, NULL, 'sessiontimeout', '28800');

INSERT INTO {prefix}upgrade_log (type, plugin, targetversion, info, userid, timemodified) VALUES
  (0, 'core', '{version}', 'Upgrade savepoint reached', 0, {now} - 864000);

INSERT INTO {prefix}context (id, contextlevel, instanceid, path, depth) VALUES
  (1, 10, 0, '/1', 1), (2, 50, 1, '/1/2', 2), (3, 40, 1, '/1/3', 2);

INSERT INTO {prefix}role (id, name, shortname, description, sortorder, archetype) VALUES
  (1, '', 'manager', '', 1, 'manager'), (3, '', 'editingteacher', '', 3, 'editingteacher'), (5, '', 'student', '', 5, 'student');

-- Guest, admin, and forty students of whom one is suspended and one deleted.
INSERT INTO {prefix}user (id, auth, confirmed, deleted, suspended, mnethostid, username, firstname, lastname, email, lastaccess, timecreated)
SELECT seq, 'manual', 1, seq = 42, seq = 41, 1,
  CASE seq WHEN 1 THEN 'guest' WHEN 2 THEN 'admin' ELSE CONCAT('student', seq) END,
  'Åsa', CONCAT('Student ', seq), CONCAT('student', seq, '@example.org'),
  IF(seq < 3, 0, {now} - seq * seq * 60), {now} - 8640000
FROM seq_1_to_42;

INSERT INTO {prefix}course_categories (id, name, sortorder, coursecount, depth, path, timemodified) VALUES
  (1, 'Faculty', 10000, 4, 1, '/1', {now} - 864000);
INSERT INTO {prefix}course (id, category, sortorder, fullname, shortname, summary, format, visible, timecreated, timemodified) VALUES
  (1, 0, 1, 'Stand-in site', 'standin', '', 'site', 1, {now} - 864000, {now} - 864000),
  (2, 1, 10001, 'Über die Fäden 🧵', 'THREADS', 'A summary with ''quotes'', a \\ and a line\nbreak', 'topics', 1, {now} - 864000, {now} - 3600),
  (3, 1, 10002, 'Statistics', 'STAT', '', 'topics', 1, {now} - 864000, {now} - 7200),
  (4, 1, 10003, 'Databases', 'DB', '', 'weeks', 1, {now} - 864000, {now} - 7200),
  (5, 1, 10004, 'Not yet open', 'LATER', '', 'topics', 0, {now} - 864000, {now} - 7200);
INSERT INTO {prefix}enrol (id, enrol, courseid, sortorder, roleid) VALUES (1, 'manual', 2, 0, 5), (2, 'manual', 3, 0, 5), (3, 'manual', 4, 0, 5);
INSERT INTO {prefix}user_enrolments (enrolid, userid, timecreated) SELECT 1 + seq % 3, seq, {now} - 800000 FROM seq_3_to_42;
INSERT INTO {prefix}role_assignments (roleid, contextid, userid, timemodified) SELECT 5, 2, seq, {now} - 800000 FROM seq_3_to_42;
INSERT INTO {prefix}course_modules (course, module, instance, section, added) SELECT 2 + seq % 3, 1, seq, seq, {now} - 700000 FROM seq_1_to_30;

INSERT INTO {prefix}sessions (sid, userid, timecreated, timemodified, firstip, lastip)
SELECT SUBSTRING(MD5(seq), 1, 26), seq, {now} - 3600, {now} - seq * 10, '192.0.2.1', '192.0.2.1' FROM seq_3_to_10;

INSERT INTO {prefix}task_scheduled (component, classname, lastruntime, nextruntime, minute, hour, day, month, dayofweek, faildelay) VALUES
  ('moodle', '\\core\\task\\session_cleanup_task', {now}, {now} + 60, '*', '*', '*', '*', '*', 0),
  ('moodle', '\\core\\task\\file_trash_cleanup_task', {now} - 3600, {now} + 18000, '55', '*/6', '*', '*', '*', 0),
  ('moodle', '\\core\\task\\send_new_user_passwords_task', {now}, {now} + 60, '*', '*', '*', '*', '*', 0),
  ('mod_forum', '\\mod_forum\\task\\cron_task', {now}, {now} + 60, '*', '*', '*', '*', '*', 0),
  ('moodle', '\\core\\task\\task_log_cleanup_task', {now} - 7200, {now} + 79200, '49', '23', '*', '*', '*', 0);
-- The task of a plugin that is switched off: never run, always due, and no fault.
INSERT INTO {prefix}task_scheduled (component, classname, lastruntime, nextruntime, minute, hour, day, month, dayofweek, faildelay) VALUES
  ('enrol_imsenterprise', '\\enrol_imsenterprise\\task\\cron_task', 0, {now} - 860000, '10', '*', '*', '*', '*', 0);
INSERT INTO {prefix}task_adhoc (component, classname, nextruntime, faildelay, customdata, timecreated, attemptsavailable) VALUES
  ('mod_forum', '\\mod_forum\\task\\send_user_digests', {now} + 7200, 0, '{}', {now}, 12);
INSERT INTO {prefix}task_log (type, component, classname, userid, timestart, timeend, dbreads, dbwrites, result, output, hostname, pid)
SELECT 0, 'moodle', 'core\\task\\session_cleanup_task', 0, {now} - seq * 60, {now} - seq * 60 + 0.25, 3, 1, 0, 'done', 'web1', 100 + seq FROM seq_1_to_60;

INSERT INTO {prefix}modules (name) VALUES ('quiz'), ('survey');
-- The templates that every site has, and no activity.
INSERT INTO {prefix}survey (course, template, name) VALUES (0, 0, 'collesaname'), (0, 0, 'collespname'), (0, 0, 'collesapname'), (0, 0, 'attlsname'), (0, 0, 'ciqname');

INSERT INTO {prefix}quiz_attempts (quiz, userid, attempt, uniqueid, layout, state, timestart, timecheckstate) VALUES
  (1, 3, 1, 1, '1,0', 'inprogress', {now} - 600, {now} + 1800), (1, 4, 1, 2, '1,0', 'finished', {now} - 90000, NULL);

INSERT INTO {prefix}logstore_standard_log (eventname, component, action, target, crud, edulevel, contextid, contextlevel, contextinstanceid, userid, courseid, timecreated, origin, ip)
SELECT IF(seq % 20 = 0, '\\core\\event\\user_login_failed', IF(seq % 5 = 0, '\\core\\event\\user_loggedin', '\\core\\event\\course_viewed')),
  'core', 'viewed', 'course', 'r', 2, 2, 50, 1, 3 + seq % 40, 2, {now} - 2000 + seq, 'web', '192.0.2.1' FROM seq_1_to_2000;
