package boot_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// disaster is what an administrator wakes up to.
type disaster struct {
	name   string
	script string // run by root in the machine
	intact bool   // the site works until it is exchanged
	often  bool   // tried in every test run, and not for a release alone
}

const (
	loseServer = "systemctl stop mariadb; rm -rf /var/lib/mysql/*; mariadb-install-db --user=mysql --auth-root-authentication-method=socket >/dev/null; systemctl start mariadb; "
	loseConfig = "rm -rf /etc/nginx/* /etc/letsencrypt /etc/php/*/fpm/pool.d/* /etc/cron.d/moodle; "
	loseFiles  = "rm -rf /var/www/moodle/* /var/www/moodledata/*; rmdir /var/www/moodle /var/www/moodledata 2>/dev/null || true; "
)

var disasters = []disaster{
	{"nothing is broken", "true", true, false},
	{"a table", "mariadb moodle -e 'DROP TABLE m45_user'", false, false},
	{"the rows of a table", "mariadb moodle -e 'DELETE FROM m45_course_modules'", true, true},
	{"the database", "mariadb -e 'DROP DATABASE moodle'", false, false},
	{"the server's data", loseServer, false, false},
	{"filedir", "rm -rf /var/www/moodledata/filedir", true, false},
	{"all of moodledata", "rm -rf /var/www/moodledata/* /var/www/moodledata/.htaccess", false, false},
	{"the code", "rm -rf /var/www/moodle/*", false, false},
	{"configuration of the host", "rm -rf /etc/nginx/sites-enabled /etc/letsencrypt", true, false},
	{"everything", loseServer + loseConfig + loseFiles, false, true},
}

func due(t *testing.T) (all []disaster) {
	t.Helper()
	for _, one := range disasters {
		if one.often || os.Getenv("PROOF") == "full" {
			all = append(all, one)
		}
	}
	return all
}

// TestRestoreOnAServer destroys a site in each way, and brings it back with the built exporter.
func TestRestoreOnAServer(t *testing.T) {
	t.Parallel()
	p := newPatient(t, boot.Disk{Path: "/var/www", Megabytes: 700}, boot.Disk{Path: "/backup", Megabytes: 512})
	p.objects(t)
	p.survive(t, due(t))
	t.Run("drill", p.testDrill)
	t.Run("drill that was killed", p.testKilledDrill)
	t.Run("bare machine", p.testBareMachine)
	t.Run("replica", p.testReplica)
	if os.Getenv("PROOF") == "full" {
		t.Run("links", p.testLinks)
		t.Run("into mounts", testRestoreIntoMounts)
	}
}

// testRestoreIntoMounts has code and dataroot each on a disk of its own, which cannot be renamed: a second machine, booted
// by scripts/proof alone.
func testRestoreIntoMounts(t *testing.T) {
	p := newPatient(t, boot.Disk{Path: "/var/www/moodle", Megabytes: 200}, boot.Disk{Path: "/var/www/moodledata", Megabytes: 400}, boot.Disk{Path: "/backup", Megabytes: 512})
	p.objects(t)
	p.survive(t, disasters)
}

// testLinks has code and dataroot behind links, as releases that are exchanged by hand are kept.
func (p *patient) testLinks(t *testing.T) {
	p.sh(t, `mv /var/www/moodle /var/www/release-1; ln -s release-1 /var/www/moodle
		mv /var/www/moodledata /var/www/data-1; ln -s /var/www/data-1 /var/www/moodledata; systemctl restart `+p.site.FPMUnit)
	var links []disaster
	for _, one := range disasters {
		if !strings.Contains(one.script, loseFiles) {
			links = append(links, one)
		}
	}
	p.survive(t, links)
	if lead := p.sh(t, "readlink /var/www/moodle /var/www/moodledata"); lead != "release-1\n/var/www/data-1\n" {
		t.Errorf("the links lead to %s", lead)
	}
}

// survive backs the site up, and goes through the disasters.
func (p *patient) survive(t *testing.T, all []disaster) {
	p.must(t, "moodle-exporter", "backup")
	before := p.whole(t)
	for _, one := range all {
		t.Run(one.name, func(t *testing.T) {
			p.sh(t, one.script)
			p.restore(t, one)
			before.same(t, p.whole(t))
			// What was put on disk is what the services start from.
			p.must(t, "systemctl", "restart", "nginx.service", p.site.FPMUnit)
			if err := pollFor(t, p.Machine, func() error {
				if seen := p.look(t.Context()); seen != loginPage {
					return fmt.Errorf("after a restart of the services there is %s", seen)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			p.must(t, "moodle-exporter", "restore", "--discard", "--yes")
			p.nothingKept(t)
		})
	}
}

// restore brings the site back while visitors come.
func (p *patient) restore(t *testing.T, one disaster) {
	t.Helper()
	busy := one.intact
	if busy {
		// Somebody reads in a transaction that does not end by itself, with the site's own account.
		p.sh(t, `cat >/tmp/own.cnf <<'END'
[client]
user = `+p.site.User+`
password = "`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p.site.Password)+`"
END
		chmod 0600 /tmp/own.cnf
		setsid mariadb --defaults-extra-file=/tmp/own.cnf `+p.site.Database+` -e 'START TRANSACTION; SELECT COUNT(*) FROM `+p.site.Prefix+`course; SELECT SLEEP(1000)' >/tmp/own.log 2>&1 &`)
	}
	visitors := p.probe(t)
	began := time.Now()
	result, err := p.Run(t.Context(), "moodle-exporter", "restore", "--yes")
	took := time.Since(began)
	seen, closed := visitors.end()
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("exit code %d (%v): %s%s\n%s", result.ExitCode, err, result.Stdout, result.Stderr, p.log(t))
	}
	t.Logf("proof: restored in %.1f s, closed for %.1f s; seen: %s", took.Seconds(), closed.Seconds(), strings.Join(seen, ", "))
	if last := p.look(t.Context()); last != loginPage {
		t.Errorf("after the restore there is %s", last)
	}
	if slices.Contains(seen, "502 Bad Gateway") {
		t.Logf("nginx says: %s", p.sh(t, "grep upstream /var/log/nginx/error.log | tail -5"))
	}
	// While PHP-FPM reloads, nginx may find nobody for a moment.
	seen = slices.Compact(slices.DeleteFunc(seen, func(what string) bool { return strings.HasPrefix(what, "502 ") }))
	if one.intact && !slices.Equal(seen, []string{loginPage, maintenance, loginPage}) {
		t.Errorf("visitors saw %s", strings.Join(seen, ", "))
	}
}

// log is that of the last restore.
func (p *patient) log(t *testing.T) string {
	t.Helper()
	result, err := p.Run(t.Context(), "sh", "-c", "cat /var/lib/moodle-exporter/log/*restore* | tail -40; journalctl -n 30 --no-pager")
	return fmt.Sprint(result.Stdout, result.Stderr, err)
}

func (p *patient) nothingKept(t *testing.T) {
	t.Helper()
	if left := p.sh(t, `find /var/www /srv /etc /var/lib/moodle-exporter/restore /tmp /var/tmp -name '*mxp*' -o -path '*/restore/*.json' 2>/dev/null || true
		mariadb -Ne "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%mx_\_%'; SELECT User FROM mysql.user WHERE User LIKE 'mxp%'"`); left != "" {
		t.Errorf("left over:\n%s", left)
	}
}

// testDrill rehearses a restore by the shipped unit, and looks whether the live site notices.
func (p *patient) testDrill(t *testing.T) {
	before := p.whole(t)
	visitors := p.probe(t)
	if _, err := p.Must(t.Context(), "systemctl", "start", "moodle-exporter-drill.service"); err != nil {
		t.Fatalf("%v: %s", err, p.Journal(t.Context(), "moodle-exporter-drill.service"))
	}
	seen, _ := visitors.end()
	if !slices.Equal(seen, []string{loginPage}) {
		t.Errorf("visitors saw %s", strings.Join(seen, ", "))
	}
	before.same(t, p.whole(t))
	p.nothingKept(t)
	p.noDrillLeft(t)
	awaitSamples(t, p.Machine, []sample{
		{"restore_drill_last_result", []string{"site", p.site.Name}, 1},
		{"job_last_result", []string{"site", p.site.Name, "name", "drill"}, 1},
	})
	if err := p.WaitActive(t.Context(), "moodle-exporter-drill.timer"); err != nil {
		t.Error(err)
	}
}

func (p *patient) noDrillLeft(t *testing.T) {
	t.Helper()
	if left := p.sh(t, "ls -d /var/tmp/moodle-exporter-drill-* 2>/dev/null || true; pgrep -a mariadbd | grep moodle-exporter-drill || true"); left != "" {
		t.Errorf("left over of a drill:\n%s", left)
	}
}

// testKilledDrill kills a drill that nobody supervises while its database server works: the server lives on, and holds the
// lock, until the next drill ends it.
func (p *patient) testKilledDrill(t *testing.T) {
	const servers = "pgrep -a mariadbd | grep moodle-exporter-drill"
	p.sh(t, "setsid moodle-exporter drill >/tmp/drill.log 2>&1 & ")
	if err := pollFor(t, p.Machine, func() error {
		_, err := p.Must(t.Context(), "sh", "-c", servers+" && ls /var/tmp/moodle-exporter-drill-*/server/socket")
		return err
	}); err != nil {
		t.Fatalf("%v: %s", err, p.sh(t, "cat /tmp/drill.log"))
	}
	p.sh(t, "kill -9 $(pgrep -f '^moodle-exporter drill')")
	if err := pollFor(t, p.Machine, func() error { // a process that is being killed is at work for a moment yet
		_, err := p.Must(t.Context(), "sh", "-c", "! pgrep -f '^moodle-exporter drill'")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p.sh(t, servers)
	p.must(t, "moodle-exporter", "drill")
	p.noDrillLeft(t)
}
