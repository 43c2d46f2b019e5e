package boot_test

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// testRelease makes all that a release consists of, twice. The program for the other kind of processor is built by
// scripts/proof alone.
func testRelease(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	for i, checkout := range []string{"", checkoutCopy(t)} {
		if err := boot.Make(t.Context(), checkout, dirs[i], append(release, "dist")...); err != nil {
			t.Fatal(err)
		}
	}
	sums := read(t, dirs[0], "SHA256SUMS")
	if second := read(t, dirs[1], "SHA256SUMS"); second != sums || strings.Count(sums, "\n") != 4 {
		t.Errorf("checksums:\n%s\nand of the same release built elsewhere:\n%s", sums, second)
	}
	output(t, "sh", "-c", `cd "$1" && sha256sum --check --strict SHA256SUMS`, "sh", dirs[0])
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		root, name := t.TempDir(), "moodle-exporter-1.2.3-4-gabcdef1.linux-"+arch
		output(t, "tar", "--extract", "--directory="+root, "--file="+filepath.Join(dirs[0], name+".tar.gz"))
		testProgram(t, filepath.Join(root, name, "bin/moodle-exporter"), machine)
		for _, path := range []string{
			"LICENSE", "etc/default/moodle-exporter", "lib/systemd/system/moodle-exporter.service", "share/man/man1/moodle-exporter.1.gz",
			"share/moodle-exporter/alerts/rules/backup.yml",
		} {
			read(t, filepath.Join(root, name), path)
		}
		root = t.TempDir()
		output(t, "dpkg-deb", "--extract", filepath.Join(dirs[0], "moodle-exporter_1.2.3+4.gabcdef1-1_"+arch+".deb"), root)
		testProgram(t, filepath.Join(root, "usr/bin/moodle-exporter"), machine)
	}
}

// testProgram: a static one for the right kind of processor, and not too large.
func testProgram(t *testing.T, path string, machine elf.Machine) {
	t.Helper()
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if libraries, err := program.ImportedLibraries(); program.Machine != machine || err != nil || len(libraries) > 0 {
		t.Errorf("%s is for %v and wants %q (%v)", path, program.Machine, libraries, err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 32<<20 {
		t.Errorf("%s has %d bytes (%v)", path, info.Size(), err)
	}
}
