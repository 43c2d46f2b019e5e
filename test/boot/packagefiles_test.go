package boot_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// release is what the packages of these tests are made of: a commit of 2026-03-01 12:00 UTC, four after a tag.
var release = []string{"VERSION=1.2.3-4-gabcdef1", "REVISION=abcdef1", "SOURCE_DATE_EPOCH=1772366400"}

// output is that of a program of the host.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	command := exec.Command(name, args...)
	command.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// TestPackageFiles looks into the package; nothing of it takes root.
func TestPackageFiles(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("dpkg-deb is not here")
		}
		t.Skip("no Debian: dpkg-deb is not here to look into the package")
	}
	t.Parallel()
	dir := t.TempDir()
	if err := boot.Make(t.Context(), "", dir, append(release, "deb")...); err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(dir, "moodle-exporter_1.2.3+4.gabcdef1-1_"+strings.TrimSpace(output(t, "dpkg", "--print-architecture"))+".deb")
	t.Run("control", func(t *testing.T) { testControl(t, deb) })
	t.Run("contents", func(t *testing.T) { testContents(t, deb) })
	t.Run("maintainer scripts", func(t *testing.T) { testMaintainerScripts(t, deb) })
	t.Run("completion", func(t *testing.T) { testCompletion(t, dir) })
	t.Run("same bytes from elsewhere", func(t *testing.T) { testReproducible(t, deb) })
	t.Run("make install", func(t *testing.T) { testMakeInstall(t, dir) })
	if os.Getenv("PROOF") == "full" {
		t.Run("release", testRelease)
		t.Run("upgrade from the first package", testUpgradeFromTheFirstPackage)
	}
}

func testControl(t *testing.T, deb string) {
	for field, want := range map[string]string{
		"Package": "moodle-exporter", "Version": "1.2.3+4.gabcdef1-1", "Section": "admin", "Priority": "optional",
		// Nothing is pulled in beside it on a server with a site.
		"Depends": "systemd | systemd-standalone-sysusers | adduser", "Recommends": "", "Pre-Depends": "",
	} {
		if got := strings.TrimSpace(output(t, "dpkg-deb", "--field", deb, field)); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if got := output(t, "dpkg-deb", "--info", deb, "conffiles"); got != "/etc/cron.d/moodle-exporter\n/etc/default/moodle-exporter\n" {
		t.Errorf("conffiles: %s", got)
	}
}

func testContents(t *testing.T, deb string) {
	line := regexp.MustCompile(`^(\S+) +root/root +(\d+) (2026-03-01 12:00) \.(/\S*)$`)
	modes := map[string]string{}
	for _, text := range strings.Split(strings.TrimSpace(output(t, "dpkg-deb", "--contents", deb)), "\n") {
		match := line.FindStringSubmatch(text)
		if match == nil {
			t.Errorf("not root's, or not of the date of the release: %s", text)
			continue
		}
		modes[match[4]] = match[1]
	}
	const dir, private, program, file = "drwxr-xr-x", "drwxr-x---", "-rwxr-xr-x", "-rw-r--r--"
	for path, mode := range modes {
		want := file
		switch {
		case path == "/etc/moodle-exporter/":
			want = private
		case strings.HasSuffix(path, "/"):
			want = dir
		case path == "/usr/bin/moodle-exporter":
			want = program
		}
		if mode != want {
			t.Errorf("%s is %s, want %s", path, mode, want)
		}
	}
	expected := []string{
		"/usr/bin/moodle-exporter", "/etc/moodle-exporter/", "/etc/default/moodle-exporter", "/etc/cron.d/moodle-exporter",
		"/usr/lib/sysusers.d/moodle-exporter.conf", "/usr/lib/tmpfiles.d/moodle-exporter.conf",
		"/usr/share/man/man1/moodle-exporter.1.gz", "/usr/share/bash-completion/completions/moodle-exporter",
		"/usr/share/zsh/vendor-completions/_moodle-exporter", "/usr/share/doc/moodle-exporter/examples/moodle-exporter.yml",
		"/usr/share/doc/moodle-exporter/copyright", "/usr/share/doc/moodle-exporter/changelog.gz",
		"/usr/share/doc/moodle-exporter/third-party-licenses.gz", "/usr/share/moodle-exporter/alerts/alertmanager.yml",
		"/usr/share/moodle-exporter/alerts/rules/backup.yml", "/usr/share/moodle-exporter/alerts/runbooks/MoodleBackupFailed.md",
		"/usr/lib/systemd/system/moodle-exporter.service",
	}
	for _, job := range []string{"probe", "backup", "maintain", "verify", "drill"} {
		unit := "/usr/lib/systemd/system/moodle-exporter-" + job
		expected = append(expected, unit+".service", unit+".timer")
	}
	for _, path := range expected {
		if modes[path] == "" {
			t.Errorf("%s is not in the package", path)
		}
	}
	for path := range modes {
		if strings.HasPrefix(path, "/etc/") && !strings.HasSuffix(path, "/") && !slices.Contains(expected, path) {
			t.Errorf("the package brings %s: it is to write no configuration", path)
		}
	}
	checkFiles(t, deb)
}

// checkFiles reads some of what is in the package.
func checkFiles(t *testing.T, deb string) {
	root := t.TempDir()
	output(t, "dpkg-deb", "--extract", deb, root)
	binary, err := os.Stat(filepath.Join(root, "usr/bin/moodle-exporter"))
	if err != nil || binary.Size() > 32<<20 {
		t.Errorf("the program has %d bytes (%v), want 32 MB at most", binary.Size(), err)
	}
	if out := output(t, filepath.Join(root, "usr/bin/moodle-exporter"), "--version"); !strings.Contains(out, "1.2.3-4-gabcdef1") {
		t.Errorf("not the version that was asked for: %s", out)
	}
	if page := output(t, "gzip", "-dc", filepath.Join(root, "usr/share/man/man1/moodle-exporter.1.gz")); !strings.Contains(page, `"2026-03-01" "moodle\-exporter 1.2.3`) {
		t.Errorf("the manual page begins with %.300s", page)
	}
	defaults := read(t, root, "etc/default/moodle-exporter")
	units, err := filepath.Glob(filepath.Join(root, "usr/lib/systemd/system/*.service"))
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`(?m)^ExecStart=.*\$([A-Z_]+)$`)
	for _, unit := range units {
		match := variable.FindStringSubmatch(read(t, "", unit))
		if match == nil || !strings.Contains(defaults, "\n"+match[1]+"=\"\"\n") {
			t.Errorf("%s takes %q, which /etc/default/moodle-exporter does not offer", filepath.Base(unit), match)
		}
	}
}

func read(t *testing.T, root, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// testMaintainerScripts: no service but our own is spoken to.
func testMaintainerScripts(t *testing.T, deb string) {
	dir := t.TempDir()
	output(t, "dpkg-deb", "--control", deb, dir)
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		script := read(t, dir, name)
		output(t, "sh", "-n", filepath.Join(dir, name))
		if !strings.Contains(script, "\nset -e\n") {
			t.Errorf("%s goes on after a failure", name)
		}
		for _, foreign := range []string{"nginx", "php", "mariadb", "mysql", "redis", "apache", "/backup", "/var/backups"} {
			if strings.Contains(strings.ToLower(script), foreign) {
				t.Errorf("%s speaks of %s", name, foreign)
			}
		}
	}
}

func testCompletion(t *testing.T, dir string) {
	file, err := filepath.Abs("../../packaging/completions/moodle-exporter.bash")
	if err != nil {
		t.Fatal(err)
	}
	const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _moodle_exporter; echo "${COMPREPLY[*]}"`
	for _, typed := range []struct{ words, want string }{
		{"ba", "backup"}, {"backup ver", "verify"}, {"backup verify --re", "--read-data"}, {"--conf", "--config.file"},
		{"restore --tr", "--trust-live"}, {"--config.file = /e", ""},
	} {
		args := append([]string{"-c", script, "bash", file, filepath.Join(dir, "moodle-exporter")}, strings.Fields(typed.words)...)
		if got := strings.TrimSpace(output(t, "bash", args...)); got != typed.want {
			t.Errorf("%q is completed to %q, want %q", typed.words, got, typed.want)
		}
	}
}

// testReproducible builds the package once more, elsewhere.
func testReproducible(t *testing.T, deb string) {
	dir := t.TempDir()
	if err := boot.Make(t.Context(), checkoutCopy(t), dir, append(release, "deb")...); err != nil {
		t.Fatal(err)
	}
	if first, second := sum(t, deb), sum(t, filepath.Join(dir, filepath.Base(deb))); first != second {
		t.Errorf("the package has SHA-256 %s, and built elsewhere %s", first, second)
	}
}

// checkoutCopy is this checkout in another place: without git, made under another umask, with other file times.
func checkoutCopy(t *testing.T) string {
	t.Helper()
	elsewhere := filepath.Join(t.TempDir(), "a checkout's copy")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	const copied = `cd ../.. && tar --create --exclude=./.git --exclude=./bin --exclude=./dist . |
		(umask 077 && tar --extract --touch --no-same-owner --no-same-permissions --directory "$1")`
	output(t, "sh", "-c", copied, "sh", elsewhere)
	return elsewhere
}

func sum(t *testing.T, path string) string {
	t.Helper()
	return fmt.Sprintf("%x", sha256.Sum256([]byte(read(t, "", path))))
}

// testMakeInstall installs below a prefix, over settings that are there already, and takes it away again.
func testMakeInstall(t *testing.T, dir string) {
	root := t.TempDir()
	mine := filepath.Join(root, "etc/default/moodle-exporter")
	if err := os.MkdirAll(filepath.Dir(mine), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mine, []byte("ARGS=mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also over itself
		if err := boot.Make(t.Context(), "", dir, "install", "DESTDIR="+root, "PREFIX=/opt/monitoring"); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"opt/monitoring/lib/systemd/system/moodle-exporter.service", "etc/cron.d/moodle-exporter"} {
		if text := read(t, root, path); strings.Contains(text, "/usr/bin/moodle-exporter") || !strings.Contains(text, "/opt/monitoring/bin/moodle-exporter ") {
			t.Errorf("%s does not call the program where it is: %s", path, text)
		}
	}
	output(t, filepath.Join(root, "opt/monitoring/bin/moodle-exporter"), "--version")
	if got := read(t, root, "etc/default/moodle-exporter"); got != "ARGS=mine\n" {
		t.Errorf("the settings were replaced by %s", got)
	}
	if err := boot.Make(t.Context(), "", dir, "uninstall", "DESTDIR="+root, "PREFIX=/opt/monitoring"); err != nil {
		t.Fatal(err)
	}
	if left := output(t, "find", root, "-type", "f", "-o", "-name", "moodle-exporter*"); left != mine+"\n" {
		t.Errorf("left: %s", left)
	}
}
