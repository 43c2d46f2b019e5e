package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// contentOf are the names in an archive of a backup.
func contentOf(t testing.TB, o Options, id, name string) (names []string) {
	t.Helper()
	stored, err := os.Open(filepath.Join(o.Config.Dir, "lms", id, name))
	must(t, err)
	defer stored.Close()
	zstd := exec.CommandContext(t.Context(), "zstd", "-dc")
	zstd.Stdin = stored
	content, err := zstd.Output()
	must(t, err)
	reader := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		must(t, err)
		names = append(names, strings.TrimPrefix(header.Name, "./"))
	}
}

// TestOddSites: directories where config.php puts them, trees in one another, links and devices.
func TestOddSites(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	base := filepath.Dir(site.CodeDir)
	data := site.Dataroot
	write := func(path string) {
		must(t, os.MkdirAll(filepath.Dir(path), 0o750))
		must(t, os.WriteFile(path, []byte(path), 0o640))
	}
	c := &o.Site.Config
	c.CacheDir, c.TempDir, c.SecretDataRoot = filepath.Join(data, "own", "caches"), filepath.Join(base, "tmp"), filepath.Join(base, "secrets")
	c.FileSystemClass = `\tool_objectfs\local\store\s3\file_system`
	for _, path := range []string{"own/caches/c", "own/data", "plugin/cache/d", "cache/of a plugin", "lock/l"} {
		write(filepath.Join(data, path))
	}
	write(filepath.Join(c.SecretDataRoot, "key"))
	write(filepath.Join(c.TempDir, "t"))
	// The pool and caches behind links; content files that lead out.
	must(t, os.Rename(filepath.Join(data, "filedir"), filepath.Join(base, "disk2")))
	must(t, os.Symlink(filepath.Join(base, "disk2"), filepath.Join(data, "filedir")))
	evil := strings.Repeat("e", 40)
	must(t, os.MkdirAll(filepath.Join(base, "disk2/ee/ee"), 0o750))
	must(t, os.Symlink("/etc/passwd", filepath.Join(base, "disk2/ee/ee", evil)))
	must(t, os.Symlink("/etc", filepath.Join(base, "disk2/ff")))
	write(filepath.Join(base, "disk2/ee/ee", strings.Repeat("e", 40)+".tmp"))
	must(t, syscall.Mkfifo(filepath.Join(data, "pipe"), 0o600))
	socket, err := net.Listen("unix", filepath.Join(data, "socket"))
	must(t, err)
	defer socket.Close()
	write(filepath.Join(site.CodeDir, ".mxp-kept", "x"))
	must(t, os.MkdirAll(filepath.Join(site.CodeDir, ".git"), 0o750))
	must(t, os.WriteFile(filepath.Join(site.CodeDir, ".git/HEAD"), []byte("ref: refs/heads/MOODLE_405_STABLE\n"), 0o640))
	must(t, os.WriteFile(filepath.Join(site.CodeDir, ".git/packed-refs"), []byte("# pack-refs\n"+someHash+" refs/heads/MOODLE_405_STABLE\n"), 0o640))

	var log lockedBuffer
	o.Logger = loggerTo(&log)
	m := create(t, o)
	if m.Filedir.Missing != 0 || m.Filedir.Blobs == 0 || m.Moodle.GitCommit != someHash {
		t.Errorf("%+v, commit %q", m.Filedir, m.Moodle.GitCommit)
	}
	for _, b := range listOf(t, o, m.ID) {
		if b.sum.String() == evil {
			t.Error("a link was followed out of filedir")
		}
	}
	names := contentOf(t, o, m.ID, "dataroot.tar.zst")
	for name, want := range map[string]bool{
		"own/caches/": true, "own/caches/c": false, "own/data": true, "plugin/cache/d": true, "cache/of a plugin": true, "lock/": true, "lock/l": false,
		"filedir": true, "pipe": false, "socket": false,
	} {
		if slices.Contains(names, name) != want {
			t.Errorf("dataroot holds %s: %v, want %v", name, !want, want)
		}
	}
	if names := contentOf(t, o, m.ID, "config.tar.zst"); !slices.Contains(names, strings.TrimPrefix(c.SecretDataRoot, "/")+"/key") ||
		!slices.Contains(names, strings.TrimPrefix(site.CodeDir, "/")+"/config.php") || !slices.Contains(names, "database-account.sql") {
		t.Errorf("config holds %v", names)
	}
	for _, name := range contentOf(t, o, m.ID, "code.tar.zst") {
		if strings.Contains(name, ".mxp-") {
			t.Errorf("code holds %s", name)
		}
	}
	warnings := strings.Join(m.Warnings, "\n")
	for _, want := range []string{"tool_objectfs", "is a pipe and not backed up: pipe", "is a socket", "filedir could not be read"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning says %q:\n%s", want, warnings)
		}
	}
	for line := range strings.Lines(log.String()) { // which cron mails
		if strings.Contains(line, "level=WARN") && strings.Contains(line, "not backed up") {
			t.Errorf("told at every backup: %s", line)
		}
	}
}

// TestDatarootInsideTheCode is a mistake that exists.
func TestDatarootInsideTheCode(t *testing.T) {
	t.Parallel()
	base := stand.TempDir(t)
	_, o := newSite(t, stand.SiteOptions{CodeDir: filepath.Join(base, "moodle"), Dataroot: filepath.Join(base, "moodle", "data")})
	m := create(t, o)
	for _, name := range contentOf(t, o, m.ID, "code.tar.zst") {
		if strings.HasPrefix(name, "data/") {
			t.Errorf("code holds %s", name)
		}
	}
	if m.Filedir.Missing != 0 {
		t.Errorf("%+v", m.Filedir)
	}
}

// TestFilesThatChangeWhileTheyAreRead keep the archive whole: cut, or filled up with zeros and told.
func TestFilesThatChangeWhileTheyAreRead(t *testing.T) {
	for name, test := range map[string]struct {
		change func(path string) error
		torn   bool
	}{
		"grows":    {func(path string) error { return os.Truncate(path, 10<<20) }, false},
		"shrinks":  {func(path string) error { return os.Truncate(path, 100) }, true},
		"vanishes": {os.Remove, false},
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "a"), bytes.Repeat([]byte("x"), 4<<20), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "b"), []byte("after"), 0o600))
		changed := false
		run := &watchedRun{on: func(string) {
			if !changed {
				changed = true
				must(t, test.change(filepath.Join(dir, "a")))
			}
		}}
		run.step.Store("")
		a := &archive{sources: []source{{dir, ".", "."}}, run: run, skip: func(string, fs.FileInfo) skipping { return takeAll }}
		var out bytes.Buffer
		var notes notes
		must(t, a.write(t.Context(), &out, notes.add))
		reader := tar.NewReader(&out)
		sizes := map[string]int64{}
		for {
			header, err := reader.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			sizes[header.Name], err = io.Copy(io.Discard, reader)
			must(t, err)
		}
		if sizes["./a"] != 4<<20 || sizes["./b"] != 5 || (notes.count > 0) != test.torn {
			t.Errorf("%s: %v, notes %v", name, sizes, notes.first)
		}
	}
}

func TestStateIsEmptyWhileChangesAreFresh(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a"), nil, 0o600))
	a := &archive{sources: []source{{dir, ".", "."}}, run: noRun{}, skip: func(string, fs.FileInfo) skipping { return takeAll }}
	fresh, err := a.measure(t.Context(), time.Now())
	must(t, err)
	old, err := a.measure(t.Context(), time.Now().Add(time.Minute))
	must(t, err)
	if fresh.state != "" || old.state == "" || old.files != 2 {
		t.Errorf("%+v, %+v", fresh, old)
	}
	must(t, os.Chmod(filepath.Join(dir, "a"), 0o640))
	changed, err := a.measure(t.Context(), time.Now().Add(time.Minute))
	must(t, err)
	if changed.state == old.state {
		t.Error("a change of mode does not show")
	}
}
