package phpfpm

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
)

// DefaultStatusPath is asked where the configuration of the exporter names an address and no path.
const DefaultStatusPath = "/status"

// Target is a pool whose status is wanted.
type Target struct {
	Server  string // label: the PHP version, else the address that the pool listens at
	Pool    string // name; empty for an address that no pool file is known of
	Address string // where the status is asked; empty where the pool tells it nowhere
	Path    string
	Missing string // the directive that is missing in the pool file, where the status is told nowhere
	Known   Pool   // what the pool file says; empty where none is known
}

// Targets are the pools that the host has.
func Targets(pools []Pool) []Target {
	targets := make([]Target, 0, len(pools))
	for _, pool := range pools {
		target := pool.target()
		switch {
		case pool.StatusListen == "":
			target.Missing = "pm.status_listen"
		case pool.StatusPath == "":
			target.Missing = "pm.status_path"
		default:
			target.Address, target.Path = pool.StatusListen, pool.StatusPath
		}
		targets = append(targets, target)
	}
	return Distinct(targets)
}

// TargetAt is the pool whose status is at an address that the administrator names, with what the pool files know of it.
func TargetAt(address, path string, pools []Pool) Target {
	target := Target{Server: address}
	_, wanted := Dialable(address)
	for _, pool := range pools {
		_, status := Dialable(pool.StatusListen)
		_, listen := Dialable(pool.Listen)
		if pool.StatusListen != "" && wanted == status || pool.Listen != "" && wanted == listen {
			target = pool.target()
		}
	}
	target.Address, target.Path = address, cmp.Or(path, target.Known.StatusPath, DefaultStatusPath)
	return target
}

func (p Pool) target() Target {
	return Target{Server: cmp.Or(p.Version, p.Listen, p.File), Pool: p.Name, Known: p}
}

// Distinct drops a pool that is there already: one from the copy of a pool file, say.
func Distinct(targets []Target) []Target {
	taken := map[[2]string]bool{}
	return slices.DeleteFunc(targets, func(t Target) bool {
		label := [2]string{t.Server, t.Pool}
		double := taken[label]
		taken[label] = true
		return double
	})
}

// installed says whether the program behind a pool file is there. Debian leaves the files of a removed PHP behind.
func installed(version string) bool {
	if version == "" {
		return true
	}
	_, err := os.Stat("/usr/sbin/php-fpm" + version)
	return !errors.Is(err, fs.ErrNotExist)
}
