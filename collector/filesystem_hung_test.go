package collector

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hungMount mounts a directory through bindfs (FUSE) and stops its daemon, so that statfs there blocks.
func hungMount(t *testing.T) (mountpoint string) {
	t.Helper()
	if _, err := exec.LookPath("bindfs"); err != nil || os.Getuid() != 0 {
		if os.Getenv("CI") != "" || os.Getuid() == 0 {
			t.Fatalf("the test of a hung mount needs root and bindfs: sudo apt-get install --no-install-recommends bindfs fuse3 (%v)", err)
		}
		t.Skip("not root: no real hung mount is tried")
	}
	dir := t.TempDir()
	mountpoint = filepath.Join(dir, "moodledata")
	behind := filepath.Join(dir, "behind")
	for _, d := range []string{mountpoint, behind} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	daemon := startWithUs(t, "bindfs", "-f", behind, mountpoint)
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGCONT)
		if err := exec.Command("umount", "-l", mountpoint).Run(); err != nil {
			t.Errorf("unmount: %v", err)
		}
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	waitFor(t, "the mount", func() bool {
		mounts, err := os.ReadFile("/proc/self/mounts")
		return err == nil && strings.Contains(string(mounts), mountpoint+" ")
	})
	if err := daemon.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return mountpoint
}

// startWithUs starts a program that dies with this process, even if a panic or a time-out keeps clean-ups from running:
// a daemon that stays stopped would hold the threads in its mount, and with them this process, for ever.
func startWithUs(t *testing.T, name string, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(name, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, over := make(chan error), make(chan struct{})
	t.Cleanup(func() { close(over) })
	go func() {
		// The signal comes when the thread ends that started the program.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- command.Start()
		<-over
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return command
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
