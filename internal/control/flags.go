package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// Flags say what kind of database ResetFlags is to make ready.
type Flags struct {
	// AnotherHost is a site that is not where it was: it must not write to the people of the real one.
	AnotherHost bool
	// KeepMail lets it write to them nevertheless.
	KeepMail bool
}

// Reset is what ResetFlags has done, in rows.
type Reset struct {
	Sessions int64 // of people who were logged in when the dump was taken
	Tasks    int64 // that were at work then
	Locks    int64 // that somebody held then, by the table lock_db
	MailOff  bool  // the site writes no mails any more
}

// ResetFlags undoes in a database what belongs to the moment at which its dump was taken: cron switched off and
// maintenance announced for the backup itself, an upgrade at work, running tasks, held locks, open sessions. All of it
// happens in one transaction, or nothing. Moodle reads settings through its caches, so purge them afterwards. Sessions
// outside the database are those of DropSessions.
func ResetFlags(ctx context.Context, db *sql.DB, site *moodle.Site, flags Flags) (Reset, error) {
	reset, err := resetFlags(ctx, db, site, flags)
	if err != nil {
		return Reset{}, fmt.Errorf("reset the flags in database %s: %w", site.Config.DBName, err)
	}
	return reset, nil
}

// change is a statement on one table, which it names as %s.
type change struct {
	table     string
	statement string
	count     *int64
	mayLack   bool
}

func resetFlags(ctx context.Context, db *sql.DB, site *moodle.Site, flags Flags) (reset Reset, err error) {
	reset.MailOff = flags.AnotherHost && !flags.KeepMail
	const set = "INSERT INTO %s (name, value) VALUES ('cron_enabled', '1'), ('maintenance_enabled', '0') ON DUPLICATE KEY UPDATE value = VALUES(value)"
	const idle = "UPDATE %s SET timestarted = NULL, hostname = NULL, pid = NULL WHERE timestarted IS NOT NULL"
	var scheduled, adhoc int64
	changes := []change{
		{table: "config", statement: set},
		{table: "config", statement: "DELETE FROM %s WHERE name IN ('maintenance_later', 'upgraderunning', 'outagelessupgrade')"},
		{table: "sessions", statement: "DELETE FROM %s", count: &reset.Sessions},
		{table: "task_scheduled", statement: idle, count: &scheduled},
		{table: "task_adhoc", statement: idle, count: &adhoc},
		// \core\lock\db_record_lock_factory; MariaDB's usual one is GET_LOCK, which ends with its connection.
		{table: "lock_db", statement: "UPDATE %s SET owner = NULL, expires = NULL WHERE owner IS NOT NULL", count: &reset.Locks, mayLack: true},
	}
	if reset.MailOff {
		changes = append(changes, change{table: "config", statement: "INSERT INTO %s (name, value) VALUES ('noemailever', '1') ON DUPLICATE KEY UPDATE value = VALUES(value)"})
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return reset, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for _, c := range changes {
		if err := c.make(ctx, tx, site); err != nil {
			return reset, err
		}
	}
	reset.Tasks = scheduled + adhoc
	return reset, tx.Commit()
}

// noSuchTable is MariaDB's and MySQL's error for that.
const noSuchTable = 1146

func (c change) make(ctx context.Context, tx *sql.Tx, site *moodle.Site) error {
	table := dbserver.Quote(site.Config.DBName) + "." + dbserver.Quote(site.Table(c.table))
	result, err := tx.ExecContext(ctx, fmt.Sprintf(c.statement, table))
	var refused *mysql.MySQLError
	if c.mayLack && errors.As(err, &refused) && refused.Number == noSuchTable {
		return nil
	}
	if err != nil {
		return fmt.Errorf("table %s: %w", c.table, err)
	}
	if c.count != nil {
		*c.count, err = result.RowsAffected()
	}
	return err
}
