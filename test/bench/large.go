package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Rows of the large site: a university's, after some years.
const (
	largeFiles = 1_000_000
	largeLog   = 3_000_000
)

// fillLarge lets the server itself make the rows, from its table of all numbers (the engine SEQUENCE). Indexes come
// last, which is much faster, and end up the same.
func (h *host) fillLarge(ctx context.Context) error {
	began := time.Now()
	pool, err := sql.Open("mysql", h.database.RootDSN(h.site.Database))
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	pool.SetMaxOpenConns(1) // the settings are those of a session
	statements := []string{"SET unique_checks = 0, foreign_key_checks = 0"}
	for _, fill := range []struct{ table, insert string }{
		{"files", "(contenthash, pathnamehash, contextid, component, filearea, itemid, filepath, filename, userid, filesize, mimetype, timecreated, timemodified)" +
			" SELECT SHA1(seq), SHA1(CONCAT('/', seq)), seq MOD 50000, 'mod_resource', 'content', 0, '/', CONCAT('file-', seq, '.pdf'), seq MOD 20000, seq MOD 5000000, 'application/pdf', 1700000000 + seq, 1700000000 + seq" +
			fmt.Sprintf(" FROM seq_1_to_%d", largeFiles)},
		{"logstore_standard_log", "(eventname, component, action, target, crud, edulevel, contextid, contextlevel, contextinstanceid, userid, courseid, other, timecreated, origin, ip)" +
			` SELECT IF(seq MOD 30, '\\core\\event\\course_viewed', '\\core\\event\\user_loggedin'), 'core', 'viewed', 'course', 'r', 2, seq MOD 50000, 50, seq MOD 5000, seq MOD 20000, seq MOD 5000, 'N;', 1700000000 + seq, 'web', '192.0.2.1'` +
			fmt.Sprintf(" FROM seq_1_to_%d", largeLog)},
	} {
		drop, add, err := indexes(ctx, pool, h.site.Prefix+fill.table)
		if err != nil {
			return err
		}
		name := "`" + h.site.Prefix + fill.table + "`"
		statements = append(statements, "ALTER TABLE "+name+" "+drop, "INSERT INTO "+name+" "+fill.insert, "ALTER TABLE "+name+" "+add, "ANALYZE TABLE "+name)
	}
	for _, statement := range statements {
		if _, err := pool.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the large site: %w", err)
		}
	}
	fmt.Printf("== large site: %d more rows in files, %d in the log, made in %.0f s\n\n", largeFiles, largeLog, time.Since(began).Seconds())
	return nil
}

// indexes are the clauses of ALTER TABLE that drop the secondary indexes of a table, and make them again.
func indexes(ctx context.Context, pool *sql.DB, table string) (drop, add string, err error) {
	row := pool.QueryRowContext(ctx, "SELECT GROUP_CONCAT('DROP INDEX `', name, '`'), GROUP_CONCAT('ADD ', kind, ' `', name, '` (', columns, ')') FROM ("+
		"SELECT INDEX_NAME name, IF(NON_UNIQUE, 'INDEX', 'UNIQUE INDEX') kind, GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX) columns"+
		" FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND INDEX_NAME <> 'PRIMARY' GROUP BY INDEX_NAME, NON_UNIQUE) i", table)
	if err := row.Scan(&drop, &add); err != nil {
		return "", "", fmt.Errorf("read the indexes of %s: %w", table, err)
	}
	return drop, add, nil
}

// benchLarge scrapes while the background reading goes through the large tables, and then as on the small site.
func (h *host) benchLarge(ctx context.Context) error {
	if err := h.fillLarge(ctx); err != nil {
		return err
	}
	all, err := h.startExporters(ctx)
	defer all.stop()
	if err != nil {
		return err
	}
	ours := all[0]
	began := time.Now()
	var times []float64
	for !bytes.Contains(ours.page, []byte(`moodle_refresh_last_success_timestamp_seconds{site="bench",source="files"}`)) {
		took, err := ours.scrape(ctx)
		if err != nil {
			return err
		}
		times = append(times, took)
		if time.Since(began) > 5*time.Minute {
			return fmt.Errorf("the files of the large site were not counted in %v", time.Since(began))
		}
	}
	fmt.Printf("counting a million files in the background took %.1f s; meanwhile %d scrapes\n", time.Since(began).Seconds(), len(times))
	show("budgets while it is counted", budget{what: "median, ms", measured: median(times) * 1000, limit: 20},
		budget{what: "95 of 100, ms (each waits for a statement of the count)", measured: quantile(times, 0.95) * 1000, limit: 200})
	all.stop()
	return h.benchScrape(ctx)
}
