package boot_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// disks of the shared machine: sites and backups on their own, and one with a fault.
var disks = []boot.Disk{
	{Path: "/var/www", Megabytes: 512},
	{Path: "/backup", Megabytes: 512},
	{Path: "/srv/archive", Megabytes: 16, ReadOnly: true},
}

// shared is the one machine of this package, booted by the first test that asks for it.
var shared struct {
	once    sync.Once
	machine *boot.Machine
	err     error
}

func TestMain(m *testing.M) {
	if os.Getenv(ownerVariable) != "" {
		bootAndWait()
	}
	code := m.Run()
	if shared.machine != nil {
		if err := shared.machine.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// machine returns the shared machine. Tests leave it as they found it.
func machine(t *testing.T) *boot.Machine {
	t.Helper()
	boot.Need(t)
	shared.once.Do(func() {
		shared.machine, shared.err = boot.Start(context.Background(), boot.Options{Disks: disks})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.machine
}
