// Package host tries the real binary on a whole host: two sites with the databases of real ones (4.5 and 5.1) on one
// MariaDB, served by PHP-FPM and nginx over TLS, with Redis beside them. What single rooms promise is tested there;
// here it has to hold from the command line to the page.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// binaryVariable names a built binary to test in place of one built here.
const binaryVariable = "MOODLE_EXPORTER_BINARY"

// shared is what the tests have in common, made when the first of them asks for it.
var shared struct {
	dir, binary func() (string, error)
	// hosts are those that no test has; unmade are made when a test wants one and none is free.
	hosts, unmade chan func() (*host, error)

	mu      sync.Mutex
	endings []func() error
}

func TestMain(m *testing.M) {
	ctx, cancel := context.WithCancel(context.Background())
	shared.dir = sync.OnceValues(func() (string, error) {
		dir, remove, err := stand.MakeTempDir()
		if err == nil {
			atEnd(remove)
		}
		return dir, err
	})
	shared.binary = sync.OnceValues(func() (string, error) { return build(ctx) })
	shared.hosts, shared.unmade = make(chan func() (*host, error), atOnce), make(chan func() (*host, error), atOnce)
	for range atOnce {
		shared.unmade <- sync.OnceValues(func() (*host, error) { return startHost(ctx) })
	}
	code := m.Run()
	for _, end := range slices.Backward(shared.endings) {
		if err := end(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	cancel()
	os.Exit(code)
}

// atEnd has something done after all tests, the last asked for first.
func atEnd(end func() error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.endings = append(shared.endings, end)
}

// build makes the binary as the Makefile does: without cgo. It lies where every account can run it: a checkout
// below /root is closed to the account that some tests run it as.
func build(ctx context.Context) (string, error) {
	dir, err := shared.dir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "moodle-exporter")
	if built := os.Getenv(binaryVariable); built != "" {
		content, err := os.ReadFile(built)
		if err != nil {
			return "", err
		}
		return path, os.WriteFile(path, content, 0o755)
	}
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "../../cmd/moodle-exporter")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w: %s", err, out)
	}
	return path, nil
}

// theBinary is the program under test.
func theBinary(t *testing.T) string {
	t.Helper()
	path, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// atOnce is how many hosts there are at most, and so how many tests of one at a time.
const atOnce = 2

// theHost is a host with its two sites, which the test has for itself until it ends.
func theHost(t *testing.T) *host {
	t.Helper()
	stand.Need(t, stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx, stand.Redis, stand.Zstd)
	var start func() (*host, error)
	select {
	case start = <-shared.hosts:
	default:
		select {
		case start = <-shared.hosts:
		case start = <-shared.unmade:
		}
	}
	t.Cleanup(func() { shared.hosts <- start })
	h, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// needRoot ends a test of what only root can arrange.
func needRoot(t *testing.T) {
	t.Helper()
	switch {
	case os.Getuid() == 0:
	case os.Getenv("CI") != "":
		t.Fatal("this test needs root")
	default:
		t.Skip("not root: what needs mounts, namespaces or other accounts is not tried")
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
