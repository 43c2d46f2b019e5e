package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
)

// Pasted as it stands, the advice makes a status page that the look finds.
func TestStubStatusAdviceIsFound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nginx.conf")
	if err := os.WriteFile(file, []byte("http {\n"+indent(stubStatus)+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := nginx.StatusPages(file); err != nil || !slices.Equal(got, []string{"http://127.0.0.1:8089/nginx_status"}) {
		t.Errorf("%q, %v", got, err)
	}
}
