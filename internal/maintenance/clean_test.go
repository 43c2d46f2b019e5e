package maintenance

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// Files get their times by being made now and looked at from later: nobody can set a ctime.
const week = 7 * 24 * time.Hour

// tree is a directory to be cleaned, and one outside of which nothing may go.
type tree struct {
	root, outside string
	later         time.Time
}

func newTree(t *testing.T) *tree {
	t.Helper()
	dir := t.TempDir()
	tr := &tree{filepath.Join(dir, "tmp"), filepath.Join(dir, "outside"), time.Now().Add(8 * 24 * time.Hour)}
	for _, made := range []string{tr.root, tr.outside} {
		if err := os.Mkdir(made, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func (tr *tree) write(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(tr.root, name)
		if filepath.IsAbs(name) {
			path = name
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("content"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// young makes a file that was used a moment ago, from where the test looks.
func (tr *tree) young(t *testing.T, name string, access, modified time.Time) {
	t.Helper()
	tr.write(t, name)
	if err := os.Chtimes(filepath.Join(tr.root, name), access, modified); err != nil {
		t.Fatal(err)
	}
}

func (tr *tree) settings() config.Cleaning {
	return config.Cleaning{Roots: []string{tr.root}, Age: config.Duration(week)}
}

func (tr *tree) trees() Trees {
	return Trees{Protect: func(context.Context) []string { return nil }, ProcRoot: "/proc", Clock: func() time.Time { return tr.later }}
}

// left are the files below a directory, by their names in it.
func left(t *testing.T, dir string) []string {
	t.Helper()
	list := []string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			list = append(list, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// do runs a task as its job.
func do(t *testing.T, task Task) error {
	t.Helper()
	r := newRig(t, time.UTC, "")
	r.now = time.Now()
	return r.Runner.Do(t.Context(), job.Spec{Job: Job, Site: config.HostName}, func(ctx context.Context, run *job.Run) error { return task.Run(ctx, run) })
}

func TestTmp(t *testing.T) {
	tr := newTree(t)
	tr.write(t, "old", "a/b/c/old", "new\nline", "bad\xff\xfename", " -rf", "*", "a/.hidden", filepath.Join(tr.outside, "target"),
		"systemd-private-1-nginx.service/tmp/x", ".X0-lock", "mysql.sock.lock", "kept/a", "keptnot", "site/temp/x", "tmux-0/default")
	tr.young(t, "read", tr.later.Add(-time.Hour), time.Now())
	tr.young(t, "written", time.Now(), tr.later.Add(-time.Hour))
	open, err := os.Open(filepath.Join(tr.root, "a/.hidden"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	mapped := tr.mapped(t, "mapped")
	defer mapped()
	fifo := syscall.Mkfifo(filepath.Join(tr.root, "fifo"), 0o600)
	links := errors.Join(fifo,
		os.Symlink(filepath.Join(tr.outside, "target"), filepath.Join(tr.root, "link")),
		os.Symlink(tr.outside, filepath.Join(tr.root, "dirlink")),
		os.Link(filepath.Join(tr.outside, "target"), filepath.Join(tr.root, "hardlink")),
		os.Mkdir(filepath.Join(tr.root, "empty"), 0o700))
	if links != nil {
		t.Fatal(links)
	}
	settings, trees := tr.settings(), tr.trees()
	settings.Exclude = []string{filepath.Join(tr.root, "kept")}
	trees.Protect = func(context.Context) []string { return []string{filepath.Join(tr.root, "site"), "/none"} }
	task := NewTmp(settings, trees)

	before := left(t, tr.root)
	var preview bytes.Buffer
	if err := task.Preview(t.Context(), &preview); err != nil {
		t.Fatal(err)
	}
	if now := left(t, tr.root); !slices.Equal(now, before) {
		t.Fatalf("a preview has removed something: %q", now)
	}
	for _, want := range []string{"would remove 7 files", `new\nline"`, `bad\xff\xfename"`, "leaves 2 that are open and 1 that have another name"} {
		if !strings.Contains(preview.String(), want) {
			t.Errorf("the preview lacks %q:\n%s", want, preview.String())
		}
	}
	if err := do(t, task); err != nil {
		t.Fatal(err)
	}
	want := []string{".X0-lock", "a/.hidden", "dirlink", "fifo", "hardlink", "kept/a", "link", "mapped", "mysql.sock.lock", "read", "site/temp/x",
		"systemd-private-1-nginx.service/tmp/x", "tmux-0/default", "written"}
	if got := left(t, tr.root); !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	if got := left(t, tr.outside); len(got) != 1 {
		t.Errorf("outside are %q", got)
	}
	if _, err := os.Stat(filepath.Join(tr.root, "empty")); err != nil {
		t.Error("directories are not ours to remove:", err)
	}
}

// mapped makes a file that is mapped, and not open any more.
func (tr *tree) mapped(t *testing.T, name string) (unmap func()) {
	t.Helper()
	tr.write(t, name)
	file, err := os.Open(filepath.Join(tr.root, name))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, 7, syscall.PROT_READ, syscall.MAP_SHARED)
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return func() { _ = syscall.Munmap(memory) }
}

func TestLogs(t *testing.T) {
	tr := newTree(t)
	tr.later = time.Now()
	old := tr.later.Add(-31 * 24 * time.Hour)
	gone := []string{"a.log", "a.log.1", "a.log.2.gz", "a.log-20260101", "a.log-20260101.zst", "nginx/access.log.14.gz", "b.log.old", "x.log.gz", "a.log-20260131-1769817600.gz"}
	stay := []string{"access.logs", "journal/system.journal", "log", "lastlog", "syslog", "wtmp", "x.log.d", "x.log.conf", "x.login", "y.log.1.sock"}
	for _, name := range append(slices.Clone(gone), stay...) {
		tr.young(t, name, tr.later, old) // read today, by a backup
	}
	tr.young(t, "empty.log", tr.later, old)
	if err := errors.Join(os.Truncate(filepath.Join(tr.root, "empty.log"), 0), os.Chtimes(filepath.Join(tr.root, "empty.log"), old, old)); err != nil {
		t.Fatal(err)
	}
	tr.young(t, "current.log", tr.later, tr.later.Add(-29*24*time.Hour))
	tr.young(t, "held.log", tr.later, old)
	held, err := os.OpenFile(filepath.Join(tr.root, "held.log"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	settings := tr.settings()
	settings.Age = config.Duration(30 * 24 * time.Hour)
	if err := do(t, NewLogs(settings, tr.trees())); err != nil {
		t.Fatal(err)
	}
	want := append(stay, "current.log", "empty.log", "held.log")
	got := left(t, tr.root)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

// A root is where it is said to be, or nowhere: a parent may belong to somebody who makes a link of it.
func TestRootThatIsALink(t *testing.T) {
	tr := newTree(t)
	tr.write(t, filepath.Join(tr.outside, "below/target"))
	link := filepath.Join(tr.root, "link")
	if err := os.Symlink(tr.outside, link); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{link, filepath.Join(link, "below")} {
		settings := tr.settings()
		settings.Roots = []string{root, filepath.Join(tr.root, "none")}
		if err := do(t, NewTmp(settings, tr.trees())); err == nil || !strings.Contains(err.Error(), "name the directory by its real path") {
			t.Errorf("%s: %v", root, err)
		}
	}
	settings := tr.settings()
	settings.Roots = []string{link, tr.outside}
	if err := do(t, NewTmp(settings, tr.trees())); err != nil {
		t.Errorf("a root that is only another name of one: %v", err)
	}
	if got := left(t, tr.outside); len(got) != 0 {
		t.Errorf("the real root was not cleaned: %q", got)
	}
}

// A lock on a directory keeps cleaners out, as systemd.io/TEMPORARY_DIRECTORIES says.
func TestLockedDirectoryStays(t *testing.T) {
	tr := newTree(t)
	tr.write(t, "job/part", "other")
	dir, err := os.Open(filepath.Join(tr.root, "job"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	if err := do(t, NewTmp(tr.settings(), tr.trees())); err != nil {
		t.Fatal(err)
	}
	if got := left(t, tr.root); !slices.Equal(got, []string{"job/part"}) {
		t.Errorf("left are %q", got)
	}
}

// A tree as deep as somebody likes takes neither memory nor descriptors; what lies too deep stays.
func TestDeepTree(t *testing.T) {
	tr := newTree(t)
	deep := strings.Repeat("d/", 400)
	tr.write(t, deep+"x", strings.Repeat("d/", deepest)+"y", "z")
	if err := do(t, NewTmp(tr.settings(), tr.trees())); err != nil {
		t.Fatal(err)
	}
	if got := left(t, tr.root); !slices.Equal(got, []string{deep + "x"}) {
		t.Errorf("left are %q", got)
	}
}

func TestMountsStay(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts are not tried: that takes root")
	}
	tr := newTree(t)
	tr.write(t, "old", "same/x", "other/x", filepath.Join(tr.outside, "target"))
	same, other := filepath.Join(tr.root, "same"), filepath.Join(tr.root, "other")
	// The one has the device of the tree, the other has not.
	for _, mount := range []error{unix.Mount(tr.outside, same, "", unix.MS_BIND, ""), unix.Mount("maintenance", other, "tmpfs", 0, "")} {
		if mount != nil {
			t.Fatal(mount)
		}
	}
	t.Cleanup(func() { _, _ = unix.Unmount(same, unix.MNT_DETACH), unix.Unmount(other, unix.MNT_DETACH) })
	tr.write(t, "other/y")
	if err := do(t, NewTmp(tr.settings(), tr.trees())); err != nil {
		t.Fatal(err)
	}
	if got := left(t, tr.root); !slices.Equal(got, []string{"other/y", "same/target"}) {
		t.Errorf("left are %q", got)
	}
}

// Whoever owns a directory may swap it, or a parent of it, for a link at any moment. It happens here at the worst one:
// between the look and what follows from it. What the link leads to is never touched.
func TestSwapped(t *testing.T) {
	for _, c := range []struct{ at, swapped string }{
		{"victim", "victim"}, {"a/victim", "a/victim"}, {"a/victim", "a"}, {"a/victim/passwd", "a/victim"}, {"a/victim/passwd", "a"},
		{"a/victim/passwd", "a/victim/passwd"}, {"victim/passwd", ""},
	} {
		t.Run(c.at+" "+c.swapped, func(t *testing.T) {
			tr := newTree(t)
			tr.write(t, "victim/passwd", "a/victim/passwd", filepath.Join(tr.outside, "passwd"), filepath.Join(tr.outside, "victim/passwd"))
			task := newCleaning("tmp", tr.trees(), cleaner{
				Cleaning: tr.settings(), used: func(s *unix.Stat_t) time.Time { return moment(s.Mtim) },
				takes: func(string, int64) bool { return true }, spares: func(string) bool { return false },
				seen: func(path string) {
					if path != filepath.Join(tr.root, c.at) {
						return
					}
					swapped := filepath.Join(tr.root, c.swapped)
					if err := errors.Join(os.Rename(swapped, filepath.Join(filepath.Dir(tr.outside), "away")), os.Symlink(tr.outside, swapped)); err != nil {
						t.Error(err)
					}
				},
			})
			if err := do(t, task); err != nil {
				t.Error(err)
			}
			if got := left(t, tr.outside); !slices.Equal(got, []string{"passwd", "victim/passwd"}) {
				t.Errorf("outside are %q", got)
			}
		})
	}
}

// What somebody puts in the place of an old file, at the last moment, is not that file.
func TestReplacedFileStays(t *testing.T) {
	tr := newTree(t)
	tr.write(t, "x")
	path := filepath.Join(tr.root, "x")
	task := newCleaning("tmp", tr.trees(), cleaner{
		Cleaning: tr.settings(), used: func(s *unix.Stat_t) time.Time { return moment(s.Mtim) },
		takes: func(string, int64) bool { return true }, spares: func(string) bool { return false },
		seen: func(string) { _ = os.Rename(path, path+".old"); _ = os.WriteFile(path, []byte("new"), 0o600) },
	})
	if err := do(t, task); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "new" {
		t.Errorf("the new file holds %q (%v)", content, err)
	}
}
