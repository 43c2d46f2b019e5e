package boot_test

import (
	"path/filepath"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// firstPackage is the first commit of this repository from which a package can be built.
const firstPackage = "ae122a8418d584469207e82cace441b86310ac69"

// testUpgradeFromTheFirstPackage: what the first package there was has written stays as it is, and today's goes on with it.
// It is built by scripts/proof alone; TestPackage upgrades from one of today.
func testUpgradeFromTheFirstPackage(t *testing.T) {
	boot.Need(t)
	dir, checkout := t.TempDir(), t.TempDir()
	output(t, "sh", "-ec", `git -C ../.. cat-file -e "$1" && git -C ../.. archive "$1" | tar --extract --directory "$2"`, "sh", firstPackage, checkout)
	if err := boot.Make(t.Context(), checkout, dir, "deb", "VERSION="+firstVersion); err != nil {
		t.Fatal(err)
	}
	second, err := boot.BuildPackage(t.Context(), dir, secondVersion)
	if err != nil {
		t.Fatal(err)
	}
	first := glob(t, filepath.Join(dir, "moodle-exporter_"+firstVersion+"-1_*.deb"))
	if len(first) != 1 {
		t.Fatalf("packages of %s: %q", firstVersion, first)
	}
	m, err := boot.Start(t.Context(), boot.Options{Disks: disks[:2]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	site, err := m.InstallSite(t.Context(), boot.SiteOptions{Fixture: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &packaged{server: &server{Machine: m, site: site}, debs: map[string]string{firstVersion: first[0], secondVersion: second}}
	p.install(t, firstVersion)
	p.must(t, "moodle-exporter", "probe")
	p.must(t, "moodle-exporter", "backup")
	p.must(t, "moodle-exporter", "backup", "verify", "latest", "--read-data")
	p.must(t, "systemctl", "stop", "moodle-exporter-probe.timer")
	jobs, kept := p.jobs(t), p.inventory(t, "/var/lib/moodle-exporter/jobs", "/var/lib/moodle-exporter/log", "/backup")
	p.install(t, secondVersion)
	if now := p.inventory(t, "/var/lib/moodle-exporter/jobs", "/var/lib/moodle-exporter/log", "/backup"); now != kept {
		t.Errorf("state and backups before the upgrade:\n%s\nand after it:\n%s", kept, now)
	}
	if now := p.jobs(t); now != jobs {
		t.Errorf("jobs before the upgrade:\n%s\nand after it:\n%s", jobs, now)
	}
	awaitSamples(t, p.Machine, []sample{
		{"exporter_build_info", []string{"version", secondVersion}, 1},
		{"job_last_result", []string{"site", site.Name, "name", "backup"}, 1},
		{"backup_last_verify_result", []string{"site", site.Name}, 1},
		{"backups", []string{"site", site.Name}, 1},
	})
	p.must(t, "moodle-exporter", "backup", "verify", "latest", "--read-data")
	p.must(t, "moodle-exporter", "drill")
	p.must(t, "moodle-exporter", "backup")
	if made := p.manifests(t); len(made) != 2 {
		t.Errorf("backups of both: %q", made)
	}
	p.must(t, "moodle-exporter", "backup", "verify", "all")
}
