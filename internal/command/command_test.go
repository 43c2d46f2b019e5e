package command

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExitStatus(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name string
		run  Command
		code int
		said string
	}{
		{"good", Command{Name: "/bin/true"}, 0, ""},
		{"exit", Command{Name: "/bin/sh", Args: []string{"-c", "echo no room >&2; exit 7"}}, 7, "no room"},
		{"signal", Command{Name: "/bin/sh", Args: []string{"-c", "kill -9 $$"}}, -1, "killed"},
		{"missing", Command{Name: "/nonexistent"}, -1, "no such file"},
	} {
		err := Run(ctx, c.run)
		if got := ExitCode(err); got != c.code {
			t.Errorf("%s: exit code %d, want %d", c.name, got, c.code)
		}
		if c.said != "" && !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: error %q does not say %q", c.name, err, c.said)
		}
	}
}

// A program gets what is written out for it, and nothing of our own environment.
func TestEnvironment(t *testing.T) {
	t.Setenv("MOODLE_TEST_SECRET", "hunter2")
	output, err := Output(context.Background(), 1<<16, Command{Name: "/usr/bin/env", Env: []string{"GIVEN=yes"}})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(output); strings.Contains(text, "hunter2") || !strings.Contains(text, "GIVEN=yes") || !strings.Contains(text, "LANG=C.UTF-8") {
		t.Errorf("environment:\n%s", text)
	}
}

// A failing program may say megabytes; the end of it is kept, and safe to print.
func TestStderrIsCapped(t *testing.T) {
	script := `head -c 5000000 /dev/zero | tr '\0' x >&2; printf '\n\033[31mlast words\n' >&2; exit 1`
	err := Run(context.Background(), Command{Name: "/bin/sh", Args: []string{"-c", script}})
	var failure *Error
	if !errors.As(err, &failure) || len(failure.Stderr) > stderrCap {
		t.Fatalf("kept %d bytes", len(failure.Stderr))
	}
	if text := err.Error(); !strings.Contains(text, "last words") || strings.ContainsRune(text, '\033') || len(text) > 700 {
		t.Errorf("error of %d bytes: %q", len(text), text)
	}
}

func TestOutputIsCapped(t *testing.T) {
	output, err := Output(context.Background(), 1000, Command{Name: "/bin/sh", Args: []string{"-c", "head -c 1000000 /dev/zero"}})
	if err == nil || len(output) > 1000 {
		t.Errorf("%d bytes, %v", len(output), err)
	}
}

// The end of the context ends the program with all its children, also those that do not listen.
func TestCancelEndsTheGroup(t *testing.T) {
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	ctx, cancel := context.WithCancel(context.Background())
	script := `trap '' TERM; (trap '' TERM; sleep 1000) & echo $! > "$1.new"; mv "$1.new" "$1"; wait`
	ended := make(chan error, 1)
	var group int
	go func() {
		ended <- Run(ctx, Command{Name: "/bin/sh", Args: []string{"-c", script, "sh", pidFile}, Grace: 50 * time.Millisecond,
			Started: func(pgid int) { group = pgid }})
	}()
	child := awaitPID(t, pidFile)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if group == 0 {
		t.Error("nobody was told the process group")
	}
	deadline := time.Now().Add(10 * time.Second)
	for running(child) {
		if time.Now().After(deadline) {
			t.Fatalf("child %d is still there", child)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func awaitPID(t *testing.T, path string) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if content, err := os.ReadFile(path); err == nil {
			pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("the program did not start")
	return 0
}

// running says whether the process is there and no mere entry that nobody has fetched yet.
func running(pid int) bool {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !bytes.Contains(content[bytes.LastIndexByte(content, ')'):], []byte(") Z "))
}

// A lock that is handed down lives as long as the program that inherited it.
func TestFilesAreInherited(t *testing.T) {
	lock, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	output, err := Output(context.Background(), 1<<10, Command{Name: "/bin/readlink", Args: []string{"/proc/self/fd/3"}, Files: []*os.File{lock}})
	if err != nil || strings.TrimSpace(string(output)) != lock.Name() {
		t.Errorf("descriptor 3 is %q, %v", output, err)
	}
}

func TestRunAsUser(t *testing.T) {
	if _, err := SiteUser("root"); !errors.Is(err, ErrRoot) {
		t.Errorf("root as the site's user: %v", err)
	}
	if _, err := SiteUser("0"); !errors.Is(err, ErrRoot) {
		t.Errorf("uid 0 as the site's user: %v", err)
	}
	name := "nobody"
	if os.Geteuid() != 0 {
		name = strconv.Itoa(os.Geteuid()) // nobody but root can become another
	}
	user, err := SiteUser(name)
	if err != nil {
		t.Fatal(err)
	}
	output, err := Output(context.Background(), 1<<10, Command{Name: "/usr/bin/id", Args: []string{"-u"}, User: user})
	if err != nil || strings.TrimSpace(string(output)) != strconv.FormatUint(uint64(user.UID), 10) {
		t.Errorf("ran as %q, %v", output, err)
	}
	groups, err := Output(context.Background(), 1<<10, Command{Name: "/usr/bin/id", Args: []string{"-G"}, User: user})
	if err != nil || os.Geteuid() == 0 && strings.Contains(" "+strings.TrimSpace(string(groups))+" ", " 0 ") {
		t.Errorf("groups %q, %v", groups, err)
	}
}
