package stand

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// MountShare shows the directory behind at mountpoint (they may be the same) through bindfs, a file system in
// a process of its own, as a network share would be: once that process gets SIGSTOP, everything that touches
// the mount hangs. It is set going and unmounted when the test ends, and dies with the test binary.
func MountShare(t testing.TB, behind, mountpoint string) *os.Process {
	t.Helper()
	Need(t, Bindfs)
	if os.Getuid() != 0 {
		t.Skip("not root: no share that really hangs is tried")
	}
	command := startWithUs(t, "bindfs", "-f", "-o", "nonempty", behind, mountpoint)
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGCONT)
		if out, err := exec.Command("umount", "-l", mountpoint).CombinedOutput(); err != nil {
			t.Errorf("unmount: %v: %s", err, out)
		}
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err == nil && strings.Contains(string(mounts), " "+mountpoint+" ") {
			return command.Process
		}
		if time.Now().After(deadline) {
			t.Fatalf("bindfs did not mount %s", mountpoint)
		}
	}
}

// startWithUs starts a program that dies with this process, even if a panic or a time-out keeps clean-ups
// from running: a share that stays stopped would hold the threads in its mount, and with them this process.
func startWithUs(t testing.TB, name string, arguments ...string) *exec.Cmd {
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
