package job

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestJournals(t *testing.T) {
	state := t.TempDir()
	type journal struct {
		journalHead
		Phase string `json:"phase"`
	}
	read := func() (phases []string, err error) {
		err = ReadJournals(state, "restore", "lms", 1, func(_ JournalFile, content []byte) error {
			var j journal
			err := json.Unmarshal(content, &j)
			phases = append(phases, j.Phase)
			return err
		})
		return phases, err
	}
	if phases, err := read(); err != nil || phases != nil {
		t.Errorf("none: %v, %v", phases, err)
	}
	var files []JournalFile
	for _, id := range []string{"20260102T000000Z", "20260101T000000Z"} {
		file := NewJournalFile(state, "restore", "lms", id, -1)
		if err := file.Save(journal{journalHead{1, id, "lms"}, "phase of " + id}); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	dir := filepath.Dir(files[0].Path)
	torn := filepath.Join(dir, ".20260103T000000Z.json.123")
	if err := os.WriteFile(torn, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if phases, err := read(); err != nil || !slices.Equal(phases, []string{"phase of 20260101T000000Z", "phase of 20260102T000000Z"}) {
		t.Errorf("two: %v, %v", phases, err)
	}
	if err := files[0].Remove(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("after one was removed: %v, %v", entries, err)
	}
	for _, content := range []string{`{`, `{"format":2,"site":"lms"}`, `{"format":1,"site":"exam"}`, `{"format":1,"site":"lms","phase":7}`} {
		if err := os.WriteFile(files[0].Path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := read(); err == nil || !strings.Contains(err.Error(), files[0].Path) {
			t.Errorf("%s: %v", content, err)
		}
	}
}
