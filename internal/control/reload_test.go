package control

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

// The host's root sees the processes of containers too, which give themselves the same titles.
func TestMasterOfContainer(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a container")
	}
	// cat, for what is behind the title would be arguments.
	const titled = `exec -a "php-fpm: master process ($1)" cat`
	for name, in := range map[string][]string{
		"ours":     {"bash"},
		"anothers": {"unshare", "--pid", "--fork", "--kill-child", "bash"},
	} {
		file := filepath.Join(t.TempDir(), "php-fpm.conf")
		c := exec.CommandContext(t.Context(), in[0], append(in[1:], "-c", titled, "bash", file)...)
		input, err := c.StdinPipe()
		must(t, err)
		must(t, c.Start())
		t.Cleanup(func() { _ = input.Close(); _ = c.Wait() })
		title := masterTitle + file + ")"
		for deadline := time.Now().Add(20 * time.Second); titles(t, title) == 0; time.Sleep(workerPoll / 20) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no process has the title", name)
			}
		}
		if master := masterOf(procRoot, phpfpm.Pool{File: file}); (master != 0) != (name == "ours") {
			t.Errorf("%s: process %d", name, master)
		}
	}
}

// titles counts the processes of a title, whatever container they live in.
func titles(t *testing.T, title string) (count int) {
	t.Helper()
	lines, err := filepath.Glob(filepath.Join(procRoot, "[0-9]*/cmdline"))
	must(t, err)
	for _, line := range lines {
		if content, err := os.ReadFile(line); err == nil && string(content) == title+"\x00" {
			count++
		}
	}
	return count
}
