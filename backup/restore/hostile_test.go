package restore_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// forge puts an archive of such entries into the place of one in the backup, with a manifest that agrees.
func (r *rig) forge(m *backup.Manifest, component string, entries ...*tar.Header) (forged *backup.Manifest) {
	r.t.Helper()
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, entry := range entries {
		if entry.Typeflag == tar.TypeReg && entry.Size == 0 {
			entry.Size = int64(len(planted))
		}
		r.must(writer.WriteHeader(entry))
		for left := entry.Size; left > 0; {
			n := min(left, int64(len(planted)))
			_, err := writer.Write([]byte(planted[:n]))
			r.must(err)
			left -= n
		}
	}
	r.must(writer.Close())
	encoder, err := zstd.NewWriter(nil)
	r.must(err)
	stored := encoder.EncodeAll(archive.Bytes(), nil)
	name := backup.FileOf(component)
	path := filepath.Join(r.backups(), m.Site, m.ID, name)
	kept, err := os.ReadFile(path)
	r.must(err)
	r.must(os.WriteFile(path, stored, 0o600))
	r.undo = append(r.undo, func() { r.must(os.WriteFile(path, kept, 0o600)) })
	copied := *m
	copied.Files = slices.Clone(m.Files)
	for i, file := range copied.Files {
		if file.Name == name {
			copied.Files[i].Size, copied.Files[i].SHA256 = int64(len(stored)), sum(stored)
			copied.Files[i].ContentSize, copied.Files[i].ContentSHA256 = int64(archive.Len()), sum(archive.Bytes())
		}
	}
	return &copied
}

const planted = "planted\n"

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}

func file(name string) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}
}
func link(name, target string) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}
}

// TestHostileArchives refuses what no backup holds, names it, and touches nothing.
func TestHostileArchives(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	before := r.state()
	outside := filepath.Join(r.dir, "outside")
	r.must(os.Mkdir(outside, 0o755))
	etc := strings.TrimPrefix(r.etc, "/")
	for _, c := range []struct {
		component, name string
		entries         []*tar.Header
	}{
		{backup.Code, "/etc/evil", []*tar.Header{file("/etc/evil")}},
		{backup.Code, "../evil", []*tar.Header{file("../evil")}},
		{backup.Code, "a/evil", []*tar.Header{link("a", outside), file("a/evil")}},
		{backup.Code, "disk", []*tar.Header{{Name: "disk", Typeflag: tar.TypeBlock, Devmajor: 8}}},
		{backup.Code, "pipe", []*tar.Header{{Name: "pipe", Typeflag: tar.TypeFifo}}},
		{backup.Code, "hard", []*tar.Header{{Name: "hard", Typeflag: tar.TypeLink, Linkname: "../../outside/x"}}},
		{backup.Files, ".mxp-x", []*tar.Header{file(".mxp-x")}},
		{backup.Files, "lang/../../evil", []*tar.Header{file("lang/../../evil")}},
		{backup.Config, "/etc/evil", []*tar.Header{file("/etc/evil")}},
		{backup.Config, "../evil", []*tar.Header{file("../evil")}},
		{backup.Config, etc + "/nginx/way/evil", []*tar.Header{link(etc+"/nginx/way", "../../outside"), file(etc + "/nginx/way/evil")}},
		{backup.Config, etc + "/nginx/disk", []*tar.Header{{Name: etc + "/nginx/disk", Typeflag: tar.TypeChar, Devmajor: 1}}},
		{backup.Config, etc + "/nginx/big", []*tar.Header{{Name: etc + "/nginx/big", Typeflag: tar.TypeReg, Size: 9 << 20}}},
	} {
		t.Run(c.component+" "+c.name, func(t *testing.T) {
			r.t = t
			forged := r.forge(manifest, c.component, c.entries...)
			_, err := restore.Restore(t.Context(), r.options(forged), &stand.QuietRun{Name: "20260101T000000Z"})
			for _, undo := range r.undo {
				undo()
			}
			r.undo = nil
			if err == nil || !strings.Contains(err.Error(), c.name) {
				t.Errorf("not refused by name: %v", err)
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("planted outside: %v, %v", entries, err)
			}
			r.same(before, r.state())
			r.nothingLeft()
			if entries, err := os.ReadDir(filepath.Join(r.etc, "nginx")); err != nil || len(entries) != 1 {
				t.Errorf("left in the host's configuration: %v, %v", entries, err)
			}
		})
	}
}

// TestConfigurationOfOthersStays leaves alone what an archive holds outside of the places of configuration.
func TestConfigurationOfOthersStays(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	outside := strings.TrimPrefix(filepath.Join(r.dir, "outside/evil"), "/")
	forged := r.forge(manifest, backup.Config, file(outside), file(strings.TrimPrefix(r.etc, "/")+"/nginx/new.conf"))
	result, err := r.restore(r.options(forged))
	r.must(err)
	if _, err := os.Stat("/" + outside); err == nil {
		t.Error("planted")
	}
	if content, err := os.ReadFile(filepath.Join(r.etc, "nginx/new.conf")); err != nil || string(content) != planted {
		t.Errorf("what was missing: %q, %v", content, err)
	}
	r.must(restore.Discard(t.Context(), r.options(manifest), result.Journal, &stand.QuietRun{}))
}
