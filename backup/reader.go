package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// Reader reads one backup for a restore, wherever it lies. What it hands out is proven at its end: a file
// that is not what the manifest says ends in a *CorruptError instead of io.EOF, so that nobody can take it
// for whole without having read all of it.
type Reader struct {
	Manifest *Manifest
	store    store.Store
}

// NewReader reads the backup that manifest describes from s.
func NewReader(s store.Store, manifest *Manifest) *Reader {
	return &Reader{Manifest: manifest, store: s}
}

// CorruptError is a file of a backup that is not as it was written.
type CorruptError struct {
	Backup, File string
	What         string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s of backup %s is not as it was written: %s.\nSee `moodle-exporter backup verify %s --read-data`, and restore another backup.", e.File, e.Backup, e.What, e.Backup)
}

// Open reads the uncompressed content of a file of the backup.
func (r *Reader) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	want, named := r.Manifest.File(name)
	if !named {
		return nil, fmt.Errorf("backup %s has no %s", r.Manifest.ID, name)
	}
	file, err := r.store.Open(ctx, path.Join(r.Manifest.ID, name))
	if errors.Is(err, store.ErrNotFound) && want.SameAs != "" {
		// In a bucket an archive that did not change is kept once, with the backup that it was made for.
		file, err = r.store.Open(ctx, path.Join(want.SameAs, name))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of backup %s: %w", name, r.Manifest.ID, err)
	}
	p := &provenReader{ctx: ctx, file: file, want: want, backup: r.Manifest.ID, raw: newMeter(), content: newMeter()}
	p.stored = io.TeeReader(file, p.raw)
	p.from = p.stored
	if path.Ext(name) == ".zst" {
		decoder, err := newDecoder(p.stored)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		p.from, p.decoder = decoder, decoder
	}
	return p, nil
}

// provenReader gives a file's content, and io.EOF only if all of it was right.
type provenReader struct {
	ctx          context.Context //nolint:containedctx // io.Reader has no room for one
	file         io.ReadCloser
	stored       io.Reader
	from         io.Reader
	decoder      interface{ Close() }
	raw, content *meter
	want         File
	backup       string
	ended        error
}

func (p *provenReader) Read(into []byte) (int, error) {
	if p.ended != nil {
		return 0, p.ended
	}
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.from.Read(into)
	_, _ = p.content.Write(into[:n])
	if err != nil {
		p.ended = p.end(err)
		return n, p.ended
	}
	if p.content.size > p.want.ContentSize {
		p.ended = p.corrupt(sizeFault(p.content.size, p.want.ContentSize))
		return 0, p.ended
	}
	return n, nil
}

// end says how reading ended: well only if sizes and sums of what is stored and of what was in it are right.
func (p *provenReader) end(err error) error {
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	_, rest := io.Copy(io.Discard, p.stored)
	switch {
	case rest != nil:
		return fmt.Errorf("read %s of backup %s: %w", p.want.Name, p.backup, rest)
	case p.raw.size != p.want.Size:
		return p.corrupt(sizeFault(p.raw.size, p.want.Size))
	case p.raw.sum() != p.want.SHA256:
		return p.corrupt("its SHA-256 is another one")
	case !errors.Is(err, io.EOF):
		return p.corrupt(err.Error())
	case p.content.size != p.want.ContentSize || p.content.sum() != p.want.ContentSHA256:
		return p.corrupt("its content is another one")
	}
	return io.EOF
}

func (p *provenReader) corrupt(what string) error {
	return &CorruptError{Backup: p.backup, File: p.want.Name, What: what}
}

func (p *provenReader) Close() error {
	if p.decoder != nil {
		p.decoder.Close()
	}
	return p.file.Close()
}

// Settle reads a file that Open has opened to its end, where it is proven, and says what became of it: err is how its
// content was taken by whoever needed it. Where the file turns out to be damaged, that is the error that counts: what
// else went wrong came of it.
func Settle(file io.Reader, err error) error {
	_, rest := io.Copy(io.Discard, file)
	var corrupt *CorruptError
	if err == nil || errors.As(rest, &corrupt) {
		return rest
	}
	return err
}

// Blob is one content file. Its size is in bytes.
type Blob struct {
	SHA1 [20]byte
	Size int64
}

// String is the SHA-1 in lower-case hexadecimal, which is the file's name.
func (b Blob) String() string { return hex.EncodeToString(b.SHA1[:]) }

// Path is where the file lies below a filedir: ab/cd/abcd….
func (b Blob) Path() string { return sum(b.SHA1).path() }

// Blobs calls each for every content file of the backup, in order of their names.
func (r *Reader) Blobs(ctx context.Context, each func(Blob) error) error {
	file, err := r.Open(ctx, listName)
	if err != nil {
		return err
	}
	defer file.Close()
	for list := newListReader(file); ; {
		next, err := list.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = each(Blob{next.sum, next.size})
		}
		if err != nil {
			return err
		}
	}
}

// OpenBlob reads a content file as it is stored. The caller holds it against its SHA-1.
func (r *Reader) OpenBlob(ctx context.Context, b Blob) (io.ReadCloser, error) {
	return r.store.Open(ctx, path.Join(poolName, b.Path()))
}

// BlobPath is where a content file lies on this host; empty for a backup that lies elsewhere.
func (r *Reader) BlobPath(b Blob) string {
	if local, ok := r.store.(store.Local); ok {
		return local.Path(path.Join(poolName, b.Path()))
	}
	return ""
}

// FileOf is the name of the file that holds a component; for Files that of everything but the content files.
func FileOf(component string) string {
	if component == Database {
		return databaseName
	}
	return archiveNames[component]
}

// DefaultConfigPaths are the patterns of the host's configuration that go into a backup where the configuration names none.
func DefaultConfigPaths() []string { return slices.Clone(defaultConfigPaths) }
