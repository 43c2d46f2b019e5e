package drill

import (
	"os"
	"testing"
)

// TestRemoveLeft removes what nobody works in, and leaves a drill alone that is at work.
func TestRemoveLeft(t *testing.T) {
	scratch := t.TempDir()
	var dirs []string
	for _, site := range []string{"lms", "lms", "exam"} {
		dir, err := os.MkdirTemp(scratch, prefixOf(site))
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	held, err := hold(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	there := func() (kept []bool) {
		for _, dir := range dirs {
			_, err := os.Stat(dir)
			kept = append(kept, err == nil)
		}
		return kept
	}
	removeLeft(scratch, "lms")
	if kept := there(); !kept[0] || kept[1] || !kept[2] {
		t.Errorf("at work, left, of another site: kept %v", kept)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	removeLeft(scratch, "lms")
	if kept := there(); kept[0] {
		t.Error("what a killed drill has left stays")
	}
}
