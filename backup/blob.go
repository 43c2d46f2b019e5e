package backup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// sum is the SHA-1 of a content file, which is also its name.
type sum [20]byte

func (s sum) String() string { return hex.EncodeToString(s[:]) }

// path is where Moodle's filedir and our pool keep the file (file_system_filedir::get_contentdir_from_hash).
func (s sum) path() string {
	text := s.String()
	return text[:2] + "/" + text[2:4] + "/" + text
}

// parseSum reads 40 lower-case hexadecimal digits, as Moodle writes them.
func parseSum(text []byte) (s sum, ok bool) {
	if len(text) != 2*len(s) || bytes.ContainsAny(text, "ABCDEF") {
		return s, false
	}
	_, err := hex.Decode(s[:], text)
	return s, err == nil
}

// blob is one content file. Size is in bytes.
type blob struct {
	sum  sum
	size int64
}

var errNotRegular = errors.New("no regular file")

// tree is a directory laid out as ab/cd/<sha1>. The site's belongs to others: nothing in it leads out. The
// zero value is an empty one. Only open and fork may be called from several goroutines.
type tree struct {
	root *os.Root
	base *os.File // the directory itself; nil until it is asked for
	// top is the first level that is in hand: the leaves below it are asked for one after the other.
	top  *directory
	name string // of top
	// ours: nobody but backups reads it, so what was read need not stay in the page cache.
	ours bool
	// strange is told the path of everything whose name has no place in such a tree; nil if nobody asks.
	strange func(path string)
}

func openTree(path string) (*tree, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	base, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &tree{root: root, base: base}, nil
}

// fork is the same tree for another goroutine, which has to release it before the tree is closed.
func (t *tree) fork() *tree {
	return &tree{root: t.root, base: t.base, ours: t.ours, strange: t.strange}
}

// release lets go of what a walk has in hand.
func (t *tree) release() {
	t.top.close()
	t.top = nil
}

func (t *tree) close() {
	t.release()
	if t.root != nil {
		_ = t.base.Close()
		_ = t.root.Close()
	}
}

// open opens a blob for reading. Whatever is not a regular file is an error; a pipe does not block.
func (t *tree) open(s sum) (*os.File, error) {
	file, err := t.root.OpenFile(s.path(), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// leaves calls each for every directory ab/cd, in order. A directory that cannot be read goes to broken,
// and the walk goes on.
func (t *tree) leaves(each func(leaf string) error, broken func(error)) error {
	top, err := t.hexDirs(".")
	if err != nil {
		return err
	}
	for _, first := range top {
		second, err := t.hexDirs(first)
		if err != nil {
			broken(err)
			continue
		}
		for _, name := range second {
			if err := each(first + "/" + name); err != nil {
				return err
			}
		}
	}
	return nil
}

// hexDirs are the names of two lower-case hexadecimal digits in dir, in order.
func (t *tree) hexDirs(dir string) ([]string, error) {
	names, err := t.names(dir)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool {
		fits := len(name) == 2 && hexDigit(name[0]) && hexDigit(name[1])
		if !fits {
			t.ignore(dir, name)
		}
		return !fits
	}), nil
}

func (t *tree) ignore(dir, name string) {
	if t.strange != nil {
		t.strange(path.Join(dir, name))
	}
}

func (t *tree) names(dir string) ([]string, error) {
	file, err := t.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names, err := file.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// leaf lists the blobs of one directory ab/cd in order; one that does not exist has none. Names that are
// no SHA-1 (Moodle's *.tmp) are left out; blobs that are links or devices go to broken. A million files
// are looked at in this way, so it spends as few system calls as can be.
func (t *tree) leaf(dir string, broken func(error)) ([]blob, error) {
	leaf, err := t.openLeaf(dir)
	if errors.Is(err, fs.ErrNotExist) || leaf == nil && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer leaf.close()
	names, err := leaf.names()
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	slices.Sort(names)
	blobs := make([]blob, 0, len(names))
	for _, name := range names {
		s, ok := parseSum([]byte(name))
		if !ok || name[:2] != dir[:2] || name[2:4] != dir[3:5] {
			t.ignore(dir, name)
			continue
		}
		var status unix.Stat_t
		err := unix.Fstatat(leaf.fd, name, &status, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			broken(fmt.Errorf("look at %s/%s: %w", dir, name, err))
		case status.Mode&unix.S_IFMT != unix.S_IFREG:
			broken(fmt.Errorf("%s/%s is %w", dir, name, errNotRegular))
		default:
			blobs = append(blobs, blob{s, status.Size})
		}
	}
	return blobs, nil
}

// openLeaf opens the directory ab/cd; nil in an empty tree.
func (t *tree) openLeaf(dir string) (*directory, error) {
	if t.root == nil {
		return nil, nil
	}
	if first := dir[:2]; t.top == nil || t.name != first {
		top, err := t.openDirectory(int(t.base.Fd()), first, first)
		if err != nil {
			return nil, err
		}
		t.release()
		t.top, t.name = top, first
	}
	return t.openDirectory(t.top.fd, dir[3:], dir)
}

func hexDigit(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }
