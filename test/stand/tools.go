package stand

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Tool is a program the stand can start, and the Debian packages that bring it.
type Tool struct {
	Name     string
	Packages []string
	// any of these paths or names satisfies each entry; a path may hold glob characters.
	needs []string
}

// The programs of the stand. Their Debian packages are those that scripts/install-tools installs.
var (
	MariaDB      = Tool{"MariaDB", []string{"mariadb-server", "mariadb-client"}, []string{"mariadbd", "mariadb-install-db", "mariadb", "mariadb-dump"}}
	PHP          = Tool{"PHP", []string{"php-cli", "php-mysql"}, []string{"php", "/usr/lib/php/*/mysqli.so"}}
	PHPFPM       = Tool{"PHP-FPM", []string{"php-fpm", "php-mysql"}, []string{"/usr/sbin/php-fpm[0-9]*", "/usr/lib/php/*/mysqli.so"}}
	Nginx        = Tool{"nginx", []string{"nginx-light"}, []string{"nginx"}}
	Redis        = Tool{"Redis", []string{"redis-server"}, []string{"redis-server"}}
	Prometheus   = Tool{"Prometheus", []string{"prometheus"}, []string{"prometheus", "promtool"}}
	Alertmanager = Tool{"Alertmanager", []string{"prometheus-alertmanager"}, []string{"prometheus-alertmanager", "amtool"}}
	Zstd         = Tool{"zstd", []string{"zstd"}, []string{"zstd"}}
	Age          = Tool{"age", []string{"age"}, []string{"age"}}                   // to open copies by hand
	Bindfs       = Tool{"bindfs", []string{"bindfs", "fuse3"}, []string{"bindfs"}} // for MountShare alone
)

// Tools lists every program that a site and what watches it are made of.
func Tools() []Tool {
	return []Tool{MariaDB, PHP, PHPFPM, Nginx, Redis, Prometheus, Alertmanager, Zstd}
}

// Missing returns those of tools that are not on this machine.
func Missing(tools ...Tool) []Tool {
	var missing []Tool
	for _, t := range tools {
		if !t.Present() {
			missing = append(missing, t)
		}
	}
	return missing
}

// Present says whether all of the tool's programs are here.
func (t Tool) Present() bool {
	for _, need := range t.needs {
		if _, err := find(need); err != nil {
			return false
		}
	}
	return true
}

// AptLine is the one command that installs the given tools on Debian.
func AptLine(tools ...Tool) string {
	var packages []string
	for _, t := range tools {
		packages = append(packages, t.Packages...)
	}
	slices.Sort(packages)
	return "sudo apt-get install --no-install-recommends " + strings.Join(slices.Compact(packages), " ")
}

// Need ends the test unless all tools are here: it fails under CI and as root, where
// scripts/install-tools could have installed them, and skips otherwise, naming what is lost.
func Need(t testing.TB, tools ...Tool) {
	t.Helper()
	missing := Missing(tools...)
	if len(missing) == 0 {
		return
	}
	var names []string
	for _, tool := range missing {
		names = append(names, tool.Name)
	}
	message := fmt.Sprintf("%s not tested: %s missing; install with: %s, or all there is with: scripts/install-tools test",
		t.Name(), strings.Join(names, ", "), AptLine(missing...))
	if underCI() || os.Getuid() == 0 {
		t.Fatal(message)
	}
	t.Skip(message)
}

func underCI() bool { return os.Getenv("CI") != "" }

// find returns the path of a program, also from the sbin directories that are not in an
// ordinary user's PATH. A name with glob characters gives its last match: the newest version.
func find(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		matches, err := filepath.Glob(name)
		if err != nil || len(matches) == 0 {
			return "", fmt.Errorf("nothing matches %s", name)
		}
		return slices.Max(matches), nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range append([]string{"/usr/local/sbin", "/usr/sbin", "/sbin"}, builtTools()...) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// builtTools is where scripts/install-tools puts what it builds.
func builtTools() []string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil
	}
	return []string{filepath.Join(cache, "moodle-exporter", "tools")}
}
