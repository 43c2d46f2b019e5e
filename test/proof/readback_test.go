package proof_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// manifest is what is needed of manifest.json, as the format describes it.
type manifest struct {
	ID    string
	Files []struct {
		Name          string
		Size          int64
		SHA256        string
		ContentSize   int64  `json:"content_size"`
		ContentSHA256 string `json:"content_sha256"`
	}
	Filedir struct{ Blobs, Size, Missing int64 }
}

// contents are what a complete backup is made of.
var contents = []string{
	"database.sql.zst", "code.tar.zst", "dataroot.tar.zst", "filedir.list.zst", "config.tar.zst", "logs.tar.zst", "system.tar.zst", "RESTORE.txt",
}

// readBack reads a backup to its last byte: every file has the sums of its manifest, stored and unpacked by
// zstd, and every content file that the list or the dump names is in the pool with the SHA-1 of its name.
func (s *site) readBack(t *testing.T, id string) {
	t.Helper()
	dir := filepath.Join(s.backups(), "lms", id)
	var m manifest
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &m))
	unpacked := map[string][]byte{}
	for _, file := range m.Files {
		stored, err := os.ReadFile(filepath.Join(dir, file.Name))
		must(t, err)
		content := stored
		if strings.HasSuffix(file.Name, ".zst") {
			unpack := exec.CommandContext(t.Context(), "zstd", "-dc")
			unpack.Stdin = bytes.NewReader(stored)
			content, err = unpack.Output()
			must(t, err)
		}
		if got := sumOf(stored); got != file.SHA256 || int64(len(stored)) != file.Size {
			t.Errorf("backup %s: %s is stored with SHA-256 %s and %d bytes, its manifest says %s and %d", id, file.Name, got, len(stored), file.SHA256, file.Size)
		}
		if got := sumOf(content); got != file.ContentSHA256 || int64(len(content)) != file.ContentSize {
			t.Errorf("backup %s: %s holds SHA-256 %s and %d bytes, its manifest says %s and %d", id, file.Name, got, len(content), file.ContentSHA256, file.ContentSize)
		}
		unpacked[file.Name] = content
	}
	for _, name := range contents {
		if len(unpacked[name]) == 0 {
			t.Errorf("backup %s has no %s", id, name)
		}
	}
	for _, name := range contents {
		if strings.HasSuffix(name, ".tar.zst") {
			list := exec.CommandContext(t.Context(), "tar", "-tf", "-")
			list.Stdin = bytes.NewReader(unpacked[name])
			if out, err := list.CombinedOutput(); err != nil {
				t.Errorf("backup %s: tar reads %s: %v: %s", id, name, err, out)
			}
		}
	}
	listed := s.readPool(t, id, unpacked["filedir.list.zst"])
	if int64(len(listed)) != m.Filedir.Blobs || m.Filedir.Missing != 0 {
		t.Errorf("backup %s lists %d content files, its manifest counts %d and %d missing", id, len(listed), m.Filedir.Blobs, m.Filedir.Missing)
	}
	s.readDump(t, id, unpacked["database.sql.zst"], listed)
}

// readPool checks the content files of a list and returns their names.
func (s *site) readPool(t *testing.T, id string, list []byte) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	last := ""
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		var name string
		var size int64
		if _, err := fmt.Sscanf(lines.Text(), "%s %d", &name, &size); err != nil || len(name) != 40 || name <= last {
			t.Fatalf("backup %s: the list of content files has the line %q after %s (%v)", id, lines.Text(), last, err)
		}
		last, names[name] = name, true
		file, err := os.Open(s.inPool(name))
		must(t, err)
		digest := sha1.New()
		read, err := io.Copy(digest, file)
		must(t, err)
		must(t, file.Close())
		if got := hex.EncodeToString(digest.Sum(nil)); got != name || read != size {
			t.Errorf("backup %s: content file %s has SHA-1 %s and %d bytes, want %d", id, name, got, read, size)
		}
	}
	must(t, lines.Err())
	return names
}

// fileRow is the beginning of a row of the table files: id, content hash, path hash.
var fileRow = regexp.MustCompile(`\((\d+),'([0-9a-f]{40})','([0-9a-f]{40})',`)

// readDump checks that the dump is whole, and that the list holds every content file that it names.
func (s *site) readDump(t *testing.T, id string, dump []byte, listed map[string]bool) {
	t.Helper()
	if !bytes.HasSuffix(bytes.TrimSpace(dump), []byte("-- Dump completed")) {
		t.Errorf("backup %s: the dump ends with %q", id, dump[max(0, len(dump)-80):])
	}
	named, missing := 0, 0
	for part := range bytes.SplitSeq(dump, []byte(";\n")) {
		if !bytes.HasPrefix(bytes.TrimSpace(part), []byte("INSERT INTO `"+s.Prefix+"files` VALUES")) {
			continue
		}
		for _, row := range fileRow.FindAllSubmatch(part, -1) {
			named++
			if !listed[string(row[2])] {
				missing++
			}
		}
	}
	if named < 1000 || missing > 0 {
		t.Errorf("backup %s: of %d rows of the table files that were found, %d have no content in the backup", id, named, missing)
	}
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
