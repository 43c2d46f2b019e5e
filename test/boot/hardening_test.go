package boot_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// exposures are what "systemd-analyze security" may find at most, in tenths. What keeps a unit from less stands in it.
var exposures = map[string]int{
	"moodle-exporter.service":          20,
	"moodle-exporter-probe.service":    33,
	"moodle-exporter-backup.service":   33,
	"moodle-exporter-verify.service":   20,
	"moodle-exporter-drill.service":    36,
	"moodle-exporter-maintain.service": 85, // package upgrades may do anything to the host
}

// known reads how exposed each unit is at most in each respect.
func known(t *testing.T) map[string]map[string]float64 {
	t.Helper()
	units := map[string]map[string]float64{}
	for line := range strings.Lines(read(t, "testdata", "exposure.txt")) {
		unit, names, found := strings.Cut(line, ": ")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		units[unit] = map[string]float64{}
		for _, field := range strings.Fields(names) {
			name, exposure, _ := strings.Cut(field, "=")
			units[unit][name], _ = strconv.ParseFloat(exposure, 64) // none is 0
		}
	}
	return units
}

// TestExposure looks at the units as they are shipped: what each has given up once it does not take back
// unnoticed.
func TestExposure(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("systemd-analyze is not here to judge the units")
	}
	t.Parallel()
	shipped, units := glob(t, "../../packaging/systemd/*.service"), known(t)
	if len(shipped) != len(exposures) || len(shipped) != len(units) {
		t.Errorf("%d units are shipped, %d have a limit, and of %d it is known how exposed they are", len(shipped), len(exposures), len(units))
	}
	for _, file := range shipped {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) { testLoosened(t, read(t, "", file), units[name]) })
	}
}

// sandbox are the lines that take something away and that systemd weighs.
var sandbox = regexp.MustCompile(`^(User=|CapabilityBoundingSet=|NoNewPrivileges=|UMask=0077|Protect[A-Za-z]+=|Private[A-Za-z]+=|Restrict[A-Za-z]+=|` +
	`LockPersonality=|MemoryDenyWriteExecute=|SystemCallArchitectures=|SystemCallFilter=|IPAddressDeny=)`)

// testLoosened judges a unit as it is, and without one line after the other.
func testLoosened(t *testing.T, text string, limits map[string]float64) {
	removed, variants := []string{""}, []string{text}
	for line := range strings.Lines(text) {
		if sandbox.MatchString(line) {
			removed, variants = append(removed, strings.TrimSpace(line)), append(variants, strings.Replace(text, line, "", 1))
		}
	}
	for i, back := range takenBack(t, variants, limits) {
		if i == 0 && len(back) > 0 {
			t.Errorf("the unit has taken back %q", back)
		} else if i > 0 && len(back) == 0 {
			t.Errorf("nobody misses %q", removed[i])
		}
	}
	if len(removed) < 5 {
		t.Errorf("no more than %q was tried", removed)
	}
}

// takenBack names in what each of the units is more exposed than it was. What only a later systemd looks at does not count.
func takenBack(t *testing.T, units []string, limits map[string]float64) [][]string {
	t.Helper()
	dir, args := t.TempDir(), []string{"security", "--offline=yes", "--json=short"}
	for i, text := range units {
		file := filepath.Join(dir, fmt.Sprintf("unit%d.service", i))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	said := json.NewDecoder(strings.NewReader(output(t, "systemd-analyze", args...)))
	found := make([][]string, len(units))
	for i := range found {
		var checks []struct {
			Field    string `json:"json_field"`
			Exposure string `json:"exposure"` // nothing where there is none
		}
		if err := said.Decode(&checks); err != nil {
			t.Fatal(err)
		}
		for _, check := range checks {
			exposure, _ := strconv.ParseFloat(check.Exposure, 64)
			if limit, counts := limits[check.Field]; counts && exposure > limit {
				found[i] = append(found[i], check.Field)
			}
		}
	}
	return found
}

// testExposure asks the running systemd about what it has loaded.
func testExposure(t *testing.T, s *server) {
	for unit, limit := range exposures {
		result, err := s.Run(t.Context(), "systemd-analyze", "security", "--no-pager", fmt.Sprintf("--threshold=%d", limit), unit)
		if err != nil || result.ExitCode != 0 {
			t.Errorf("%s is more exposed than %d tenths (%v): %s", unit, limit, err, result.Stdout)
		}
	}
}

// TestPrivilegesPage: the page names every command, and says of the units what stands in them.
func TestPrivilegesPage(t *testing.T) {
	t.Parallel()
	page := read(t, "../../docs", "privileges.md")
	binary, err := stand.ExporterBinary(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.Command(binary, "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, help)
	}
	commands := regexp.MustCompile(`(?m)^([a-z][a-z -]*[a-z])\*?(?: [\[<].*)?$`).FindAllStringSubmatch(string(help), -1)
	if len(commands) < 20 {
		t.Errorf("%d commands in %s", len(commands), help)
	}
	for _, command := range commands {
		if name := command[1]; name != "help" && !regexp.MustCompile("(?m)^\\| `"+name+"( [A-Z]+)?` \\| ").MatchString(page) {
			t.Errorf("the page has no line for %s", name)
		}
	}
	for unit, command := range map[string]string{"": "serve", "-probe": "probe", "-backup": "backup create", "-verify": "backup verify", "-drill": "drill", "-maintain": "maintain"} {
		name := "moodle-exporter" + unit + ".service"
		bounds := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(read(t, "../../packaging/systemd", name))
		if len(bounds) != 2 {
			t.Fatalf("%s has no bound", name)
		}
		says := strings.ReplaceAll(bounds[1], "~", "all but ")
		if says == "" {
			says = "none"
		}
		if line := regexp.MustCompile("(?m)^\\| `" + command + "` \\| .* \\| (.*) \\|$").FindStringSubmatch(page); len(line) != 2 || line[1] != says {
			t.Errorf("the page says of %s %q, and the unit %q", command, line, says)
		}
	}
}

// runUnit starts a job as its timer does and fails unless it did its work.
func (s *server) runUnit(t *testing.T, unit string) {
	t.Helper()
	if _, err := s.Must(t.Context(), "systemctl", "start", unit); err != nil {
		t.Fatalf("%v: %s\n%s", err, s.Journal(t.Context(), unit), s.jobs(t))
	}
}

// settings puts files into place for one step.
func (s *server) settings(t *testing.T, files map[string]string) {
	t.Helper()
	for path, content := range files {
		before, missing := s.ReadFile(t.Context(), path)
		if err := s.WriteFile(t.Context(), path, []byte(content), 0o640, "root:moodle-exporter"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			if missing != nil {
				_, _ = s.Must(ctx, "rm", path)
			} else if err := s.WriteFile(ctx, path, before, 0o644, "root:root"); err != nil {
				t.Error(err)
			}
		})
	}
}

// testCopyUnit has the unit of the backup copy to a bucket.
func testCopyUnit(t *testing.T, s *server) {
	stand.Need(t, stand.MinIO)
	program, err := exec.LookPath("minio")
	if cache, where := os.UserCacheDir(); err != nil && where == nil {
		program = filepath.Join(cache, "moodle-exporter", "tools", "minio") // of scripts/install-tools
	}
	const key, secret, address = "AKIAEXAMPLE", "secret-of-the-bucket", "127.0.0.1:9123"
	if err := s.CopyIn(t.Context(), program, "/root/minio", 0o755, "root:root"); err != nil {
		t.Fatal(err)
	}
	storage := "minio-of-the-test.service"
	if _, err := s.Must(t.Context(), "systemd-run", "--quiet", "--unit="+storage, "--setenv=MINIO_ROOT_USER="+key, "--setenv=MINIO_ROOT_PASSWORD="+secret,
		"--setenv=MINIO_CI_CD=1", "--setenv=MINIO_BROWSER=off", "--setenv=HOME=/root", "/root/minio", "server", "/root/bucket", "--address", address, "--quiet"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = s.Must(t.Context(), "sh", "-c", "systemctl stop "+storage+"; rm -r /root/minio /root/bucket")
	}()
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(key, secret, ""), Transport: s.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.await(t, func() error { return client.MakeBucket(t.Context(), "backups", minio.MakeBucketOptions{}) }); err != nil {
		t.Fatalf("%v: %s", err, s.Journal(t.Context(), storage))
	}
	s.settings(t, map[string]string{
		"/etc/moodle-exporter/moodle-exporter.yml": "backup: {offsite: {endpoint: http://" + address + ", bucket: backups, access_key_file: /etc/moodle-exporter/access, secret_key_file: /etc/moodle-exporter/secret}}\n",
		"/etc/moodle-exporter/access":              key + "\n",
		"/etc/moodle-exporter/secret":              secret + "\n",
	})
	s.runUnit(t, "moodle-exporter-backup.service")
	manifests := 0
	for object := range client.ListObjects(t.Context(), "backups", minio.ListObjectsOptions{Recursive: true}) {
		if object.Err == nil && strings.HasSuffix(object.Key, "/manifest.json") {
			manifests++
		}
	}
	if manifests == 0 {
		t.Errorf("no copy came of it: %s\n%s", s.jobs(t), s.Journal(t.Context(), "moodle-exporter-backup.service"))
	}
	awaitSamples(t, s.Machine, []sample{{"job_last_result", []string{"site", s.site.Name, "name", "copy"}, 1}})
}

// awkward makes version 1 of a package, installed, and version 2 in a repository of its own, whose scripts and files want
// of dpkg what real packages want: programs with set-user-id, device nodes, other owners, a look at mounts and services.
const awkward = `set -eu
for version in 1 2; do
	dir=/srv/mxt/build; rm -rf $dir; mkdir -p $dir/DEBIAN $dir/usr/lib/mxt
	printf 'Package: mxt\nVersion: %s\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: test\n' $version >$dir/DEBIAN/control
	cp /bin/true $dir/usr/lib/mxt/true; chmod 4755 $dir/usr/lib/mxt/true
	cat >$dir/DEBIAN/postinst <<'END'
#!/bin/sh
set -e
ldconfig
chown www-data:mail /usr/lib/mxt
rm -f /usr/lib/mxt/null; mknod /usr/lib/mxt/null c 1 3; : >/usr/lib/mxt/null
mkdir -p /usr/lib/mxt/mount; mount -t tmpfs mxt /usr/lib/mxt/mount; umount /usr/lib/mxt/mount
systemctl daemon-reload
su -s /bin/sh -c true www-data
echo done >/boot/mxt
END
	chmod 0755 $dir/DEBIAN/postinst
	dpkg-deb --build --root-owner-group $dir /srv/mxt/mxt_$version.deb >/dev/null
done
dpkg -i /srv/mxt/mxt_1.deb >/dev/null
rm /srv/mxt/mxt_1.deb /boot/mxt; cd /srv/mxt
{ dpkg-deb -f mxt_2.deb; echo "Filename: ./mxt_2.deb"; echo "Size: $(stat -c %s mxt_2.deb)"; echo "SHA256: $(sha256sum mxt_2.deb | cut -d' ' -f1)"; } >Packages
printf 'Origin: T\nLabel: T\nSuite: stable\nDate: %s\nSHA256:\n %s %s Packages\n' "$(date -u '+%a, %d %b %Y %H:%M:%S UTC')" $(sha256sum Packages | cut -d' ' -f1) $(stat -c %s Packages) >Release
mkdir -p /srv/mxt/sources /srv/mxt/lists
echo 'deb [trusted=yes] file:/srv/mxt ./' >/srv/mxt/sources/mxt.list
printf 'Dir::Etc::SourceList "/dev/null";\nDir::Etc::SourceParts "/srv/mxt/sources";\nDir::State::Lists "/srv/mxt/lists";\n' >/etc/apt/apt.conf.d/99mxt
`

// testUpgradeUnit has the unit of the housekeeping fetch lists and upgrade a package.
func testUpgradeUnit(t *testing.T, s *server) {
	if _, err := s.Must(t.Context(), "sh", "-c", awkward); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = s.Must(t.Context(), "sh", "-c", "dpkg --purge mxt; rm -rf /srv/mxt /usr/lib/mxt /boot/mxt /etc/apt/apt.conf.d/99mxt")
	}()
	s.settings(t, map[string]string{
		"/etc/moodle-exporter/moodle-exporter.yml": "maintenance: {weekly: {tasks: [tmp, logs, package-lists, package-upgrades, prune]}}\n",
		"/etc/default/moodle-exporter":             "MAINTAIN_ARGS=--now=weekly\n",
	})
	s.runUnit(t, "moodle-exporter-maintain.service")
	got, err := s.Must(t.Context(), "sh", "-c", "dpkg-query -W -f '${Version} ${Status}' mxt; stat -c ' %a %U:%G %F' /usr/lib/mxt/true /usr/lib/mxt /usr/lib/mxt/null; cat /boot/mxt")
	want := "2 install ok installed 4755 root:root regular file\n 755 www-data:mail directory\n 644 root:root character special file\ndone\n"
	if err != nil || got != want {
		t.Errorf("the upgraded package is %q (%v), want %q: %s", got, err, want, s.jobs(t))
	}
}
