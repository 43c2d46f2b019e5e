package collector

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// hungMount is a directory on a share that hangs.
func hungMount(t *testing.T) (mountpoint string) {
	t.Helper()
	dir := t.TempDir()
	mountpoint, behind := filepath.Join(dir, "moodledata"), filepath.Join(dir, "behind")
	for _, d := range []string{mountpoint, behind} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := stand.MountShare(t, behind, mountpoint).Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return mountpoint
}

func TestRealHungMount(t *testing.T) {
	mountpoint := hungMount(t)
	// The role's path leads through a link into the hung mount: even following it must not hold up the page.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(mountpoint, "data"), link); err != nil {
		t.Fatal(err)
	}
	f := NewFilesystem("/proc", []Role{{"root", "/"}, {"moodledata", mountpoint + "/data"}, {"code", link}}, Statfs)
	e := New(discard(), time.Now, 0, NewCPU("/proc"), NewMemory("/proc"), f)
	server := httptest.NewServer(e.Handler(HandlerOptions{MaxRequests: 40}))
	t.Cleanup(server.Close)

	for range 2 {
		got := gatherValues(t, e, 10*time.Second)
		wantValues(t, got, map[string]float64{
			"scrape_collector_success{cpu}": 1, "scrape_collector_success{memory}": 1, "scrape_collector_success{filesystem}": 1,
			"host_filesystem_responding{fuse," + mountpoint + "}":      0,
			"host_filesystem_role_info{" + mountpoint + ",moodledata}": 1, "host_filesystem_role_info{/,root}": 1,
		})
		if _, there := got["host_filesystem_size_bytes{fuse,"+mountpoint+"}"]; there {
			t.Error("a hung mount has a size")
		}
	}
	before, threads := fileDescriptors(t), runtime.NumGoroutine()
	for range 200 {
		if status, body, _ := get(t, server.URL, nil); status != http.StatusOK || !strings.Contains(body, "moodle_host_load1 ") {
			t.Fatalf("%d %s", status, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	waitFor(t, "goroutines and file descriptors to be as few as before", func() bool {
		return fileDescriptors(t) <= before && runtime.NumGoroutine() <= threads
	})
}

func fileDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
