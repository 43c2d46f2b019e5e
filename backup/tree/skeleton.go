package tree

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
)

// Everything in this file is being written and moves to files of its own.
var errUnwritten = errors.New("not written yet")

// ExtractOptions say what to take out of an archive and how. Only MaxBytes and MaxEntries must be set.
type ExtractOptions struct {
	// Owner maps the owner that an archive names to one of this host; nil takes the numbers as they are.
	Owner func(*tar.Header) (uid, gid int)
	// Want picks entries by path ("." is the top); nil takes all. Directories on the way to a wanted entry
	// are made in any case.
	Want func(path string) bool
	// Mounts are directories of the tree whose content goes elsewhere: by path, the roots of staging
	// directories on other file systems (see Place.Mounts).
	Mounts map[string]*os.Root
	// MaxBytes and MaxEntries bound the archive, as its manifest says. Bytes are those of the tar file.
	MaxBytes, MaxEntries int64
	// Progress is told of bytes of the archive as they are read.
	Progress func(bytes int64)
}

// Extracted sums up an extraction.
type Extracted struct {
	Entries int64    // that were put in place
	Bytes   int64    // of the whole archive
	SHA256  [32]byte // of the whole archive
	// Dropped are files whose setuid and setgid bits were left out, Outside links that lead out of the tree.
	Dropped, Outside int64
}

// Extract reads an uncompressed tar file to its end into root.
func Extract(ctx context.Context, from io.Reader, root *os.Root, o ExtractOptions) (Extracted, error) {
	return Extracted{}, errUnwritten
}

// CompareOptions are those of the extraction that the tree came from.
type CompareOptions struct {
	ExtractOptions
	Limit int // of differences to name; 0 is 100
}

// Difference is one thing that is not as an archive has it.
type Difference struct {
	Path      string
	Kind      string // missing, extra, type, size, mode, owner, link, time, content
	Want, Got string // empty where they say nothing
}

// Compare tells how a tree differs from what an archive says.
func Compare(ctx context.Context, from io.Reader, root *os.Root, o CompareOptions) ([]Difference, error) {
	return nil, errUnwritten
}

// Blob is one content file. Size is in bytes.
type Blob struct {
	SHA1 [20]byte
	Size int64
}

// FillOptions say what a filedir must hold and where it comes from.
type FillOptions struct {
	// Blobs yields the content files sorted by SHA-1.
	Blobs func(yield func(Blob) error) error
	// Open reads one that LocalPath does not have.
	Open func(context.Context, Blob) (io.ReadCloser, error)
	// LocalPath is where a file of this host holds it, or "". Nil: nowhere.
	LocalPath func(Blob) string
	// Lost is told of a file that cannot be had or is damaged where it comes from, and decides whether to
	// go on (nil) or end. A nil Lost ends. Called from one goroutine at a time.
	Lost func(Blob, error) error
	// TrustLive takes a file of the right name and size as good without reading it.
	TrustLive bool
	// DryRun only counts what would be done.
	DryRun            bool
	Workers           int // 0: as many as are useful
	UID, GID          int
	DirMode, FileMode os.FileMode
	// Progress is told of bytes of content files that are settled, there before or not.
	Progress func(bytes int64)
	Logger   *slog.Logger
}

// Filled counts files, and the bytes that were written.
type Filled struct{ Had, Added, Repaired, Lost, Bytes int64 }

// Fill adds content files to a filedir.
func Fill(ctx context.Context, filedir *os.Root, o FillOptions) (Filled, error) {
	return Filled{}, errUnwritten
}

// Way is how a tree is exchanged.
type Way string

// The ways of exchanging a tree.
const (
	ByLink    Way = "link"      // live is a link and is made to lead to the new tree
	ByRename  Way = "directory" // the directory itself is renamed
	ByEntries Way = "entries"   // what is in the directory is renamed: it is a mount point, or its parent is closed
)

// Place says how a tree can be exchanged and where a new one must be staged for it.
type Place struct {
	Way  Way
	Live string // the directory without links; it need not exist
	// Stage is the directory in which MakeStaging makes the places of the new and the kept tree.
	Stage string
	// Mounts are mount points below Live, by path relative to it. Their content is staged within them.
	Mounts []string
}

// Survey looks at a tree that is to be exchanged.
func Survey(live string) (Place, error) { return Place{}, errUnwritten }

// MakeStaging makes dir/name, whose name begins with store.Prefix, open to root alone, and opens it.
func MakeStaging(dir, name string) (*os.Root, error) { return nil, errUnwritten }

// Move is one step of an exchange: Live gives way to Staged and goes to Kept. Paths are relative to Dir,
// which is absolute and without links.
type Move struct {
	Dir    string `json:"dir"`
	Live   string `json:"live"`
	Staged string `json:"staged,omitempty"` // empty: nothing takes the place of Live
	Kept   string `json:"kept,omitempty"`
	// Inode is that of Staged if it is exchanged with Live in one step.
	Inode uint64 `json:"inode,omitempty"`
	// Old and New are the targets of Live if it is a link that is made to lead elsewhere.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
}

// PlanDir decides the moves that put the tree staged in place of live, which goes to kept.
func PlanDir(live, staged, kept string) ([]Move, Way, error) { return nil, "", errUnwritten }

// PlanEntries decides the moves that exchange what is in a directory. Staged and kept are paths relative to it.
func PlanEntries(live, staged, kept string, skip func(path string) bool) ([]Move, error) {
	return nil, errUnwritten
}

// Do makes the moves that are not made yet; at is called before each. It can be broken off at any point and repeated.
func Do(ctx context.Context, moves []Move, at func(i int)) error { return errUnwritten }

// Undo takes back what Do has done, also half of it.
func Undo(ctx context.Context, moves []Move, at func(i int)) error { return errUnwritten }

// State is how far an exchange is.
type State string

// The states of an exchange.
const (
	Undone  State = "undone"
	Done    State = "done"
	Between State = "between"
)

// StateOf looks how far an exchange is, and changes nothing.
func StateOf(moves []Move) (State, error) { return Between, errUnwritten }

// Discard removes dir/name with all that is in it, if the name begins with store.Prefix.
func Discard(ctx context.Context, dir, name string) error { return errUnwritten }

// OwnOptions bound Own.
type OwnOptions struct {
	// Skip leaves out an entry and all below it.
	Skip func(path string) bool
}

// Own gives all of a tree to uid and gid.
func Own(ctx context.Context, root *os.Root, uid, gid int, o OwnOptions) (changed int64, err error) {
	return 0, errUnwritten
}

// Space is what a file system has. Free is for ordinary users, in bytes.
type Space struct {
	Free, Total int64
	FreeFiles   int64 // inodes; -1 where there is no limit
	Device      uint64
	ReadOnly    bool
}

// SpaceAt looks at the file system of path, or of what exists of it.
func SpaceAt(path string) (Space, error) { return Space{}, errUnwritten }

// Mounts are the mount points at and below a directory without links, in order.
func Mounts(dir string) ([]string, error) { return nil, errUnwritten }
