package maintenance_test

import (
	"context"
	"crypto/tls"
	_ "embed" // the script
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

//go:embed testdata/repository.sh
var repository string

// server is a booted Debian with a site, our package, and a package repository of its own: apt, dpkg, systemd, nginx and
// the others are real. certbot needs the Internet, and is a script that notes how it was called.
type server struct {
	*boot.Machine
	site *boot.Site
}

func TestOnAServer(t *testing.T) {
	boot.Need(t)
	t.Parallel() // most of it is waiting
	m, err := boot.Start(t.Context(), boot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &server{Machine: m}
	if s.site, err = m.InstallSite(t.Context(), boot.SiteOptions{}); err != nil {
		t.Fatal(err)
	}
	binary := os.Getenv("MOODLE_EXPORTER_BINARY")
	if binary == "" {
		if binary, err = boot.BuildExporter(t.Context(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.InstallExporter(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	s.must(t, "sh", "-c", repository)
	for _, step := range []struct {
		name string
		test func(*testing.T, *server)
	}{
		{"nothing runs because it is new", testQuiet},
		{"security upgrades alone", testSecurityOnly},
		{"another apt is waited for", testAptLocked},
		{"all upgrades", testUpgrades},
		{"stopped while it upgrades", testStopped},
		{"lists that cannot be fetched", testListsFail},
		{"restarts", testRestarts},
		{"restarts with broken settings", testBrokenSettings},
		{"certificates", testCertificates},
		{"own timers are off", testOwnTimers},
	} {
		t.Run(step.name, func(t *testing.T) { step.test(t, s) })
	}
}

func (s *server) must(t *testing.T, argv ...string) string {
	t.Helper()
	output, err := s.Must(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// maintain runs the command with the given settings and returns its exit code, and what it said to people and to its log.
func (s *server) maintain(t *testing.T, settings string, args ...string) (code int, said, log string) {
	t.Helper()
	if err := s.WriteFile(t.Context(), "/etc/moodle-exporter/moodle-exporter.yml", []byte("maintenance: "+settings+"\n"), 0o640, "root:root"); err != nil {
		t.Fatal(err)
	}
	result, err := s.Run(t.Context(), append([]string{"moodle-exporter", "maintain"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	log = s.must(t, "sh", "-c", "cat $(ls -t /var/lib/moodle-exporter/log/maintain-* 2>/dev/null | head -1) </dev/null")
	return result.ExitCode, result.Stdout + result.Stderr, log
}

func (s *server) versions(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(s.must(t, "dpkg-query", "-W", "-f", "${Package}=${Version} ", "mxt-*"))
}

// testQuiet calls it as the timer does, on a host that was just installed.
func testQuiet(t *testing.T, s *server) {
	s.must(t, "systemctl", "start", "moodle-exporter-maintain.service")
	if records := s.must(t, "sh", "-c", "ls /var/lib/moodle-exporter/jobs/_host 2>/dev/null || true"); records != "" {
		t.Errorf("a first call left the record %s", records)
	}
	if state, err := s.ReadFile(t.Context(), "/var/lib/moodle-exporter/maintenance.json"); err != nil || !strings.Contains(string(state), `"daily/tmp"`) {
		t.Errorf("remembered: %s (%v)", state, err)
	}
	code, said, _ := s.maintain(t, "{}", "--now=daily")
	if code != 0 || said != "" {
		t.Errorf("daily ended with %d: %s", code, said)
	}
}

func testSecurityOnly(t *testing.T, s *server) {
	const settings = "{daily: {tasks: []}, weekly: {tasks: [package-upgrades]}, packages: {security_only: true}}"
	_, said, _ := s.maintain(t, settings, "--dry-run")
	if !strings.Contains(said, "would upgrade mxt-fixed 1 -> 2") || !strings.Contains(said, "1 packages to upgrade, 2 others left") {
		t.Errorf("the preview: %s", said)
	}
	code, said, log := s.maintain(t, settings, "--now=weekly")
	want := "mxt-fixed=2 mxt-held=1 mxt-plain=1 mxt-rival=1 mxt-settings=1 mxt-slow=1 mxt-wants=1"
	if got := s.versions(t); code != 0 || said != "" || got != want {
		t.Errorf("ended with %d, saying %q; installed are %s, want %s; log: %s", code, said, got, want, log)
	}
}

// testAptLocked holds dpkg's lock as another package manager would.
func testAptLocked(t *testing.T, s *server) {
	lock, err := os.OpenFile(s.HostPath("/var/lib/dpkg/lock-frontend"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	hold := &unix.Flock_t{Type: unix.F_WRLCK, Whence: 0}
	if err := unix.FcntlFlock(lock.Fd(), unix.F_SETLK, hold); err != nil {
		t.Fatal(err)
	}
	code, said, log := s.maintain(t, "{weekly: {tasks: [package-upgrades, package-lists]}, packages: {wait: 1s}}", "--now=weekly")
	if code != 1 || !strings.Contains(said, "another package manager has been at work") || strings.Contains(said, "package-lists:") {
		t.Errorf("ended with %d: %s; log: %s", code, said, log)
	}
}

// testUpgrades: held packages, settings that were changed, and packages that others would be removed or installed for.
func testUpgrades(t *testing.T, s *server) {
	code, said, log := s.maintain(t, "{weekly: {tasks: [package-upgrades]}}", "--now=weekly")
	want := "mxt-fixed=2 mxt-held=1 mxt-plain=2 mxt-rival=1 mxt-settings=2 mxt-slow=1 mxt-wants=1"
	if got := s.versions(t); code != 0 || said != "" || got != want {
		t.Errorf("ended with %d, saying %q; installed are %s, want %s; log: %s", code, said, got, want, log)
	}
	if settings := s.must(t, "cat", "/etc/mxt-settings.conf"); settings != "changed by the administrator\n" {
		t.Errorf("changed settings were replaced by %q", settings)
	}
	if !strings.Contains(log, "package=mxt-plain from=1 to=2") {
		t.Errorf("the log does not name what was upgraded: %s", log)
	}
	if err := s.WriteFile(t.Context(), "/run/reboot-required", nil, 0o644, "root:root"); err != nil {
		t.Fatal(err)
	}
	code, said, _ = s.maintain(t, "{weekly: {tasks: [package-upgrades]}}", "--now=weekly")
	if code != 0 || !strings.Contains(said, "the host should be booted anew") {
		t.Errorf("ended with %d: %s", code, said)
	}
	s.must(t, "rm", "/run/reboot-required")
}

// testStopped: a host that goes down lets dpkg finish; what was not begun stays due.
func testStopped(t *testing.T, s *server) {
	s.must(t, "sh", "-c", repository, "sh", "slow")
	settings := "maintenance: {weekly: {tasks: [package-upgrades, service-restarts]}}\n"
	for path, content := range map[string]string{"/etc/moodle-exporter/moodle-exporter.yml": settings, "/etc/default/moodle-exporter": "MAINTAIN_ARGS=--now=weekly\n"} {
		if err := s.WriteFile(t.Context(), path, []byte(content), 0o644, "root:root"); err != nil {
			t.Fatal(err)
		}
	}
	defer s.must(t, "rm", "/etc/default/moodle-exporter")
	s.must(t, "systemctl", "start", "--no-block", "moodle-exporter-maintain.service")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := s.Poll(ctx, func(context.Context) error { _, err := os.Stat(s.HostPath("/run/mxt-slow")); return err })
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, "systemctl", "stop", "moodle-exporter-maintain.service")
	record := s.must(t, "cat", "/var/lib/moodle-exporter/jobs/_host/maintain.json")
	if !strings.Contains(record, `"interrupted"`) || strings.Contains(record, "service-restarts") {
		t.Errorf("the record: %s", record)
	}
	if got := s.must(t, "dpkg-query", "-W", "-f", "${Version} ${Status}", "mxt-slow"); got != "2 install ok installed" {
		t.Errorf("the package is %s", got)
	}
}

// testListsFail: a mirror that cannot be reached, of which apt-get update by itself makes no error.
func testListsFail(t *testing.T, s *server) {
	const list, hasty = "/etc/apt/sources.list.d/gone.list", "/etc/apt/apt.conf.d/hasty"
	if err := s.WriteFile(t.Context(), hasty, []byte("Acquire::Retries::Delay \"false\";\n"), 0o644, "root:root"); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteFile(t.Context(), list, []byte("deb [trusted=yes] http://127.0.0.1:1/ ./\n"), 0o644, "root:root"); err != nil {
		t.Fatal(err)
	}
	defer s.must(t, "rm", list, hasty)
	if plain, err := s.Run(t.Context(), "apt-get", "-q", "update"); err != nil || plain.ExitCode != 0 {
		t.Errorf("apt-get update itself is honest about it now: %d (%v)", plain.ExitCode, err)
	}
	code, said, _ := s.maintain(t, "{}", "--now=daily")
	if code != 1 || !strings.Contains(said, "package-lists: run apt-get") {
		t.Errorf("ended with %d: %s", code, said)
	}
}

// pids are the main processes of the site's services, and their states.
func (s *server) pids(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, unit := range []string{"mariadb.service", "redis-server.service", s.site.FPMUnit, "nginx.service", "cron.service"} {
		found[unit] = s.must(t, "systemctl", "show", unit, "--property=MainPID,ActiveState", "--value")
	}
	return found
}

const weeklyRestarts = "{weekly: {tasks: [service-restarts]}}"

// testRestarts: those that run, what others stand on first. One that somebody stopped stays stopped.
func testRestarts(t *testing.T, s *server) {
	s.must(t, "systemctl", "stop", "redis-server.service")
	before := s.pids(t)
	code, said, log := s.maintain(t, weeklyRestarts, "--now=weekly")
	after := s.pids(t)
	for unit := range before {
		if restarted := before[unit] != after[unit]; restarted != (unit != "cron.service" && unit != "redis-server.service") {
			t.Errorf("%s: restarted %v", unit, restarted)
		}
	}
	order := []string{"unit=mariadb", "unit=php", "unit=nginx"}
	for i, unit := range order[1:] {
		if !strings.Contains(log, order[i]) || strings.Index(log, order[i]) > strings.Index(log, unit) {
			t.Errorf("%s before %s is not in the log: %s", order[i], unit, log)
		}
	}
	if code != 0 || said != "" {
		t.Errorf("ended with %d: %s; log: %s", code, said, log)
	}
	s.must(t, "systemctl", "start", "redis-server.service")
	if _, err := s.Get(t.Context(), s.site.WWWRoot+"/login/index.php"); err != nil {
		t.Error(err)
	}
}

// testBrokenSettings: what would not come back is not stopped.
func testBrokenSettings(t *testing.T, s *server) {
	pool := "/etc/php/" + strings.TrimSuffix(strings.TrimPrefix(s.site.FPMUnit, "php"), "-fpm.service") + "/fpm/pool.d/broken.conf"
	for _, path := range []string{"/etc/nginx/conf.d/broken.conf", pool} {
		if err := s.WriteFile(t.Context(), path, []byte("nonsense\n"), 0o644, "root:root"); err != nil {
			t.Fatal(err)
		}
	}
	defer s.must(t, "rm", "/etc/nginx/conf.d/broken.conf", pool)
	before := s.pids(t)
	code, said, _ := s.maintain(t, "{weekly: {tasks: [service-restarts]}, restart: ["+s.site.FPMUnit+", nginx.service, redis-server.service]}", "--now=weekly")
	after := s.pids(t)
	for unit, restarts := range map[string]bool{"mariadb.service": false, "redis-server.service": true, "nginx.service": false, s.site.FPMUnit: false} {
		if restarted := before[unit] != after[unit]; restarted != restarts {
			t.Errorf("%s: restarted %v, want %v", unit, restarted, restarts)
		}
	}
	if code != 1 || !strings.Contains(said, "nginx.service is left running") || !strings.Contains(said, s.site.FPMUnit+" is left running") {
		t.Errorf("ended with %d: %s", code, said)
	}
}

const certbotStandIn = `#!/bin/sh
echo "$@" >>/var/log/certbot-calls
cp /srv/new/fullchain.pem /srv/new/privkey.pem /etc/letsencrypt/live/lms.example.org/ 2>/dev/null
exit $(cat /srv/certbot-exit 2>/dev/null || echo 0)
`

func testCertificates(t *testing.T, s *server) {
	const monthly = "{monthly: {tasks: [certbot-renew]}}"
	code, said, _ := s.maintain(t, monthly, "--now=monthly")
	if code != 1 || !strings.Contains(said, "none of certbot") {
		t.Errorf("without certbot: %d, %s", code, said)
	}
	if err := s.WriteFile(t.Context(), "/usr/local/bin/certbot", []byte(certbotStandIn), 0o755, "root:root"); err != nil {
		t.Fatal(err)
	}
	s.must(t, "mkdir", "-p", "/srv/new")
	before := s.served(t)
	code, said, log := s.maintain(t, monthly, "--now=monthly")
	if code != 0 || said != "" || s.served(t) != before || strings.Contains(log, "action=reload") || !strings.Contains(log, "served as it is on disk") {
		t.Errorf("nothing to renew: %d, %s; log: %s", code, said, log)
	}
	renew := func() {
		t.Helper()
		dir := s.HostPath("/srv/new")
		if err := stand.WriteCertificate(filepath.Join(dir, "fullchain.pem"), filepath.Join(dir, "privkey.pem"), stand.CertificateOptions{Hosts: []string{"lms.example.org"}}); err != nil {
			t.Fatal(err)
		}
	}
	renew()
	pid, _ := s.Property(t.Context(), "nginx.service", "MainPID")
	code, said, log = s.maintain(t, monthly, "--now=monthly")
	renewed := s.served(t)
	if code != 0 || said != "" || renewed == before || !strings.Contains(log, "action=reload unit=nginx.service") {
		t.Errorf("renewed: %d, %s; log: %s", code, said, log)
	}
	if now, _ := s.Property(t.Context(), "nginx.service", "MainPID"); now != pid {
		t.Error("nginx was restarted where a reload is enough")
	}
	// A renewal that half failed: what has changed is served, and the failure told.
	renew()
	s.must(t, "sh", "-c", "echo 1 >/srv/certbot-exit")
	code, said, _ = s.maintain(t, monthly, "--now=monthly")
	if code != 1 || !strings.Contains(said, "run /usr/local/bin/certbot: exit status 1") || s.served(t) == renewed {
		t.Errorf("half a renewal: %d, %s", code, said)
	}
	s.must(t, "rm", "/srv/certbot-exit")
	// A certificate that its server does not read.
	renew()
	s.must(t, "sh", "-c", "mkdir /srv/old && cp /etc/letsencrypt/live/lms.example.org/* /srv/old/ && sed -i s,/etc/letsencrypt/live/lms.example.org,/srv/old, /etc/nginx/sites-enabled/*")
	code, said, _ = s.maintain(t, monthly, "--now=monthly")
	if code != 1 || !strings.Contains(said, "its server has not read the file") {
		t.Errorf("not served: %d, %s", code, said)
	}
	if calls := s.must(t, "cat", "/var/log/certbot-calls"); calls != strings.Repeat("renew --non-interactive\n", 4) {
		t.Errorf("certbot was called so: %s", calls)
	}
}

// served is the certificate that nginx serves.
func (s *server) served(t *testing.T) string {
	t.Helper()
	conn, err := s.Dial(t.Context(), "tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := tls.Client(conn, &tls.Config{ServerName: "lms.example.org", InsecureSkipVerify: true})
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", client.ConnectionState().PeerCertificates[0].SerialNumber)
}

// testOwnTimers: a task that a schedule names is not done by its own timer as well, and one that cannot be asked is.
func testOwnTimers(t *testing.T, s *server) {
	backups := func() int {
		return len(strings.Fields(s.must(t, "sh", "-c", "ls -d /var/backups/moodle-exporter/moodle/*/manifest.json 2>/dev/null || true")))
	}
	started := func() int {
		t.Helper()
		before := backups()
		s.must(t, "systemctl", "start", "moodle-exporter-backup.service")
		return backups() - before
	}
	code, said, log := s.maintain(t, "{weekly: {tasks: [backup, verify]}}", "--now=weekly")
	if code != 0 || said != "" || backups() != 1 {
		t.Fatalf("ended with %d: %s; %d backups; log: %s", code, said, backups(), log)
	}
	if got := started(); got != 0 {
		t.Errorf("the own timer made %d backups", got)
	}
	verdict, _ := s.Run(context.WithoutCancel(t.Context()), "systemctl", "is-failed", "moodle-exporter-backup.service")
	if strings.TrimSpace(verdict.Stdout) == "failed" {
		t.Error("a timer that leaves it to maintain looks failed")
	}
	s.must(t, "sh", "-c", "echo 'maintenance: {}' >/etc/moodle-exporter/moodle-exporter.yml")
	if got := started(); got != 1 {
		t.Errorf("the own timer made %d backups, with nothing else that does", got)
	}
	s.must(t, "sh", "-c", "echo MAINTAIN_ARGS=--nonsense >/etc/default/moodle-exporter")
	if got := started(); got != 1 {
		t.Errorf("the own timer made %d backups while maintain is broken", got)
	}
}
