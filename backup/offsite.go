package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// The copy in a bucket has the layout of the directory of a site: pool/filedir/ab/cd/<sha1> and <id>/<file>.
// Three things differ. A file that is a hard link here ("same_as" in the manifest) is there once, with the
// backup that it was made for. What is encrypted is called as it was with .age behind it, so that plain and
// encrypted copies may lie side by side. And a backup that is encrypted has a file more:
// <id>/ciphertext.list.zst, the list of its encrypted objects with their sizes and SHA-256, by which anybody
// can prove them who cannot read them. Manifests, lists of content files and RESTORE.txt stay readable.

const (
	sealedSuffix   = ".age"
	ciphertextName = "ciphertext.list.zst"
	// offsiteDir is, beside the backups of a site, what this host knows of their copies.
	offsiteDir = "offsite"
)

// Offsite is the place of one site's copies in a bucket.
type Offsite struct {
	// Place tells this place from any other: endpoint, bucket and prefix with the site.
	Place string

	objects  store.Remote // as they lie there
	contents store.Remote // encrypted on the way in, decrypted on the way out if they are called .age
	suffix   string       // of contents: .age if they are to be encrypted
	// identities open encrypted contents; without any these can only be proven by their own digests.
	identities []age.Identity
}

// NewOffsite is the place that objects reaches. Contents are encrypted to the recipients, if there are any;
// reading such contents needs one of the identities.
func NewOffsite(place string, objects store.Remote, recipients []age.Recipient, identities []age.Identity) *Offsite {
	o := &Offsite{Place: place, objects: objects, identities: identities}
	o.contents = store.NewSealed(objects, recipients, identities, func(name string) bool { return !isSealed(name) })
	if len(recipients) > 0 {
		o.suffix = sealedSuffix
	}
	return o
}

func isSealed(name string) bool { return strings.HasSuffix(name, sealedSuffix) }

// staysPlain says whether a file of a backup is never encrypted.
func staysPlain(name string) bool {
	return slices.Contains([]string{manifestName, listName, restoreName, ciphertextName}, name)
}

// readable says whether encrypted contents can be read.
func (o *Offsite) readable() bool { return len(o.identities) > 0 }

// objectOf is what a file of a backup is called in the bucket.
func objectOf(m *Manifest, f File, suffix string) string {
	if staysPlain(f.Name) {
		suffix = ""
	}
	return path.Join(cmp.Or(f.SameAs, m.ID), f.Name) + suffix
}

// Reading is the place as a store to read backups from, with the names and the contents that they have in a
// directory. Nothing can be changed through it.
func (o *Offsite) Reading() store.Store { return &reading{o.objects, o} }

type reading struct {
	store.Store
	place *Offsite
}

var errReadOnly = errors.New("copies are only read here")

func (r *reading) Save(context.Context, string, int64, io.Reader) (int64, error) {
	return 0, errReadOnly
}

func (r *reading) Remove(context.Context, string) error { return errReadOnly }

// Open finds a file under its own name or as encrypted.
func (r *reading) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if staysPlain(path.Base(name)) {
		return r.Store.Open(ctx, name)
	}
	names := []string{name, name + sealedSuffix}
	if r.place.suffix != "" || r.place.readable() {
		slices.Reverse(names)
	}
	for _, name := range names {
		if isSealed(name) && !r.place.readable() {
			if _, err := r.Stat(ctx, name); errors.Is(err, store.ErrNotFound) {
				continue
			}
		}
		file, err := r.place.contents.Open(ctx, name)
		if !errors.Is(err, store.ErrNotFound) {
			return file, err
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: store.ErrNotFound}
}

// readRaw reads the manifest of a copy as it is. nil if there is none; one that cannot be understood is an
// unreadableError, anything else the bucket's.
func (o *Offsite) readRaw(ctx context.Context, id string) ([]byte, *Manifest, error) {
	file, err := o.objects.Open(ctx, path.Join(id, manifestName))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the manifest of the copy of backup %s: %w", id, err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxManifest))
	if err != nil {
		return nil, nil, fmt.Errorf("read the manifest of the copy of backup %s: %w", id, err)
	}
	m, err := parseManifest(bytes.NewReader(content))
	if err == nil && m.ID != id {
		err = fmt.Errorf("it is that of %q", m.ID)
	}
	if err != nil {
		return nil, nil, &unreadableError{id, err}
	}
	return content, m, nil
}

// unreadableError is a manifest that is there and cannot be understood.
type unreadableError struct {
	id  string
	err error
}

func (e *unreadableError) Error() string {
	return fmt.Sprintf("the manifest of the copy of backup %s: %v", e.id, e.err)
}

func (e *unreadableError) Unwrap() error { return e.err }

func unreadable(err error) bool {
	var e *unreadableError
	return errors.As(err, &e)
}

// listing is all that lies in the place. The content files, which may be millions, are on disk.
type listing struct {
	files map[string]map[string]int64 // size of each file of a backup, by ID and name
	pool  *objectSpill
}

// list takes a listing; strange is told the names that have no place there.
func (o *Offsite) list(ctx context.Context, dir string, wanted func(store.Info) bool, strange func(name string)) (*listing, error) {
	l := &listing{files: map[string]map[string]int64{}}
	var err error
	l.pool, err = spillObjects(dir, func(add func(object) error) error {
		return o.objects.List(ctx, "", func(info store.Info) error {
			id, name := path.Split(info.Name)
			id = strings.TrimSuffix(id, "/")
			switch {
			case checkObjectName(info.Name) != nil:
				strange(info.Name)
			case isID(id):
				if l.files[id] == nil {
					l.files[id] = map[string]int64{}
				}
				l.files[id][name] = info.Size
			case !isPoolObject(info.Name):
				strange(info.Name)
			case wanted == nil || wanted(info):
				return add(object{name: info.Name, size: info.Size})
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list the copies: %w", err)
	}
	return l, nil
}

// isPoolObject says whether a name is that of a content file, encrypted or not.
func isPoolObject(name string) bool {
	s, ok := parseSum([]byte(strings.TrimSuffix(path.Base(name), sealedSuffix)))
	return ok && strings.TrimSuffix(name, sealedSuffix) == path.Join(poolName, s.path())
}

// ids are the directories of backups, oldest first.
func (l *listing) ids() []string {
	ids := make([]string, 0, len(l.files))
	for id := range l.files {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// size of an object that belongs to a backup, or false.
func (l *listing) size(name string) (int64, bool) {
	size, found := l.files[path.Dir(name)][path.Base(name)]
	return size, found
}

// all are the files of backups and then the content files.
func (l *listing) all() func() (object, error) {
	var files []object
	for id, names := range l.files {
		for name, size := range names {
			files = append(files, object{name: path.Join(id, name), size: size})
		}
	}
	slices.SortFunc(files, func(a, b object) int { return cmp.Compare(a.name, b.name) })
	return inOrder(ofSlice(files), l.pool.read())
}

func (l *listing) close() {
	if l != nil {
		l.pool.close()
	}
}

// makeOffsiteDir makes the directory of what is known of the copies.
func makeOffsiteDir(s store.Local) (string, error) {
	dir := s.Path(offsiteDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the directory of what is known of the copies: %w", err)
	}
	return dir, nil
}

// MakeOffsiteDir makes, beside the backups of a site in dir, the place of what this host knows of their copies.
func MakeOffsiteDir(dir, site string) error {
	_, err := makeOffsiteDir(store.NewDirectory(SiteDir(dir, site)))
	return err
}

// CopyLockPath is the lock that a job holds while it changes the copies of a site's backups. It keeps out no
// backup.
func CopyLockPath(dir, site string) string { return filepath.Join(dir, site, offsiteDir, ".lock") }
