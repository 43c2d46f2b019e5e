package stand_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestReleaseIsMoodlesCodeAlone looks for what a release must not hold, and what it says of itself.
func TestReleaseIsMoodlesCodeAlone(t *testing.T) {
	dir := t.TempDir()
	err := stand.WriteRelease(dir, stand.Release{Version: "2024100706.00", Maturity: "MATURITY_BETA", Without: []string{"mod_chat"}, Deleted: []string{"mod_chat"}, Upgrade: "throw new Exception('half way');"})
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"config.php", "mod/standin", "mod/chat"} {
		if _, err := os.Lstat(filepath.Join(dir, gone)); err == nil {
			t.Errorf("%s is there", gone)
		}
	}
	version, err := os.ReadFile(filepath.Join(dir, "version.php"))
	if err != nil || !strings.Contains(string(version), "2024100706.00") || !strings.Contains(string(version), "MATURITY_BETA") {
		t.Errorf("version.php: %s, %v", version, err)
	}
	if steps, err := os.ReadFile(filepath.Join(dir, "lib/db/upgrade.php")); err != nil || !strings.Contains(string(steps), "half way") {
		t.Errorf("lib/db/upgrade.php: %s, %v", steps, err)
	}
}
