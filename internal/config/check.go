package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ValidName is what a site may be called: it becomes a label, a directory, a lock and an object prefix.
var ValidName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// HostName stands where a site's name would for jobs, facts and locks of the whole host.
const HostName = "_host"

// check collects everything that is wrong, so that it can be mended in one go.
func (f *file) check() error {
	return errors.Join(f.checkSites(), f.checkWatched(), f.checkBackup(), f.Update.check(), f.Maintenance.check(), f.checkThresholds())
}

func (f *file) checkSites() error {
	var problems []error
	names := map[string]bool{}
	for i, site := range f.Sites {
		at := fmt.Sprintf("sites[%d]", i)
		if site.Name != "" && !ValidName.MatchString(site.Name) {
			problems = append(problems, fmt.Errorf("%s.name: %q must be lower-case letters, digits, '.', '_' or '-', beginning with a letter or digit", at, site.Name))
		}
		if site.Name != "" && names[site.Name] {
			problems = append(problems, fmt.Errorf("%s.name: %q is used twice", at, site.Name))
		}
		names[site.Name] = true
		if site.User == "root" || site.User == "0" {
			problems = append(problems, fmt.Errorf("%s.user: the code of a site is never run as root; name the web server's user", at))
		}
		problems = append(problems, absolute(at+".dir", site.Dir, true), absolute(at+".php", site.PHP, false),
			site.Database.Monitor.check(at+".database.monitor"), site.Database.Admin.check(at+".database.admin"))
	}
	return errors.Join(problems...)
}

func (a Account) check(at string) error {
	return errors.Join(absolute(at+".password_file", a.PasswordFile, false), absolute(at+".socket", a.Socket, false))
}

func (f *file) checkWatched() error {
	var problems []error
	for i, unit := range f.Services {
		problems = append(problems, checkUnit(fmt.Sprintf("services[%d]", i), unit))
	}
	for i, endpoint := range f.Certificates.Endpoints {
		if _, _, err := net.SplitHostPort(endpoint); err != nil {
			problems = append(problems, fmt.Errorf("certificates.endpoints[%d]: %q must be host:port", i, endpoint))
		}
	}
	for i, pattern := range f.Certificates.Files {
		problems = append(problems, absolute(fmt.Sprintf("certificates.files[%d]", i), pattern, true))
		if _, err := filepath.Match(pattern, "x"); err != nil {
			problems = append(problems, fmt.Errorf("certificates.files[%d]: %w", i, err))
		}
	}
	for i, pool := range f.PHPFPM {
		if pool.Listen == "" {
			problems = append(problems, fmt.Errorf("phpfpm[%d].listen: the address of the pool's pm.status_listen is needed", i))
		}
		problems = append(problems, absolute(fmt.Sprintf("phpfpm[%d].path", i), pool.Path, false))
	}
	for i, page := range f.Nginx {
		if u, err := url.Parse(page); err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
			problems = append(problems, fmt.Errorf("nginx[%d]: it must be the http or https address of a stub_status page, such as http://127.0.0.1:8089/nginx_status", i))
		}
	}
	for i, redis := range f.Redis {
		if !strings.HasPrefix(redis.Address, "/") {
			if _, _, err := net.SplitHostPort(redis.Address); err != nil {
				problems = append(problems, fmt.Errorf("redis[%d].address: %q must be host:port or the path of a socket", i, redis.Address))
			}
		}
		problems = append(problems, absolute(fmt.Sprintf("redis[%d].password_file", i), redis.PasswordFile, false))
	}
	return errors.Join(problems...)
}

func checkUnit(at, unit string) error {
	if !strings.Contains(unit, ".") || strings.ContainsAny(unit, "/ ") || strings.HasPrefix(unit, "-") {
		return fmt.Errorf("%s: %q is not a unit name such as nginx.service", at, unit)
	}
	return nil
}

func (f *file) checkBackup() error {
	problems := []error{absolute("backup.dir", f.Backup.Dir, true), f.Backup.checkOffsite()}
	for name, paths := range map[string][]string{
		"config_paths": f.Backup.ConfigPaths, "log_paths": f.Backup.LogPaths, "system_paths": f.Backup.SystemPaths,
	} {
		for i, path := range paths {
			problems = append(problems, absolute(fmt.Sprintf("backup.%s[%d]", name, i), path, true))
		}
	}
	keep := f.Backup.Keep
	if min(keep.Last, keep.Daily, keep.Weekly, keep.Monthly, keep.Yearly) < 0 {
		problems = append(problems, errors.New("backup.keep: counts cannot be negative"))
	}
	if nice := *f.Backup.Nice; nice < 0 || nice > 19 {
		problems = append(problems, fmt.Errorf("backup.nice: %d is not from 0, which changes nothing, to 19, the least favoured", nice))
	}
	if class := f.Backup.IONice; !slices.Contains([]string{"idle", "best-effort", "none"}, class) {
		problems = append(problems, fmt.Errorf("backup.ionice: %q is not idle, best-effort or none", class))
	}
	if level := f.Backup.Zstd.Level; level < 1 || level > 19 {
		problems = append(problems, fmt.Errorf("backup.zstd.level: %d is not from 1, the fastest, to 19, the smallest", level))
	}
	if threads := f.Backup.Zstd.Threads; threads < 0 || threads > 16 {
		problems = append(problems, fmt.Errorf("backup.zstd.threads: %d is not from 1 to 16, or 0 for as many as there are processors, up to 4", threads))
	}
	return errors.Join(problems...)
}

func (f *file) checkThresholds() error {
	var problems []error
	for name, value := range f.Thresholds {
		if _, known := DefaultThresholds[name]; !known {
			names := make([]string, 0, len(DefaultThresholds))
			for known := range DefaultThresholds {
				names = append(names, known)
			}
			slices.Sort(names)
			problems = append(problems, fmt.Errorf("thresholds: unknown key %q; did you mean %q?", name, nearest(name, names)))
		}
		if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
			problems = append(problems, fmt.Errorf("thresholds.%s: %v is not a limit", name, value))
		}
	}
	return errors.Join(problems...)
}

func absolute(at, path string, required bool) error {
	switch {
	case path == "" && required:
		return fmt.Errorf("%s: a path is needed", at)
	case path != "" && !filepath.IsAbs(path):
		return fmt.Errorf("%s: %q must be an absolute path", at, path)
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("%s: the path holds a NUL byte", at)
	}
	return nil
}
