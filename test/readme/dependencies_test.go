package readme

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	required = regexp.MustCompile(`(?m)^\s*(?:require )?([a-z0-9.-]+\.[a-z]+/\S+|[a-z0-9.-]+\.[a-z]+) v\S+(.*)$`)
	reason   = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| *(\\S.{19,})\\|")
)

// TestDependencies: docs/dependencies.md gives a reason for each module that go.mod names as direct, and for no other.
func TestDependencies(t *testing.T) {
	modules, err := os.ReadFile(filepath.Join(root, "go.mod"))
	must(t, err)
	text, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	must(t, err)
	var direct, explained []string
	for _, found := range required.FindAllStringSubmatch(string(modules), -1) {
		if !strings.Contains(found[2], "// indirect") {
			direct = append(direct, found[1])
		}
	}
	for _, found := range reason.FindAllStringSubmatch(string(text), -1) {
		explained = append(explained, found[1])
	}
	if len(direct) < 10 {
		t.Fatalf("go.mod is not understood: %v", direct)
	}
	for _, module := range direct {
		if !slices.Contains(explained, module) {
			t.Errorf("docs/dependencies.md does not say why %s is there", module)
		}
	}
	for _, module := range explained {
		if !slices.Contains(direct, module) {
			t.Errorf("docs/dependencies.md explains %s, which go.mod does not name", module)
		}
	}
}
