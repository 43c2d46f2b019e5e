package boot

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// needs are the programs of the host that build, boot or enter the machine, and those inside it
// that tests rely on, each with its Debian package.
var needs = []struct{ program, packaged string }{
	{"/usr/bin/systemd-nspawn", "systemd-container"},
	{"/lib/systemd/systemd", "systemd"},
	{"/usr/bin/dbus-daemon", "dbus"},
	{"/usr/bin/nsenter", "util-linux"},
	{"/usr/bin/unshare", "util-linux"},
	{"/sbin/mkfs.ext4", "e2fsprogs"},
	{"/usr/sbin/cron", "cron"},
	{"/usr/bin/bindfs", "bindfs"},
	{"/usr/bin/pkill", "procps"},
}

// Need ends the test unless a machine can be booted here. Under CI that is a failure; elsewhere
// the test is skipped, and says what was not tried and why.
func Need(t testing.TB) {
	t.Helper()
	reason := obstacle()
	if reason == "" {
		stand.Need(t, stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx, stand.Redis)
		return
	}
	message := fmt.Sprintf("%s not tested on a booted Debian with systemd: %s", t.Name(), reason)
	if os.Getenv("CI") != "" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// obstacle says why no machine can be booted here, or nothing.
func obstacle() string {
	if os.Getuid() != 0 {
		return "that takes root"
	}
	var missing []string
	for _, need := range needs {
		if _, err := os.Stat(need.program); err != nil {
			missing = append(missing, need.packaged)
		}
	}
	if len(missing) > 0 {
		return "missing; install with: apt-get install --no-install-recommends " + strings.Join(missing, " ")
	}
	// Root inside a container often may not make namespaces or mount.
	output, err := exec.Command("unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("this root may not make namespaces and mounts (%s)", strings.TrimSpace(string(output)))
	}
	if _, err := hierarchies("/proc/self/mountinfo"); err != nil {
		return err.Error()
	}
	return ""
}
