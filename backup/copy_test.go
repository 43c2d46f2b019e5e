package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"filippo.io/age"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// bucketDir is a bucket that is a directory, for tests in which the network is of no interest.
type bucketDir struct{ *store.Directory }

func (b bucketDir) SaveSummed(ctx context.Context, name string, size int64, content io.Reader) (store.Stored, error) {
	digest := sha256.New()
	size, err := b.Save(ctx, name, size, io.TeeReader(content, digest))
	return store.Stored{Size: size, SHA256: hex.EncodeToString(digest.Sum(nil))}, err
}

func (b bucketDir) SaveNew(ctx context.Context, name string, size int64, content io.Reader) (store.Stored, error) {
	if _, err := b.Stat(ctx, name); err == nil {
		return store.Stored{}, store.ErrExists
	}
	return b.SaveSummed(ctx, name, size, content)
}

// newBucket is an empty bucket in a directory, and the identity that opens what is encrypted in it.
func newBucket(t testing.TB, sealed bool) (dir string, to *Offsite) {
	t.Helper()
	dir = stand.TempDir(t)
	return dir, placeIn(t, bucketDir{store.NewDirectory(dir)}, sealed)
}

var testIdentity, _ = age.GenerateX25519Identity()

func placeIn(t testing.TB, objects store.Remote, sealed bool) *Offsite {
	t.Helper()
	if !sealed {
		return NewOffsite("test", objects, nil, nil)
	}
	return NewOffsite("test", objects, []age.Recipient{testIdentity.Recipient()}, []age.Identity{testIdentity})
}

func copyOptions(o Options, to *Offsite) CopyOptions {
	return CopyOptions{Dir: o.Config.Dir, Site: o.Site.Name, To: to, Clock: o.Clock, Logger: o.Logger}
}

// copyAll copies what must be whole afterwards.
func copyAll(t testing.TB, o CopyOptions) *Copied {
	t.Helper()
	copied, err := Copy(t.Context(), o, noRun{})
	if err != nil {
		t.Fatal(err)
	}
	return copied
}

func eachKind(t *testing.T, test func(t *testing.T, sealed bool)) {
	for name, sealed := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) { test(t, sealed) })
	}
}

func TestCopySendsWhatIsNew(t *testing.T) {
	eachKind(t, func(t *testing.T, sealed bool) {
		_, o := newSite(t, stand.SiteOptions{})
		settle(&o)
		first := create(t, o)
		freshBlob(t, o, "something new")
		second := create(t, o)
		dir, to := newBucket(t, sealed)
		copied := copyAll(t, copyOptions(o, to))
		if !slices.Equal(copied.Backups, []string{second.ID, first.ID}) || copied.Whole != 2 {
			t.Errorf("%+v", copied)
		}
		for _, m := range []*Manifest{first, second} {
			if got, want := read(t, filepath.Join(dir, m.ID, manifestName)), read(t, filepath.Join(o.Config.Dir, "lms", m.ID, manifestName)); got != want {
				t.Error("the manifest has changed on its way")
			}
		}
		if _, err := os.Stat(filepath.Join(dir, second.ID, "database.sql.zst"+to.suffix)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("an unchanged dump was sent again: %v", err)
		}
		if again := copyAll(t, copyOptions(o, to)); again.Objects != 0 || len(again.Backups) != 0 || again.Whole != 2 {
			t.Errorf("the second copy: %+v", again)
		}
		freshBlob(t, o, "something newer")
		third := create(t, o)
		fresh := int64(1) // the content file
		for _, f := range third.Files {
			if f.SameAs == "" {
				fresh++
			}
		}
		if more := copyAll(t, copyOptions(o, to)); more.Objects != fresh || fresh > 5 || !slices.Equal(more.Backups, []string{third.ID}) {
			t.Errorf("the third copy, of %d objects: %+v", fresh, more)
		}
		nothingLeftOver(t, o)
	})
}
