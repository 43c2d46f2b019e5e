package restore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/backup"
	exchange "github.com/moodle-exporter/moodle-exporter/backup/database"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// ownDSN logs in as the site does.
func (r *rig) ownDSN() string {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = r.site.User, r.site.Password, "tcp", fmt.Sprintf("127.0.0.1:%d", r.db.Port), r.site.Database
	return c.FormatDSN()
}

// TestNobodyWorksOnWhileTheSiteIsExchanged ends a task and a connection from before.
func TestNobodyWorksOnWhileTheSiteIsExchanged(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	r.write(filepath.Join(r.site.CodeDir, "admin/cli/adhoc_task.php"), "<?php pcntl_signal(SIGTERM, function () {}); while (true) { sleep(1); }\n")
	r.must(os.Chmod(filepath.Join(r.site.CodeDir, "admin/cli/adhoc_task.php"), 0o644))
	manifest := r.backUp()
	worker := r.site.CLI(t.Context(), "adhoc_task")
	r.must(worker.Start())
	ended := make(chan error, 1)
	go func() { ended <- worker.Wait() }()

	own, err := sql.Open("mysql", r.ownDSN())
	r.must(err)
	defer own.Close()
	// This one holds no lock: nothing would stumble over it.
	idle, err := own.Conn(t.Context())
	r.must(err)
	read, write := "SELECT COUNT(*) FROM "+r.site.Prefix+"user", "UPDATE "+r.site.Prefix+"user SET lastaccess = 1"
	var users int
	r.must(idle.QueryRowContext(t.Context(), read).Scan(&users))
	result, err := r.restore(r.options(manifest))
	r.must(err)
	select {
	case err := <-ended:
		if !worker.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
			t.Errorf("the task has ended by itself: %v", err)
		}
	default:
		t.Error("the task is still at work")
		_ = worker.Process.Kill()
	}
	if _, err := idle.ExecContext(t.Context(), write); err == nil {
		t.Error("a connection from before writes to the restored tables")
	}
	r.must(restore.Discard(t.Context(), r.options(manifest), result.Journal, &stand.QuietRun{}))

	transaction, err := own.Begin()
	r.must(err)
	r.must(transaction.QueryRow(read).Scan(&users))
	result, err = r.restore(r.options(manifest))
	r.must(err)
	if _, err := transaction.Exec(write); err == nil {
		t.Error("a transaction from before writes to the restored tables")
	}
	r.must(restore.Discard(t.Context(), r.options(manifest), result.Journal, &stand.QuietRun{}))
}

// breakOff kills a restore, as it were, at a step, and returns its journal.
func (r *rig) breakOff(m *backup.Manifest, step string) *restore.Journal {
	r.t.Helper()
	o := r.options(m)
	o.At = func(at string) {
		if at == step {
			panic(killed{})
		}
	}
	func() {
		defer func() {
			if _, ok := recover().(killed); !ok {
				r.t.Fatal("the step was not met")
			}
		}()
		_, _ = r.restore(o)
	}()
	journals, err := restore.Journals(r.stateDir(), "lms")
	r.must(err)
	return journals[len(journals)-1]
}

// TestWhatWasWrittenIntoAHalfRestoredSiteIsKept opens a site by hand that a kill has left closed.
func TestWhatWasWrittenIntoAHalfRestoredSiteIsKept(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	table := "`" + r.site.Prefix + "course`"
	r.sql("UPDATE `" + r.site.Database + "`." + table + " SET fullname = 'before'")
	before := r.state()
	journal := r.breakOff(manifest, "switch")
	r.must(os.Remove(filepath.Join(r.site.Dataroot, "climaintenance.html")))
	r.sql("UPDATE `" + r.site.Database + "`." + table + " SET fullname = 'written since'")

	finished, err := restore.Recover(t.Context(), r.options(manifest), journal, &stand.QuietRun{})
	if err != nil || finished {
		t.Fatalf("finished %v, %v", finished, err)
	}
	r.same(before, r.state())
	db, err := sql.Open("mysql", r.db.RootDSN(exchange.StagedName(r.site.Database, journal.ID)))
	r.must(err)
	defer db.Close()
	var name string
	r.must(db.QueryRowContext(t.Context(), "SELECT fullname FROM "+table+" LIMIT 1").Scan(&name))
	if name != "written since" {
		t.Errorf("what was written is %q", name)
	}
	if left, err := restore.Unfinished(r.stateDir(), "lms"); err != nil || left != nil {
		t.Errorf("unfinished: %v, %v", left, err)
	}
	r.must(restore.Discard(t.Context(), r.options(manifest), journal, &stand.QuietRun{}))
	r.nothingLeft()
}

// TestTablesThatAreLost has the database server lose all that a broken off restore needs.
func TestTablesThatAreLost(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	restored := r.state()
	journal := r.breakOff(manifest, "switch")
	r.sql("DROP DATABASE `"+r.site.Database+"`", "DROP DATABASE `"+exchange.OldName(r.site.Database, journal.ID)+"`", "DROP DATABASE IF EXISTS `"+exchange.StagedName(r.site.Database, journal.ID)+"`")
	_, err := restore.Recover(t.Context(), r.options(manifest), journal, &stand.QuietRun{})
	var lost *restore.LostError
	if !errors.As(err, &lost) {
		t.Fatalf("not said: %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.site.Dataroot, "climaintenance.html")); err != nil {
		t.Error("a site without tables was opened")
	}
	result, err := r.restore(r.options(manifest))
	r.must(err)
	r.same(restored, r.state())
	r.must(restore.Discard(t.Context(), r.options(manifest), result.Journal, &stand.QuietRun{}))
	r.nothingLeft()
}

// TestASiteInUseIsNotTakenBack finds a restore that was killed when the site was open, long ago.
func TestASiteInUseIsNotTakenBack(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	journal := r.breakOff(manifest, "open")
	r.write(filepath.Join(r.stateDir(), "restore/lms/."+journal.ID+".json.123"), "{") // killed over it
	r.sql("UPDATE `"+r.site.Database+"`.`"+r.site.Prefix+"course` SET fullname = 'written since'", "RENAME TABLE `"+r.site.Database+"`.`"+r.site.Prefix+"config` TO `"+r.site.Database+"`.`away`")
	now := r.state()
	o := r.options(manifest)
	o.Clock = func() time.Time { return journal.Opened.Add(time.Hour) }
	finished, err := restore.Recover(t.Context(), o, journal, &stand.QuietRun{})
	if !finished || err == nil || !strings.Contains(err.Error(), "in use since") {
		t.Errorf("finished %v, %v", finished, err)
	}
	r.same(now, r.state())
	r.must(restore.Discard(t.Context(), r.options(manifest), journal, &stand.QuietRun{}))
	r.nothingLeft()
}

// TestPlanThatWasKilled leaves the schemas in which rights are tried: the next plan takes no offence.
func TestPlanThatWasKilled(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	for _, name := range []string{exchange.StagedName(r.site.Database, "20060102T150405Z"), exchange.OldName(r.site.Database, "20060102T150405Z")} {
		r.sql("CREATE DATABASE `" + name + "`")
	}
	for _, after := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 60 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		_, _ = restore.MakePlan(ctx, r.options(manifest)) // interrupted wherever it is
		cancel()
	}
	plan, err := restore.MakePlan(t.Context(), r.options(manifest))
	r.must(err)
	r.must(plan.Refusal())
	r.nothingLeft()
}
