package host

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// record is what the tests read of a job's record.
type record struct {
	State, Error string
	PID          int
	PGIDs        []int
	Steps        []struct{ Name string }
	Runs         int
	LastSuccess  *time.Time `json:"last_success"`
}

func (i *installation) record(site string) (r record, err error) {
	content, err := os.ReadFile(filepath.Join(i.state, "jobs", site, "backup.json"))
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	return r, err
}

// stall keeps a dump of a site from getting on, by a lock on one of its tables, until release is called.
func (h *host) stall(t *testing.T, database, table string) (release func()) {
	t.Helper()
	db, err := sql.Open("mysql", h.db.RootDSN(database))
	must(t, err)
	conn, err := db.Conn(context.Background())
	must(t, err)
	_, err = conn.ExecContext(t.Context(), "LOCK TABLES `"+table+"` WRITE")
	must(t, err)
	var released bool
	release = func() {
		if !released {
			released = true
			_, err := conn.ExecContext(context.Background(), "UNLOCK TABLES")
			must(t, err, conn.Close(), db.Close())
		}
	}
	t.Cleanup(release)
	return release
}

// stalled starts a backup of a site and returns when its dump waits for the lock.
func (i *installation) stalled(t *testing.T, args ...string) (*exporter, record) {
	t.Helper()
	e := i.launch(t, i.command(t.Context(), t, append([]string{"backup"}, args...)...))
	var r record
	eventually(t, func() (err error) {
		if r, err = i.record("lms"); err == nil && (len(r.Steps) == 0 || r.Steps[len(r.Steps)-1].Name != "dump" || len(r.PGIDs) == 0) {
			err = fmt.Errorf("not dumping yet: %+v", r)
		}
		if err == nil && !strings.Contains(i.sql(t, "SHOW FULL PROCESSLIST"), "Waiting for table metadata lock") {
			err = errors.New("the dump does not wait yet")
		}
		return err
	})
	return e, r
}

func (e *exporter) wait(t *testing.T) int {
	t.Helper()
	eventually(t, func() error {
		select {
		case <-e.ended:
			return nil
		default:
			return errors.New("still running")
		}
	})
	return e.process.ProcessState.ExitCode()
}

// leftover looks for remains of unfinished backups.
func leftover(t *testing.T, i *installation) {
	t.Helper()
	out := said(t, "find", i.dir, "-name", ".mxp-*", "-o", "-name", "*.tmp")
	if out != "" {
		t.Errorf("left over: %s", out)
	}
}

// TestInterrupted ends a backup in the middle of its dump, as systemd and Ctrl-C do.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			i := h.install(t, nil)
			release := h.stall(t, "lms", "m45_user")
			e, r := i.stalled(t) // both sites: campus is done, lms is stopped
			i.watchRunning(t)
			if o := i.run(t, "backup", "--site=lms"); o.code != 11 || !strings.Contains(o.stderr, "locked by another job") {
				t.Errorf("a second backup at the same time ended with %d: %s", o.code, o.stderr)
			}
			if o := i.run(t, "backup", "list"); o.code != 0 {
				t.Errorf("a reader is kept out: %d %s", o.code, o.stderr)
			}
			must(t, e.process.Process.Signal(s))
			if code := e.wait(t); code != 130 {
				t.Errorf("ended with %d, want 130: %s", code, e.log)
			}
			for _, group := range r.PGIDs {
				if err := syscall.Kill(-group, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("the process group %d is still there (%v)", group, err)
				}
			}
			leftover(t, i)
			if r, err := i.record("lms"); err != nil || r.State != "interrupted" || r.LastSuccess != nil {
				t.Errorf("record %+v (%v)", r, err)
			}
			release()
			i.mustRun(t, "backup", "--site=lms")
			if r, err := i.record("lms"); err != nil || r.State != "ok" || r.Runs != 2 {
				t.Errorf("record of the next run %+v (%v)", r, err)
			}
		})
	}
}

// watchRunning looks at a backup under way, through the exporter and the commands.
func (i *installation) watchRunning(t *testing.T) {
	t.Helper()
	e := i.serve(t)
	p := e.scrape(t, "/metrics")
	p.want(t, 1, "job_running", "site", "lms", "name", "backup")
	p.want(t, 0, "job_running", "site", "campus", "name", "backup")
	if ratio, err := p.value("job_progress_ratio", "site", "lms"); err != nil || ratio < 0 || ratio > 1 {
		t.Errorf("progress %v (%v)", ratio, err)
	}
	for _, name := range []string{"job_last_result", "job_last_end_timestamp_seconds", "job_last_success_timestamp_seconds", "backup_last_success_timestamp_seconds"} {
		if value, err := p.value(name, "site", "lms"); err == nil {
			t.Errorf("before the first run has ended, %s is %v", name, value)
		}
	}
	promises := contract(t)
	promises["job_progress_ratio"].hold(t, p["moodle_job_progress_ratio"])
	if out := i.mustRun(t, "jobs"); !strings.Contains(out, "running") {
		t.Errorf("jobs: %s", out)
	}
	if page := e.get(t, "/"); !strings.Contains(page, "<progress") {
		t.Error("the page shows no progress")
	}
	e.stop(t)
}

// TestKilled: what kill -9 leaves is told as interrupted, and the next run succeeds.
func TestKilled(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.install(t, object{"sites": []object{{"name": "lms", "dir": h.lms.CodeDir}}})
	i.mustRun(t, "backup")
	release := h.stall(t, "lms", "m45_user")
	e, r := i.stalled(t)
	must(t, e.process.Process.Kill())
	e.wait(t)
	// The dump holds the lock as long as it lives.
	if o := i.run(t, "backup"); o.code != 11 {
		t.Errorf("with the dump of the killed backup still there a new one ended with %d: %s", o.code, o.stderr)
	}
	release()
	eventually(t, func() error {
		for _, group := range r.PGIDs {
			if syscall.Kill(-group, 0) == nil {
				return fmt.Errorf("the process group %d is still there", group)
			}
		}
		return nil
	})
	watch := i.serve(t)
	p := watch.scrape(t, "/metrics")
	p.want(t, 0, "job_running", "site", "lms", "name", "backup")
	p.want(t, 0, "job_last_result", "site", "lms", "name", "backup")
	p.want(t, 1, "backups", "site", "lms")
	if out := i.mustRun(t, "jobs"); !strings.Contains(out, "interrupted") {
		t.Errorf("jobs: %s", out)
	}
	watch.stop(t)
	i.mustRun(t, "backup")
	leftover(t, i)
}

// TestExitCodes: one code for each way a job may end, and the worst of several sites.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	missing := missingCode(h.campus)
	one := func(i *installation, args []string, want int, holds string) {
		t.Helper()
		o := i.run(t, args...)
		if o.code != want || !strings.Contains(o.stderr, holds) {
			t.Errorf("%q ended with %d, want %d and %q: %s", args, o.code, want, holds, o.stderr)
		}
	}
	i := h.install(t, nil)
	one(i, []string{"backup", "show", "latest"}, 10, "no such backup")
	one(i, []string{"backup", "--only=nonsense"}, 12, "no component nonsense")
	one(i, []string{"backup", "--only=database"}, 0, "")
	one(i, []string{"backup"}, missing, "")
	one(i, []string{"backup", "show", "20010101T000000Z"}, 10, "no such backup")
	one(i, []string{"backup", "show", "latest", "--site=lms"}, 0, "")
	one(i, []string{"backup", "--site=nobody"}, 1, "there are: campus, lms")
	one(i, []string{"jobs", "show", "nonsense"}, 1, "moodle-exporter jobs lists them")
	one(i, []string{"nonsense"}, 1, "try --help")
	one(i, []string{"backup", "--nonsense"}, 1, "try --help")
	one(i, []string{"config", "init"}, 1, "exists and is left as it is")
	// Refused (12) is worse than missing files (3); failed (1) is worse than both.
	refused := h.install(t, object{"sites": []object{
		{"name": "lms", "dir": h.lms.CodeDir, "database": object{"admin": object{"user": "nobody", "socket": h.db.Socket}}}, {"name": "campus", "dir": h.campus.CodeDir},
	}})
	one(refused, []string{"backup"}, 12, "lets nobody in")
	if len(strings.Fields(refused.mustRun(t, "backup", "list", "--site=campus"))) < 10 {
		t.Error("the other site was not backed up")
	}
	i.settings["backup"] = object{"dir": h.lms.Dataroot + "/inside"}
	must(t, i.write())
	one(i, []string{"backup", "--site=lms"}, 12, "backup directory")
	must(t, os.WriteFile(i.config, []byte("sites: 7\n"), 0o600))
	for _, command := range []string{"backup", "probe", "serve", "config check", "config show", "config grants", "backup list"} {
		one(i, strings.Fields(command), 1, "line 1")
	}
	one(i, []string{"status"}, 3, "line 1")
}

// TestOneSiteBroken: a site that cannot be read is an error, and does not keep the other one from being backed up.
func TestOneSiteBroken(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	php := filepath.Join(h.campus.CodeDir, "config.php")
	tests := map[string]func(t *testing.T){
		"gone": func(t *testing.T) {
			must(t, os.Rename(php, php+".away"))
			t.Cleanup(func() { must(t, os.Rename(php+".away", php)) })
		},
		"no dataroot": func(t *testing.T) { edit(t, php, "$CFG->dataroot", "$CFG->datarot") },
		"no database": func(t *testing.T) { edit(t, php, "$CFG->dbname", "$CFG->dbnam") },
		"a directory": func(t *testing.T) {
			must(t, os.Rename(php, php+".away"), os.Mkdir(php, 0o755))
			t.Cleanup(func() { must(t, os.Remove(php), os.Rename(php+".away", php)) })
		},
	}
	for name, breakIt := range tests {
		t.Run(name, func(t *testing.T) {
			i := h.install(t, nil)
			breakIt(t)
			o := i.run(t, "backup")
			if o.code != 1 || !strings.Contains(o.stderr, h.campus.CodeDir) {
				t.Errorf("ended with %d: %s", o.code, o.stderr)
			}
			if out := i.mustRun(t, "backup", "list"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "lms") {
				t.Errorf("backups:\n%s", out)
			}
			e := i.serve(t)
			p := e.scrape(t, "/metrics")
			p.want(t, 1, "database_up", "server", "127.0.0.1:"+strconv.Itoa(h.db.Port))
			if page := e.get(t, "/"); !strings.Contains(page, h.campus.CodeDir) {
				t.Error("the page does not name the broken site")
			}
		})
	}
}

// TestSiteBreaksLater: a site whose config.php is broken is not forgotten: its alerts would fall silent.
func TestSiteBreaksLater(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.install(t, nil)
	i.mustRun(t, "probe")
	edit(t, filepath.Join(h.campus.CodeDir, "config.php"), "$CFG->dbname", "$CFG->dbnam")
	if o := i.run(t, "probe"); !strings.Contains(o.stderr, h.campus.CodeDir) {
		t.Errorf("nothing is said: %s", o.stderr)
	}
	e := i.serve(t)
	p := e.scrape(t, "/metrics")
	p.want(t, 1, "backup_enabled", "site", "campus")
	p.want(t, 1, "site_info", "site", "campus")
}

// TestCron: what cron calls says nothing while all is well, and something when it is not.
func TestCron(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.install(t, object{"sites": []object{{"name": "lms", "dir": h.lms.CodeDir}}})
	for _, args := range [][]string{{"backup"}, {"backup", "create", "--site=lms"}, {"backup", "--only=database,config"}, {"probe"}} {
		if o := i.run(t, args...); o != (outcome{}) {
			t.Errorf("%q: %+v", args, o)
		}
	}
	// On a terminal somebody looks: script(1) gives it one.
	command := i.command(t.Context(), t, "backup")
	o := finish(t, exec.CommandContext(t.Context(), "script", "-qec", shellQuoted(command.Args), "/dev/null"))
	if o.code != 0 || !strings.Contains(o.stdout, "Backup ") || !strings.Contains(o.stdout, "lms") {
		t.Errorf("on a terminal: %+v", o)
	}
}

func shellQuoted(words []string) string {
	quoted := make([]string, len(words))
	for n, word := range words {
		quoted[n] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
