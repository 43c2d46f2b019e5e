package boot

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Make runs make with targets and variables in a checkout, or in the repository where it is "". What is built
// lies in dir: "deb" leaves the package there.
func Make(ctx context.Context, checkout, dir string, args ...string) error {
	if checkout == "" {
		root, err := repository()
		if err != nil {
			return err
		}
		checkout = root
	}
	make := exec.CommandContext(ctx, "make", append([]string{"--silent", "DIST=" + dir, "BINARY=" + filepath.Join(dir, "moodle-exporter")}, args...)...)
	make.Dir = checkout
	// Not what a "make test" above has set.
	make.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=", "MAKELEVEL=")
	if out, err := make.CombinedOutput(); err != nil {
		return fmt.Errorf("make %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// BuildPackage builds the Debian package of a version, as it is released, and returns its path in dir.
func BuildPackage(ctx context.Context, dir, version string) (string, error) {
	if err := Make(ctx, "", dir, "deb", "VERSION="+version); err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, "moodle-exporter_"+version+"-1_*.deb"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%d packages of %s in %s (%w)", len(found), version, dir, err)
	}
	return found[0], nil
}

// InstallPackage copies a package of the host into the machine and lets dpkg install it, as a fresh
// installation or an upgrade. It returns what dpkg and the package have said. Other packages' triggers are left
// out: the index of all manual pages takes longer than everything else.
func (m *Machine) InstallPackage(ctx context.Context, deb string) (string, error) {
	path := filepath.Join("/root", filepath.Base(deb))
	if err := m.CopyIn(ctx, deb, path, 0o644, "root:root"); err != nil {
		return "", err
	}
	return m.Must(ctx, "dpkg", "--no-triggers", "--install", path)
}
