package boot_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// exporterPid is the exporter's main process, as the machine sees it.
func (s *server) exporterPid(t *testing.T) int {
	t.Helper()
	text, err := s.Property(t.Context(), "moodle-exporter.service", "MainPID")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(text)
	if err != nil || pid == 0 {
		t.Fatalf("the exporter does not run (%q)", text)
	}
	return pid
}

func testRights(t *testing.T, s *server) {
	status, err := s.ReadFile(t.Context(), fmt.Sprintf("/proc/%d/status", s.exporterPid(t)))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := s.Must(t.Context(), "sh", "-c", "id -u moodle-exporter; id -g moodle-exporter; id -G moodle-exporter")
	id := strings.Fields(ids)
	if err != nil || len(id) != 3 {
		t.Fatalf("account: %q (%v), want one group", ids, err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	const none = "0000000000000000"
	for name, want := range map[string]string{
		"Uid": strings.Repeat(id[0]+" ", 3) + id[0], "Gid": strings.Repeat(id[1]+" ", 3) + id[1], "Groups": id[1],
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2",
	} {
		if fields[name] != want {
			t.Errorf("%s of the exporter is %q, want %q", name, fields[name], want)
		}
	}
	// Asked outside of the sandbox: the account itself must not be able to, also where no systemd guards it.
	for _, script := range []string{
		"cat " + s.site.CodeDir + "/config.php",
		"ls " + s.site.Dataroot,
		"ls /etc/letsencrypt/live",
		"cat /etc/letsencrypt/live/" + s.site.Host + "/privkey.pem",
		"ls /backup/maintenance/" + s.site.Name,
		"echo >/var/lib/moodle-exporter/x",
		"echo >>/var/lib/moodle-exporter/facts/" + s.site.Name + ".json",
		"mkdir /var/lib/moodle-exporter/jobs/x",
		"echo >/run/moodle-exporter/" + s.site.Name + ".lock",
		"mariadb --execute='SELECT User FROM mysql.user'",
		"mariadb --execute='CREATE TABLE " + s.site.Database + ".x (i INT)'",
		"mariadb --execute='UPDATE " + s.site.Database + "." + s.site.Prefix + "config SET value=1 WHERE id=1'",
	} {
		result, err := s.RunAs(t.Context(), "moodle-exporter", "sh", "-c", script)
		if err != nil || result.ExitCode == 0 {
			t.Errorf("the exporter's account can %s: %s (%v)", script, result.Stdout, err)
		}
	}
	// The refusals above are the rights', not those of a wrong command.
	for _, script := range []string{
		"cat /var/lib/moodle-exporter/facts/" + s.site.Name + ".json",
		"mariadb --execute='SELECT 1 FROM " + s.site.Database + "." + s.site.Prefix + "config LIMIT 1'",
	} {
		result, err := s.RunAs(t.Context(), "moodle-exporter", "sh", "-c", script)
		if err != nil || result.ExitCode != 0 {
			t.Errorf("the exporter's account cannot %s: %s (%v)", script, result.Stderr, err)
		}
	}
}

// testNoPrograms shows that the exporter works where no other program than itself can be started:
// zero forks of programs, kept by the kernel.
func testNoPrograms(t *testing.T, s *server) {
	pid := strconv.Itoa(s.exporterPid(t))
	for _, program := range []string{"/bin/true", "/usr/bin/php", "/bin/sh"} {
		result, err := s.Run(t.Context(), "nsenter", "--target", pid, "--mount", "--", program)
		if err != nil || result.ExitCode != 126 || !strings.Contains(result.Stderr, "Permission denied") {
			t.Errorf("%s in the exporter's sandbox: exit status %d (%v): %s", program, result.ExitCode, err, result.Stderr)
		}
	}
	// Nor from a place where it could put one.
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/proc", "/var/lib/moodle-exporter"} {
		if !s.closedDir(t, pid, dir) {
			t.Errorf("in the exporter's sandbox programs in %s can be started", dir)
		}
	}
	if _, err := scrape(t.Context(), s.Machine); err != nil {
		t.Fatal(err)
	}
	group, err := s.Property(t.Context(), "moodle-exporter.service", "ControlGroup")
	if err != nil {
		t.Fatal(err)
	}
	processes, err := s.Must(t.Context(), "sh", "-c", "cat /sys/fs/cgroup$1/cgroup.procs 2>/dev/null || cat /sys/fs/cgroup/systemd$1/cgroup.procs", "sh", group)
	if err != nil || strings.TrimSpace(processes) != pid {
		t.Errorf("processes of the exporter: %q (%v), want %s alone", processes, err, pid)
	}
}

// closedDir says whether programs in a directory cannot be started by a process: what lies there is mounted noexec.
func (s *server) closedDir(t *testing.T, pid, dir string) bool {
	t.Helper()
	options, err := s.Must(t.Context(), "findmnt", "--noheadings", "--output=VFS-OPTIONS", "--task="+pid, "--target="+dir)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(","+strings.TrimSpace(options)+",", ",noexec,")
}

// testSecrets looks for the database password in all that has been written and served so far.
func testSecrets(t *testing.T, s *server) {
	// The end of the password is the same however it is quoted.
	const secret = "$word"
	places := []string{s.site.CodeDir + "/config.php", "/var/lib/moodle-exporter", "/run/moodle-exporter", "/var/log", "/tmp"}
	found, err := s.Run(t.Context(), append([]string{"grep", "--recursive", "--files-with-matches", "--fixed-strings", "--", secret}, places...)...)
	if err != nil || found.Stdout != places[0]+"\n" {
		t.Errorf("the password is in %s (%v), want it in config.php alone", found.Stdout, err)
	}
	journal, err := s.Must(t.Context(), "journalctl", "--no-pager", "--output=json")
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{"journal": journal}
	for _, path := range []string{"metrics", "", "-/healthy", "-/ready"} {
		if pages[path], err = s.Get(t.Context(), strings.TrimSuffix(boot.MetricsURL, "metrics")+path); err != nil {
			t.Error(err)
		}
	}
	for name, text := range pages {
		if text == "" || strings.Contains(text, secret) {
			t.Errorf("%q is empty or holds the password", name)
		}
	}
}
