package boot_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// ownerVariable makes this test binary boot a machine and wait to be killed.
const ownerVariable = "MOODLE_EXPORTER_BOOT_AND_WAIT"

func bootAndWait() {
	m, err := boot.Start(context.Background(), boot.Options{Disks: []boot.Disk{{Path: diskOf(os.Getpid()), Megabytes: 8}}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(m.Pid)
	select {}
}

func diskOf(owner int) string { return fmt.Sprintf("/srv/disk-of-%d", owner) }

func TestNothingStaysBehindAfterAKill(t *testing.T) {
	boot.Need(t)
	t.Parallel()
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerVariable+"=1")
	output, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Process.Kill(); _ = owner.Wait() })
	line, err := bufio.NewReader(output).ReadString('\n')
	init, errInit := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || errInit != nil {
		t.Fatalf("the machine did not boot: %s (%v)", line, err)
	}
	if got := traces(t, owner.Process.Pid, init); len(got) < 3 {
		t.Fatalf("a running machine leaves only the traces %q: this test could not fail", got)
	}

	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for left := traces(t, owner.Process.Pid, init); len(left) > 0; left = traces(t, owner.Process.Pid, init) {
		if time.Now().After(deadline) {
			t.Fatalf("still there after the test that owned it: %q", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// traces are the init process, the cgroups and the loop devices of the machine of one owner.
// Mounts lie in its own namespace; a loop device goes only with the mount of its image.
func traces(t *testing.T, owner, init int) []string {
	t.Helper()
	found := glob(t, filepath.Join("/proc", strconv.Itoa(init)))
	cgroup := fmt.Sprintf("moodle-exporter-boot-%d-*", owner)
	found = append(found, glob(t, filepath.Join("/sys/fs/cgroup", cgroup))...)
	found = append(found, glob(t, filepath.Join("/sys/fs/cgroup/*", cgroup))...)
	disk := strings.ReplaceAll(diskOf(owner), "/", "_")
	for _, file := range glob(t, "/sys/block/loop*/loop/backing_file") {
		if backing, err := os.ReadFile(file); err == nil && strings.Contains(string(backing), disk+".img") {
			found = append(found, file)
		}
	}
	return found
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	matches, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return matches
}
