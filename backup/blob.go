package backup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
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

// tree is a directory laid out as ab/cd/<sha1>. The site's belongs to others: nothing in it leads out. The
// zero value is an empty one.
type tree struct{ root *os.Root }

func openTree(path string) (*tree, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &tree{root}, nil
}

func (t *tree) close() {
	if t.root != nil {
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
		return len(name) != 2 || !hexDigit(name[0]) || !hexDigit(name[1])
	}), nil
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
// no SHA-1 (Moodle's *.tmp) are left out; blobs that are links or devices go to broken.
func (t *tree) leaf(dir string, broken func(error)) ([]blob, error) {
	if t.root == nil {
		return nil, nil
	}
	inner, err := t.root.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer inner.Close()
	here := tree{inner}
	names, err := here.names(".")
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	blobs := make([]blob, 0, len(names))
	for _, name := range names {
		s, ok := parseSum([]byte(name))
		if !ok || name[:2] != dir[:2] || name[2:4] != dir[3:5] {
			continue
		}
		info, err := inner.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			broken(err)
		case !info.Mode().IsRegular():
			broken(fmt.Errorf("%s/%s is no regular file", dir, name))
		default:
			blobs = append(blobs, blob{s, info.Size()})
		}
	}
	return blobs, nil
}

func hexDigit(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }
