package moodle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ErrNotMoodle is a directory that holds no Moodle code.
var ErrNotMoodle = errors.New("no Moodle code here")

const phpFileLimit = 1 << 20

// ReadVersion reads version.php of the code in dir: dir/public/version.php since 5.1, else dir/version.php.
func ReadVersion(dir string) (Version, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Version{}, fmt.Errorf("open the code in %s: %w", dir, err)
	}
	defer func() { _ = root.Close() }()
	text, err := readCapped(root, "public/version.php")
	public := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		text, err = readCapped(root, "version.php")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Version{}, fmt.Errorf("%s: %w", dir, ErrNotMoodle)
	}
	if err != nil {
		return Version{}, fmt.Errorf("read version.php in %s: %w", dir, err)
	}
	read := assignments(text, dir).values
	version := Version{Number: read["version"], Release: read["release"], Branch: read["branch"], Public: public,
		Maturity: strings.TrimPrefix(read["maturity"], "maturity_")}
	if _, err := strconv.ParseFloat(version.Number, 64); err != nil || version.Release == "" {
		return Version{}, fmt.Errorf("%s: version.php sets no $version and $release: %w", dir, ErrNotMoodle)
	}
	return version, nil
}

// Newer says whether version a is newer than b. Moodle writes them as decimal numbers and drops trailing
// zeros in the database: 2025100601.00 on disk is 2025100601 there.
func Newer(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x > y
}

// readCapped reads a file of a tree that belongs to somebody else: no links out of the tree, no devices,
// no endless files.
func readCapped(root *os.Root, name string) (string, error) {
	// Without O_NONBLOCK the opening of a FIFO would wait for a writer who never comes.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no regular file", name)
	}
	content, err := io.ReadAll(io.LimitReader(file, phpFileLimit+1))
	if err == nil && len(content) > phpFileLimit {
		err = fmt.Errorf("%s is larger than %d bytes", name, phpFileLimit)
	}
	return string(content), err
}
