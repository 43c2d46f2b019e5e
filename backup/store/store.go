// Package store holds the files of one site's backups: in a directory of this host ([Directory]) or in a bucket
// of S3-compatible storage ([S3]), there also encrypted ([Sealed]).
// It knows names and bytes, and nothing about what a backup is.
package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrNotFound is a name that the store does not hold. It is fs.ErrNotExist.
var ErrNotFound = fs.ErrNotExist

// ErrShort is content that ended before its announced length.
var ErrShort = errors.New("content is shorter or longer than announced")

// Unknown is the size of content whose length nobody knows before it ends.
const Unknown int64 = -1

// Prefix begins the name of everything that is unfinished or on its way out. List does not show such
// names, and discovery and backups of a site skip them.
const Prefix = ".mxp-"

// Info describes one file. Size is in bytes.
type Info struct {
	Name    string // slash-separated, relative to the store
	Size    int64
	ModTime time.Time
}

// Store is what a bucket can do as well as a directory. Names are slash-separated and relative.
type Store interface {
	// Save stores content under name, durably, and all of it or nothing: an error of the reader, a length
	// that is not size (unless Unknown) or a full disk leaves no file of that name. It returns the length.
	Save(ctx context.Context, name string, size int64, content io.Reader) (int64, error)
	// Open reads a file; the caller closes it. A missing one is ErrNotFound.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Stat describes a file. A missing one is ErrNotFound.
	Stat(ctx context.Context, name string) (Info, error)
	// List calls each for every file below the directory prefix, ordered by the bytes of their names, until
	// each returns an error. Two listings, of whatever stores, can be merged.
	List(ctx context.Context, prefix string, each func(Info) error) error
	// Dirs are the directories (for a bucket: common prefixes) at the top, in order.
	Dirs(ctx context.Context) ([]string, error)
	// Remove deletes a file; one that is gone already is no error.
	Remove(ctx context.Context, name string) error
}

// Local is a store on this host, where files can be linked, renamed and written many at a time.
type Local interface {
	Store
	// Make makes the place itself if need be; nobody but its owner can look into it.
	Make() error
	// MakeDir makes an empty directory.
	MakeDir(name string) error
	// Path is where a name lies in the file system.
	Path(name string) string
	// Link makes target another name of the same file.
	Link(name, target string) error
	// Rename publishes a file or directory under another name, durably and at once.
	Rename(name, target string) error
	// RemoveTree deletes a file or directory with all below it.
	RemoveTree(name string) error
	// Batch stages many small files in the directory staging, which it makes.
	Batch(staging string) (Batch, error)
	// Sync returns when everything written so far is on the disk.
	Sync() error
}

// Batch writes many small files with one flush for all of them. A file gets its final name only after
// its content is on the disk, so a torn file can never have one. Add may be called from many goroutines.
type Batch interface {
	// Add stages one file that fill writes. An error of fill is returned as it is and stages nothing.
	Add(name string, fill func(*os.File) error) error
	// Commit gives their names to all files staged so far.
	Commit() error
}

// valid refuses names that would leave the store.
func valid(name string) error {
	if !filepath.IsLocal(name) || strings.ContainsRune(name, 0) {
		return invalid(name)
	}
	return nil
}

func invalid(name string) error { return &fs.PathError{Op: "name", Path: name, Err: fs.ErrInvalid} }
