package backup

import (
	"crypto/sha1"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// freshBlob puts a content file into the site's filedir that no row names.
func freshBlob(t testing.TB, o Options, content string) sum {
	t.Helper()
	s := sum(sha1.Sum([]byte(content)))
	path := filepath.Join(filedir(o.Site), s.path())
	must(t, os.MkdirAll(filepath.Dir(path), 0o2770))
	must(t, os.WriteFile(path, []byte(content), 0o660))
	return s
}

// checkWhole reads a backup to its last byte and compares it with its manifest.
func checkWhole(t testing.TB, o Options, id string) {
	t.Helper()
	listed, err := Show(t.Context(), o.Config.Dir, o.Site.Name, id)
	must(t, err)
	dir := filepath.Join(o.Config.Dir, o.Site.Name)
	for _, file := range listed.Manifest.Files {
		f, err := os.Open(filepath.Join(dir, id, file.Name))
		must(t, err)
		stored, content := newMeter(), newMeter()
		from := io.TeeReader(f, stored)
		if file.Name == restoreName {
			_, err = io.Copy(content, from)
		} else {
			decoder, bad := zstd.NewReader(from)
			must(t, bad)
			_, err = io.Copy(content, decoder)
			decoder.Close()
		}
		must(t, err)
		_, err = io.Copy(io.Discard, from)
		must(t, err)
		must(t, f.Close())
		if stored.sum() != file.SHA256 || stored.size != file.Size || content.sum() != file.ContentSHA256 || content.size != file.ContentSize {
			t.Errorf("%s of backup %s is not what its manifest says", file.Name, id)
		}
	}
	for _, b := range listOf(t, o, id) {
		content, err := os.ReadFile(filepath.Join(dir, poolName, b.sum.path()))
		if err != nil || int64(len(content)) != b.size || sum(sha1.Sum(content)) != b.sum {
			t.Errorf("content file %v of backup %s is damaged or missing (%v)", b, id, err)
		}
	}
}

// listOf are the content files of a backup.
func listOf(t testing.TB, o Options, id string) (blobs []blob) {
	t.Helper()
	f, err := os.Open(filepath.Join(o.Config.Dir, o.Site.Name, id, listName))
	must(t, err)
	defer f.Close()
	decoder, err := zstd.NewReader(f)
	must(t, err)
	defer decoder.Close()
	list := newListReader(decoder)
	for {
		b, err := list.next()
		if errors.Is(err, io.EOF) {
			return blobs
		}
		must(t, err)
		blobs = append(blobs, b)
	}
}
