package proof_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// site is a real 4.5 site in use, and the exporter that backs it up.
type site struct {
	*stand.Site
	database *stand.MariaDBServer
	killed   bool // the database server, and not yet started again
	pool     *sql.DB
	random   *rand.Rand
	binary   string
	dir      string // holds everything, in backups, state and tmp
	config   string // path of the configuration
	strict   string // of one that keeps a single backup
	offsite  string // of one that copies to storage; empty without it
	storage  *stand.MinIOServer
	bucket   string // in it, that is in use

	mutex  sync.Mutex
	serial int      // of stored files
	live   []string // SHA-1 of some files that may be deleted
	// pinned are not deleted: the last files before the last two backups. The first is in all there are.
	pinned [kept]string
}

func startSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: stand.TempDir(t)}
	var err error
	s.binary, err = stand.ExporterBinary(s.dir)
	must(t, err)
	s.database, err = stand.StartMariaDB(t.Context(), s.dir, stand.MariaDBOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, s.database.Close()) })
	s.Site, err = stand.NewSite(t.Context(), s.dir, s.database, stand.SiteOptions{Name: "lms", Socket: true, Fixture: true})
	must(t, err)
	s.pool, err = sql.Open("mysql", s.database.RootDSN(s.Database))
	must(t, err)
	t.Cleanup(func() { _ = s.pool.Close() }) // the server ends with the test's context, which may be earlier
	must(t, os.Mkdir(s.tmp(), 0o700))
	s.config, s.strict = s.configure(t, "moodle-exporter.yml", kept, ""), s.configure(t, "strict.yml", 1, "")
	return s
}

// configure writes a configuration that keeps so many backups, with more lines about backups, and returns its path.
func (s *site) configure(t *testing.T, name string, keep int, more string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	must(t, os.WriteFile(path, fmt.Appendf(nil, `
sites: [{name: lms, dir: %q, user: %q, database: {admin: {user: %q, socket: %q}}}]
backup:
  dir: %q
  keep: {last: %d}
  config_paths: [/etc/os-release]
  log_paths: [/etc/os-release]
  system_paths: [/etc/os-release]
%s`, s.CodeDir, s.Web.Name, s.database.RootUser(), s.database.Socket, s.backups(), keep, more), 0o600))
	return path
}

func (s *site) backups() string { return filepath.Join(s.dir, "backups") }
func (s *site) state() string   { return filepath.Join(s.dir, "state") }
func (s *site) tmp() string     { return filepath.Join(s.dir, "tmp") }

// command is a command of the exporter, with a directory for temporary files that nobody else uses.
func (s *site) command(words ...string) *exec.Cmd {
	command := exec.Command(s.binary, append(words, "--state.dir="+s.state())...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + s.tmp(), "HOME=" + s.tmp()}
	command.Dir = s.dir
	return command
}

// output runs a command that must succeed.
func (s *site) output(t *testing.T, words ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	command := s.command(words...)
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("moodle-exporter %s: %v: %s%s", strings.Join(words, " "), err, out, &stderr)
	}
	return out
}

// backUp makes a backup that must succeed, and returns its ID.
func (s *site) backUp(t *testing.T) string {
	t.Helper()
	s.mutex.Lock()
	s.pinned = [kept]string{s.pinned[1], s.live[len(s.live)-1]}
	s.mutex.Unlock()
	s.inPeace(t, backups)
	list := s.list(t)
	if len(list) == 0 {
		t.Fatal("the run succeeded, and there is no backup")
	}
	return list[len(list)-1]
}

// list are the IDs of the backups, oldest first, each of which must be good.
func (s *site) list(t *testing.T) (ids []string) {
	t.Helper()
	var manifests []struct{ ID string }
	must(t, json.Unmarshal(s.output(t, "backup", "list", "--json", "--config.file="+s.config), &manifests))
	table := string(s.output(t, "backup", "list", "--config.file="+s.config))
	for _, m := range manifests {
		ids = append(ids, m.ID)
		good := false
		for line := range strings.Lines(table) {
			good = good || strings.Contains(line, " "+m.ID+" ") && strings.Contains(line, "  good")
		}
		if !good {
			t.Errorf("backup %s is not listed as good:\n%s", m.ID, table)
		}
	}
	if rows := strings.Count(table, "\n"); len(ids) > 0 && rows != len(ids)+1 {
		t.Errorf("%d backups have a manifest, but listed are:\n%s", len(ids), table)
	}
	return ids
}

// run is a run as "jobs" shows it.
type run struct {
	ID, State, Error string
	Steps            []step
}

func (s *site) allRuns(t *testing.T) (runs []run) {
	t.Helper()
	must(t, json.Unmarshal(s.output(t, "jobs", "--json", "--config.file="+s.config), &runs))
	return runs
}

func (s *site) runs(t *testing.T) int { t.Helper(); return len(s.allRuns(t)) }

// record is that of the run after the first so many, if it was begun.
func (s *site) record(t *testing.T, before int) (run, bool) {
	t.Helper()
	if runs := s.allRuns(t); len(runs) > before {
		return runs[len(runs)-1], true
	}
	return run{}, false
}

// grow adds files of random content and sizes, with a row of the table files each.
func (s *site) grow(t *testing.T, files int) {
	t.Helper()
	for range files {
		must(t, s.add(t.Context(), 1+s.random.IntN(20_000)))
	}
}

// add stores a file as Moodle does: first its content, then its row.
func (s *site) add(ctx context.Context, size int) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.serial++
	name := fmt.Sprintf("file %d", s.serial)
	hash, err := s.store(bytes.Repeat([]byte(name), 1+size/len(name)))
	if err != nil {
		return err
	}
	path := sha1.Sum([]byte(name))
	_, err = s.pool.ExecContext(ctx, "INSERT INTO "+s.Prefix+`files
		(contenthash, pathnamehash, contextid, component, filearea, itemid, filepath, filename, filesize, timecreated, timemodified)
		VALUES (?, ?, 1, 'proof', 'content', 0, '/', ?, ?, 0, 0)`, hash, hex.EncodeToString(path[:]), name, size)
	if err == nil {
		s.live = append(s.live, hash)
	}
	return err
}

// store puts content into filedir, under its name only when it is whole.
func (s *site) store(content []byte) (hash string, err error) {
	sum := sha1.Sum(content)
	hash = hex.EncodeToString(sum[:])
	path := filepath.Join(s.Dataroot, "filedir", hash[:2], hash[2:4], hash)
	if err := os.MkdirAll(filepath.Dir(path), 0o770); err != nil {
		return "", err
	}
	if err := os.WriteFile(path+".tmp", content, 0o660); err != nil {
		return "", err
	}
	return hash, os.Rename(path+".tmp", path)
}

// remove deletes the oldest file as Moodle does: first its row, then its content goes to trashdir.
func (s *site) remove(ctx context.Context) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.live) == 0 {
		return nil
	}
	hash := s.live[0]
	if slices.Contains(s.pinned[:], hash) {
		s.live = append(s.live[1:], hash)
		return nil
	}
	if _, err := s.pool.ExecContext(ctx, "DELETE FROM "+s.Prefix+"files WHERE contenthash = ?", hash); err != nil {
		return err
	}
	s.live = s.live[1:]
	place := filepath.Join(hash[:2], hash[2:4], hash)
	trash := filepath.Join(s.Dataroot, "trashdir", place)
	if err := os.MkdirAll(filepath.Dir(trash), 0o770); err != nil {
		return err
	}
	return os.Rename(filepath.Join(s.Dataroot, "filedir", place), trash)
}

// keepBusy stores and deletes files all the time, as users do, until it is told to stop. While the server
// is down nobody can.
func (s *site) keepBusy(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			_ = s.add(ctx, 500)
			_ = s.remove(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return func() { cancel(); work.Wait() }
}

// age lets two days go by for everything in the pool: what no backup names may then be removed.
func (s *site) age(t *testing.T) {
	t.Helper()
	then := time.Now().Add(-48 * time.Hour)
	blobs, err := filepath.Glob(filepath.Join(s.backups(), "lms", "pool", "filedir", "*", "*", "*"))
	must(t, err)
	for _, blob := range blobs {
		must(t, os.Chtimes(blob, then, then))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
