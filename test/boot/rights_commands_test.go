package boot_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// ranAs is where each run of the site's PHP leaves the number of the user that it runs as.
const ranAs = "/srv/ran-as"

// trace has config.php, which everything of the site goes through, say who runs it.
func (s *server) trace(t *testing.T) {
	t.Helper()
	const script = `install -d -m 1777 ` + ranAs + ` && sed -i '1s|^<?php|<?php @touch("` + ranAs + `/" . posix_geteuid());|' "$1" && grep -q ran-as "$1"`
	if _, err := s.Must(t.Context(), "sh", "-c", script, "sh", s.site.CodeDir+"/config.php"); err != nil {
		t.Fatal(err)
	}
}

// testRanAs looks who has run the site's code, after everything has been at work.
func testRanAs(t *testing.T, s *server) {
	ran, err := s.Must(t.Context(), "sh", "-c", "ls "+ranAs+"; id -u www-data")
	if users := strings.Fields(ran); err != nil || len(users) != 2 || users[0] != users[1] {
		t.Errorf("the site's code was run as %q (%v), want www-data alone, whose number is the last", users, err)
	}
}

// testOrdinaryUser runs each command as somebody who may not.
func testOrdinaryUser(t *testing.T, s *server) {
	before := s.jobs(t) + s.tree(t)
	for _, c := range []struct {
		user, command string
		exit          int
		says          string
	}{
		{"nobody", "probe", 12, "probe is for root"},
		{"nobody", "backup", 12, "backup create is for root"},
		{"nobody", "backup create --dry-run", 12, "backup create is for root"},
		{"nobody", "backup verify", 12, "backup verify is for root"},
		{"nobody", "backup prune", 12, "backup prune is for root"},
		{"nobody", "backup copy", 12, "backup copy is for root"},
		{"nobody", "backup accept-missing", 12, "backup accept-missing is for root"},
		{"nobody", "restore --yes", 12, "restore is for root"},
		{"nobody", "restore --discard --yes", 12, "restore is for root"},
		{"nobody", "drill", 12, "drill is for root"},
		{"nobody", "update --yes", 12, "update is for root"},
		{"nobody", "update --check", 12, "update is for root"},
		{"nobody", "maintain", 12, "maintain is for root"},
		{"nobody", "backup list", 12, "closed to ordinary users"},
		{"nobody", "backup show latest", 12, "closed to ordinary users"},
		{"nobody", "jobs", 12, "closed to ordinary users"},
		{"nobody", "config init --config.file=/etc/moodle-exporter/new.yml", 12, "closed to ordinary users"},
		{"nobody", "status", 3, ""},
		{"moodle-exporter", "backup", 12, "backup create is for root"},
		{"moodle-exporter", "restore --yes", 12, "restore is for root"},
		{"moodle-exporter", "probe", 12, "probe is for root"},
		{"moodle-exporter", "backup list", 12, "closed to ordinary users"},
		{"moodle-exporter", "jobs", 0, ""},
		{"www-data", "maintain --now=daily", 12, "maintain is for root"},
		{"www-data", "backup list", 12, "closed to ordinary users"},
	} {
		got, err := s.RunAs(t.Context(), c.user, append([]string{"moodle-exporter"}, strings.Fields(c.command)...)...)
		if err != nil || got.ExitCode != c.exit || !strings.Contains(got.Stderr, c.says) || c.exit == 12 && !strings.Contains(got.Stderr, "Run it as root") {
			t.Errorf("%s as %s ended with %d (%v), want %d: %s%s", c.command, c.user, got.ExitCode, err, c.exit, got.Stdout, got.Stderr)
		}
	}
	if after := s.jobs(t) + s.tree(t); after != before {
		t.Errorf("they have left something: before\n%s\nafter\n%s", before, after)
	}
}

// tree is every file and directory of ours but the facts, whose time changes, with its mode and owner.
func (s *server) tree(t *testing.T) string {
	t.Helper()
	listing, err := s.Must(t.Context(), "sh", "-c",
		"find /var/lib/moodle-exporter /run/moodle-exporter /backup/maintenance /etc/moodle-exporter -not -path '*/facts*' -printf '%p %y %m %u:%g\n' | sort")
	if err != nil {
		t.Fatal(err)
	}
	return listing
}

// testModes: what jobs have made is as closed as it is said to be.
func testModes(t *testing.T, s *server) {
	kinds := map[string]int{}
	for line := range strings.Lines(s.tree(t)) {
		fields := strings.Fields(line)
		if len(fields) != 4 {
			t.Fatalf("cannot read %q", line)
		}
		path, kind := fields[0], strings.Join(fields[1:], " ")
		root, allowed := "", []string{}
		switch {
		case strings.HasPrefix(path, "/backup/maintenance"):
			root, allowed = "/backup/maintenance", []string{"d 700 root:root", "f 600 root:root"}
		case strings.HasPrefix(path, "/var/lib/moodle-exporter"):
			root, allowed = "/var/lib/moodle-exporter", []string{"d 750 root:moodle-exporter", "f 640 root:moodle-exporter"}
		case strings.HasPrefix(path, "/run/moodle-exporter"):
			root, allowed = "/run/moodle-exporter", []string{"d 755 root:root", "d 700 root:root", "f 600 root:root"}
		case strings.HasPrefix(path, "/etc/moodle-exporter"):
			continue // the administrator's
		}
		kinds[root+" "+fields[1]]++
		if !slices.Contains(allowed, kind) {
			t.Errorf("%s is %s, want one of %q", path, kind, allowed)
		}
	}
	for _, kind := range []string{"/backup/maintenance f", "/backup/maintenance d", "/var/lib/moodle-exporter f", "/run/moodle-exporter f"} {
		if kinds[kind] == 0 {
			t.Errorf("of %s there is nothing: %v", kind, kinds)
		}
	}
}

// line is one of "status --json".
type line struct{ Level, Site, Subject, Value, Advice string }

// whoReads is what status says about it.
func (s *server) whoReads(t *testing.T) (lines []line) {
	t.Helper()
	result, err := s.Run(t.Context(), "moodle-exporter", "status", "--json")
	var report struct{ Sections []struct{ Lines []line } }
	if err == nil {
		err = json.Unmarshal([]byte(result.Stdout), &report)
	}
	if err != nil {
		t.Fatalf("%v: %s%s", err, result.Stdout, result.Stderr)
	}
	for _, section := range report.Sections {
		for _, one := range section.Lines {
			if one.Subject == "who may read secrets" {
				lines = append(lines, one)
			}
		}
	}
	return lines
}

// testSecretsClosed opens what should be closed, and closes it by what status says.
func testSecretsClosed(t *testing.T, s *server) {
	if lines := s.whoReads(t); len(lines) != 1 || lines[0].Level != "ok" {
		t.Fatalf("on a host as it was installed: %+v", lines)
	}
	key := "/etc/letsencrypt/live/" + s.site.Host + "/privkey.pem"
	opened := map[string]string{s.site.CodeDir + "/config.php": "warning", "/backup/maintenance/" + s.site.Name: "critical", key: "critical"}
	if _, err := s.Must(t.Context(), "sh", "-c", `chmod o+rx /etc/letsencrypt/live "${1%/*}"; chmod o+x "${2%/*}"; chmod o+r "$1" "$2"; chmod 0755 /backup/maintenance "$3"`,
		"sh", key, s.site.CodeDir+"/config.php", "/backup/maintenance/"+s.site.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Must(t.Context(), "systemctl", "start", "moodle-exporter-probe.service"); err != nil {
		t.Fatal(err)
	}
	awaitSamples(t, s.Machine, []sample{{"secrets_exposed", []string{"site", s.site.Name}, 2}, {"secrets_exposed", []string{"site", ""}, 1}})
	lines := s.whoReads(t)
	if len(lines) != len(opened) {
		t.Errorf("%d are open: %+v", len(opened), lines)
	}
	for _, one := range lines {
		path, who, _ := strings.Cut(one.Value, ": ")
		if one.Level != opened[path] || who != "every account of this host" || strings.Contains(one.Advice, "777") {
			t.Errorf("%+v", one)
		}
		_, do, _ := strings.Cut(one.Advice, "`")
		if _, err := s.Must(t.Context(), "sh", "-c", strings.TrimSuffix(do, "`.")); err != nil {
			t.Errorf("%s: %v", one.Advice, err)
		}
	}
	if lines := s.whoReads(t); len(lines) != 1 || lines[0].Level != "ok" {
		t.Errorf("after what it said was done: %+v", lines)
	}
	if _, err := s.Get(t.Context(), s.site.WWWRoot+"/login/index.php"); err != nil {
		t.Errorf("the site cannot read its config.php any more: %v", err)
	}
	if _, err := s.Must(t.Context(), "sh", "-c", `systemctl start moodle-exporter-probe.service; chmod o-rx /etc/letsencrypt/live "${1%/*}" "${2%/*}"; chmod 0700 /backup/maintenance`,
		"sh", key, s.site.CodeDir+"/config.php"); err != nil {
		t.Fatal(err)
	}
	awaitSamples(t, s.Machine, []sample{{"secrets_exposed", []string{"site", s.site.Name}, 0}, {"secrets_exposed", []string{"site", ""}, 0}})
}
