package tree

import (
	"archive/tar"
	"math"
	"path/filepath"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

const (
	longestPath = 4096 // PATH_MAX
	deepestPath = 1024 // each level is an open directory
)

// nameOf is the path of an entry without "./" before and "/" after it; "." is the top. An entry that no
// backup holds is refused.
func nameOf(header *tar.Header) (string, error) {
	name := header.Name
	if header.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
	}
	name, err := relative(header.Name, name)
	if err != nil {
		return "", err
	}
	if name == "." && header.Typeflag != tar.TypeDir {
		return "", hostile(header.Name, "the top of a tree is a directory")
	}
	return name, nil
}

// relative checks a path that must lie within the tree.
func relative(entry, path string) (string, error) {
	if path == "." {
		return ".", nil
	}
	path = strings.TrimPrefix(path, "./")
	switch {
	case path == "":
		return "", hostile(entry, "it has no name")
	case strings.ContainsRune(path, 0):
		return "", hostile(entry, "its name holds a NUL")
	case strings.HasPrefix(path, "/"):
		return "", hostile(entry, "its path is absolute")
	case !filepath.IsLocal(path):
		return "", hostile(entry, "its path leads out of the tree")
	case path != filepath.Clean(path):
		return "", hostile(entry, "its path is written in an unusual way")
	case len(path) > longestPath || strings.Count(path, "/") >= deepestPath:
		return "", hostile(entry, "its path is too long")
	}
	for _, part := range parts(path) {
		if strings.HasPrefix(part, store.Prefix) {
			return "", hostile(entry, "names that begin with %s are for unfinished work, which is never backed up", store.Prefix)
		}
	}
	return path, nil
}

// allowed says what kinds of entries a backup holds.
func allowed(header *tar.Header) error {
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink:
	case tar.TypeChar, tar.TypeBlock:
		return hostile(header.Name, "it is a device")
	case tar.TypeFifo:
		return hostile(header.Name, "it is a pipe")
	default:
		return hostile(header.Name, "an entry of type %q has no place in a backup", header.Typeflag)
	}
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return hostile(header.Name, "it is a sparse file")
		}
	}
	switch {
	case header.Typeflag == tar.TypeSymlink && header.Linkname == "", strings.ContainsRune(header.Linkname, 0), len(header.Linkname) > longestPath:
		return hostile(header.Name, "the target of the link is not a path")
	case header.Size < 0, header.Typeflag != tar.TypeReg && header.Size != 0:
		return hostile(header.Name, "its size is %d", header.Size)
	case outOfRange(header.Uid), outOfRange(header.Gid):
		return hostile(header.Name, "its owner %d:%d is none", header.Uid, header.Gid)
	}
	return nil
}

// outOfRange tells ids that the kernel does not have, or takes for "leave as it is".
func outOfRange(id int) bool { return id < 0 || int64(id) >= math.MaxUint32 }
