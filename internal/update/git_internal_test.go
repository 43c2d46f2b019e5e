package update

import (
	"errors"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
)

// TestGitFailure wants what went wrong before what git advises, and no password.
func TestGitFailure(t *testing.T) {
	failure := &command.Error{Name: "git", ExitCode: 128, Err: errors.New("exit status 128"), Stderr: "fatal: detected dubious ownership in repository at 'https://u:geheim@git.example.org/moodle'\n" +
		"To add an exception for this directory, call:\n\n\tgit config --global --add safe.directory x\nfirst\nsecond\nthird\n"}
	g := git{user: &command.User{Name: "www-data"}}
	text := g.failed([]string{"fetch"}, failure).Error()
	if !strings.HasPrefix(text, "git fetch (as www-data): fatal: detected dubious ownership") || strings.Contains(text, "geheim") || strings.Count(text, "fatal:") != 1 {
		t.Error(text)
	}
	failure.Stderr = "fatal: no such ref\n"
	if text := g.failed([]string{"fetch"}, failure).Error(); strings.Count(text, "fatal:") != 1 {
		t.Error(text)
	}
}
