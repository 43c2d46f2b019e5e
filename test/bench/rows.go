package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// rows counts those that were added.
type rows struct{ log, texts, packages int64 }

// What a row makes in a dump, in bytes, with the marks between rows. Blobs are dumped in hexadecimal.
const (
	logBytes     = 190
	textSize     = 4000
	packageSize  = 100_000
	packageBytes = 2 * packageSize
)

// logRow is a row of the log for each number: that of a busy site, where a few kinds of events make most of it.
const logRow = `SELECT
	CONCAT('\\', ELT(1 + kind, 'mod_quiz', 'mod_forum', 'core', 'mod_assign', 'core', 'mod_resource'), '\\event\\', ELT(1 + kind,
		'attempt_viewed', 'discussion_viewed', 'course_viewed', 'submission_status_viewed', 'user_loggedin', 'course_module_viewed')),
	ELT(1 + kind, 'mod_quiz', 'mod_forum', 'core', 'mod_assign', 'core', 'mod_resource'), ELT(1 + kind, 'viewed', 'viewed', 'viewed', 'viewed', 'loggedin', 'viewed'),
	ELT(1 + kind, 'attempt', 'discussion', 'course', 'submission_status', 'user', 'course_module'),
	IF(kind IN (2, 4), NULL, ELT(1 + kind, 'quiz_attempts', 'forum_discussions', '', 'assign_submission', '', 'resource')), IF(kind IN (2, 4), NULL, chance MOD 800000),
	'r', 2, 1 + chance MOD 60000, 70, 1 + chance MOD 55000, 2 + CRC32(chance) MOD 25000, 1 + chance MOD 4000, IF(kind = 0, 2 + chance MOD 25000, NULL), 0,
	IF(kind IN (0, 3), CONCAT('{"quizid":"', chance MOD 9000, '","assignid":', chance MOD 7000, ',"attempt":"', 1 + chance MOD 5, '"}'), 'N;'),
	1700000000 + seq, 'web', CONCAT('10.', chance MOD 250, '.', (chance >> 8) MOD 250, '.', (chance >> 16) MOD 250), NULL
	FROM (SELECT seq, CRC32(seq) AS chance, CRC32(seq) MOD 6 AS kind FROM seq_%d_to_%d) AS numbers`

const logColumns = "(eventname, component, action, target, objecttable, objectid, crud, edulevel, contextid, contextlevel, contextinstanceid," +
	" userid, courseid, relateduserid, anonymous, other, timecreated, origin, ip, realuserid)"

// addRows adds log entries, which are most of it, texts that students hand in, and packages of a plugin that keeps them
// in the database.
func (h *host) addRows(ctx context.Context, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	began := time.Now()
	pool, err := sql.Open("mysql", h.database.RootDSN(h.site.Database))
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	if _, err := pool.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS `"+h.packages()+"` (id BIGINT AUTO_INCREMENT PRIMARY KEY, package LONGBLOB NOT NULL)"); err != nil {
		return fmt.Errorf("make the table of packages: %w", err)
	}
	many := bytes * 3 / 4 / logBytes
	made := fmt.Sprintf(logRow, h.rows.log+1, h.rows.log+many)
	if h.rows.log == 0 {
		err = h.bulk(ctx, "logstore_standard_log", logColumns, made)
	} else {
		_, err = pool.ExecContext(ctx, "INSERT INTO `"+h.site.Prefix+"logstore_standard_log` "+logColumns+" "+made)
	}
	if err != nil {
		return fmt.Errorf("add rows to the log: %w", err)
	}
	h.rows.log += many
	if err := h.addTexts(ctx, pool, max(1, bytes*15/100/textSize), max(1, bytes/10/packageBytes)); err != nil {
		return err
	}
	if took := time.Since(began); took > 10*time.Second {
		fmt.Printf("(made %d rows of the log in %.0f s)\n", many, took.Seconds())
	}
	return nil
}

func (h *host) packages() string { return h.site.Prefix + "local_packages" }

func (h *host) addTexts(ctx context.Context, pool *sql.DB, texts, packages int64) error {
	change, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = change.Rollback() }()
	for range texts {
		h.rows.texts++
		if _, err := change.ExecContext(ctx, "INSERT INTO `"+h.site.Prefix+"assignsubmission_onlinetext` (assignment, submission, onlinetext, onlineformat) VALUES (?, ?, ?, 1)",
			h.rows.texts%500, h.rows.texts, h.content.text(textSize)); err != nil {
			return fmt.Errorf("add texts: %w", err)
		}
	}
	for range packages {
		h.rows.packages++
		if _, err := change.ExecContext(ctx, "INSERT INTO `"+h.packages()+"` (package) VALUES (?)", h.content.bytes(packageSize)); err != nil {
			return fmt.Errorf("add packages: %w", err)
		}
	}
	return change.Commit()
}
