package tree

import (
	"archive/tar"
	"bytes"
	"crypto/sha1"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(childMain())
	}
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needRoot ends a test that changes owners or mounts something.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("owners and mounts can only be tried by root")
	}
	t.Skip("not root: owners and mounts are not tried")
}

// write makes files, with the directories that they lie in: "" for content makes a directory, "-> x" a link.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, link := strings.CutPrefix(content, "-> "); link {
			must(t, os.Symlink(target, path))
		} else if content == "" {
			must(t, os.MkdirAll(path, 0o755))
		} else {
			must(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
}

// texts is what is in a tree in the manner of write, without empty directories of ours.
func texts(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch entry.Type() {
		case fs.ModeDir:
			if strings.HasPrefix(entry.Name(), ".mxp-") {
				return fs.SkipDir
			}
			if inside, err := os.ReadDir(path); err != nil || len(inside) == 0 {
				found[name] = ""
			}
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			found[name] = "-> " + target
			return err
		default:
			content, err := os.ReadFile(path)
			found[name] = string(content)
			return err
		}
		return nil
	}))
	return found
}

// snapshot is everything about a tree that a restore must bring back.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var s unix.Stat_t
		must(t, unix.Lstat(path, &s))
		what := fmt.Sprintf("%o %d:%d %d", s.Mode, s.Uid, s.Gid, s.Mtim.Sec)
		switch s.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			content, err := os.ReadFile(path)
			must(t, err)
			what += fmt.Sprintf(" %d %d %x", s.Nlink, s.Size, sha1.Sum(content))
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			must(t, err)
			what += " " + target
		}
		name, _ := filepath.Rel(dir, path)
		found[name] = what
		return nil
	}))
	return found
}

func sameMap(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %q is %q instead of %q", what, name, got[name], want[name])
		}
	}
	for name := range got {
		if _, known := want[name]; !known {
			t.Errorf("%s: %q (%q) is too many", what, name, got[name])
		}
	}
}

func openRoot(t testing.TB, dir string) *os.Root {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// archiveOf writes a tar file; content is by header.Size.
func archiveOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 && h.Typeflag != tar.TypeXGlobalHeader {
			h.Mode, h.ModTime = 0o755, time.Unix(1_700_000_000, 0)
		}
		must(t, w.WriteHeader(&h))
		_, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size)))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func extract(t testing.TB, archive []byte, root *os.Root, o ExtractOptions) (Extracted, error) {
	t.Helper()
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.Owner == nil {
		o.Owner = mine()
	}
	return Extract(t.Context(), bytes.NewReader(archive), root, o)
}

// mine maps owners for who may not give files away.
func mine() func(*tar.Header) (int, int) {
	if os.Getuid() == 0 {
		return nil
	}
	return func(*tar.Header) (int, int) { return os.Getuid(), os.Getgid() }
}

// mount mounts something for one test.
func mount(t testing.TB, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	needRoot(t)
	must(t, os.MkdirAll(target, 0o755))
	must(t, unix.Mount(source, target, kind, flags, data))
	t.Cleanup(func() {
		if err := unix.Unmount(target, 0); err != nil {
			t.Errorf("unmount %s: %v", target, err)
			_ = unix.Unmount(target, unix.MNT_DETACH)
		}
	})
}

// randomTree makes a tree of everything that a site may hold.
func randomTree(t testing.TB, dir string, random *rand.Rand, files int) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	dirs, regular := []string{dir}, []string{}
	noise := rand.NewChaCha8([32]byte{byte(files)})
	for i := range files {
		parent := dirs[random.IntN(len(dirs))]
		name := filepath.Join(parent, fmt.Sprintf("%c %d\n-ä", 'a'+rune(random.IntN(26)), i))
		switch kind := random.IntN(12); {
		case kind < 2:
			must(t, os.Mkdir(name, 0o755))
			dirs = append(dirs, name)
		case kind == 2:
			must(t, os.Symlink([]string{"/etc", "../..", "nowhere", ".", name}[random.IntN(5)], name))
		case kind == 3 && len(regular) > 0:
			must(t, os.Link(regular[random.IntN(len(regular))], name))
		default:
			content := make([]byte, random.IntN(5000))
			if random.IntN(20) == 0 {
				content = make([]byte, 3<<20+random.IntN(100))
			}
			noise.Read(content)
			must(t, os.WriteFile(name, content, 0o600))
			regular = append(regular, name)
		}
	}
	var all []string
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error { all = append(all, path); return err }))
	modes := []uint32{0o2777, 0o755, 0o700, 0o3770, 0o550}
	for i := len(all) - 1; i >= 0; i-- {
		info, err := os.Lstat(all[i])
		must(t, err)
		if os.Getuid() == 0 {
			must(t, os.Lchown(all[i], random.IntN(100), random.IntN(100)))
		}
		mode := uint32(random.IntN(0o1000))
		if info.IsDir() {
			mode = modes[random.IntN(len(modes))]
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			must(t, unix.Chmod(all[i], mode|0o400))
		}
		times := []unix.Timespec{{Sec: 1}, {Sec: int64(random.IntN(1 << 30))}}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, all[i], times, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// tempDir is in memory where that can be: flushing a disk that others write to takes seconds.
func tempDir(t testing.TB) string {
	t.Helper()
	if info, err := os.Stat("/dev/shm"); err != nil || !info.IsDir() {
		return stand.TempDir(t)
	}
	dir, err := os.MkdirTemp("/dev/shm", "tree")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

var testTime = time.Unix(1_600_000_000, 0)
