package backup

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// What a host with Moodle keeps outside of the site: patterns, of which those that exist are taken. The
// configuration can replace each list.
var (
	defaultConfigPaths = []string{
		"/etc/nginx", "/etc/apache2", "/etc/httpd", "/etc/php/*/fpm", "/etc/php/*/cli", "/etc/php/*/apache2",
		"/etc/php.ini", "/etc/php.d", "/etc/php-fpm.conf", "/etc/php-fpm.d", "/etc/mysql", "/etc/my.cnf", "/etc/my.cnf.d",
		"/etc/redis", "/etc/letsencrypt", "/etc/moodle-exporter", "/etc/crontab", "/etc/cron.d", "/var/spool/cron",
	}
	defaultLogPaths = []string{
		"/var/log/nginx", "/var/log/apache2", "/var/log/httpd", "/var/log/php*-fpm*", "/var/log/php-fpm", "/var/log/mysql",
		"/var/log/mariadb", "/var/log/redis", "/var/log/letsencrypt", "/var/log/moodle*",
		"/var/log/system-monitor.log", "/var/log/ssl-monitor.log", "/var/log/load-balancer-monitor.log",
	}
	defaultSystemPaths = []string{
		"/etc/nginx", "/etc/apache2", "/etc/php", "/etc/mysql", "/etc/letsencrypt", "/etc/ssl", "/etc/cron.daily", "/etc/cron.weekly",
		"/etc/cron.monthly", "/etc/systemd/system", "/etc/logrotate.d", "/etc/fstab", "/etc/hosts", "/etc/hostname", "/etc/apt",
	}
)

// archiveOf describes the archive of a component.
func (o *Options) archiveOf(component string, extra []extraFile, run Run) *archive {
	a := &archive{run: run, extra: extra, skip: skipSame(takeNothing, o.Config.Dir), special: func(string) {}}
	site := o.Site
	switch component {
	case Code:
		a.sources = []source{{site.Dir, ".", "."}}
		// A dataroot below the code is a mistake that exists; it is backed up as what it is.
		a.skip = skipSame(takeNothing, o.Config.Dir, site.Config.DataRoot)
	case Files:
		a.sources = []source{{site.Config.DataRoot, ".", "."}}
		a.skip = skipDataroot(site, o.Config.Dir)
	case Config:
		paths := []string{filepath.Join(site.Dir, "config.php")}
		if secret := site.Config.SecretDataRoot; secret != "" && !within(secret, site.Config.DataRoot) {
			paths = append(paths, secret)
		}
		a.sources = absolute(append(paths, or(o.Config.ConfigPaths, defaultConfigPaths)...))
	case Logs:
		a.sources = absolute(or(o.Config.LogPaths, defaultLogPaths))
	case System:
		a.sources = absolute(or(o.Config.SystemPaths, defaultSystemPaths))
	}
	return a
}

// archiveNames are the files of the components; files of the site's filedir lie in the pool.
var archiveNames = map[string]string{
	Code: "code.tar.zst", Files: "dataroot.tar.zst", Config: "config.tar.zst", Logs: "logs.tar.zst", System: "system.tar.zst",
}

func or(configured, otherwise []string) []string {
	if len(configured) > 0 {
		return configured
	}
	return otherwise
}

// absolute makes sources of paths and patterns, named by their path without the first slash. What is a
// link, as /etc/nginx -> /srv/nginx, is taken as the link and as what it leads to.
func absolute(patterns []string) []source {
	var sources []source
	take := func(path string) {
		if name := strings.TrimPrefix(filepath.Clean(path), "/"); name != "" {
			sources = append(sources, source{"/", name, name})
		}
	}
	for _, pattern := range patterns {
		matches, err := filepath.Glob(pattern)
		if err != nil || len(matches) == 0 {
			matches = []string{pattern} // one that is not there is passed over
		}
		for _, match := range matches {
			if parent, err := filepath.EvalSymlinks(filepath.Dir(match)); err == nil {
				take(filepath.Join(parent, filepath.Base(match)))
			}
			if resolved, err := filepath.EvalSymlinks(match); err == nil {
				take(resolved)
			}
		}
	}
	return sortSources(sources)
}

// skipSame leaves out the named directories wherever they are met, under whatever name.
func skipSame(how skipping, paths ...string) func(string, fs.FileInfo) skipping {
	var unwanted []fs.FileInfo
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			unwanted = append(unwanted, info)
		}
	}
	return func(_ string, info fs.FileInfo) skipping {
		if info.IsDir() && slices.ContainsFunc(unwanted, func(other fs.FileInfo) bool { return os.SameFile(info, other) }) {
			return how
		}
		return takeAll
	}
}

// ownEntries are what Moodle keeps at the top of the dataroot that must not come back with a restore and
// has no setting of its own: sessions and locks of requests of then, the maintenance page, and markers.
var ownEntries = map[string]skipping{
	"sessions": takeEmpty, "lock": takeEmpty, "diag": takeEmpty,
	"climaintenance.html": takeNothing, "emailcount": takeNothing, "tool_heartbeat.test": takeNothing,
}

// skipDataroot leaves out the content of filedir, which lies in the pool, and of all kinds of caches. They
// are told by the directories that config.php names, resolved; a plugin's directory that happens to be
// called cache is data.
func skipDataroot(site *moodle.Site, backups string) func(string, fs.FileInfo) skipping {
	c := site.Config
	caches := skipSame(takeEmpty, defaulted(c.TempDir, c.DataRoot, "temp"), defaulted(c.CacheDir, c.DataRoot, "cache"),
		defaulted(c.LocalCacheDir, c.DataRoot, "localcache"), defaulted(c.BackupTempDir, c.DataRoot, "temp/backup"),
		defaulted(c.TrashDir, c.DataRoot, "trashdir"))
	never := skipSame(takeNothing, backups, site.Dir)
	filedir, err := os.Stat(defaulted(c.FileDir, c.DataRoot, "filedir"))
	inPool := ""
	return func(name string, info fs.FileInfo) skipping {
		if info.IsDir() && err == nil && os.SameFile(info, filedir) {
			inPool = name
		}
		if inPool != "" && filepath.Dir(name) == inPool && isHexDir(filepath.Base(name), info) {
			return takeNothing
		}
		if how, known := ownEntries[name]; known && (how == takeNothing || info.IsDir()) {
			return how
		}
		return max(caches(name, info), never(name, info))
	}
}

func isHexDir(name string, info fs.FileInfo) bool {
	return info.IsDir() && len(name) == 2 && hexDigit(name[0]) && hexDigit(name[1])
}

func defaulted(configured, dataroot, name string) string {
	if configured != "" {
		return configured
	}
	return filepath.Join(dataroot, name)
}

// filedir is where the site keeps its content files.
func filedir(site *moodle.Site) string {
	return defaulted(site.Config.FileDir, site.Config.DataRoot, "filedir")
}

// within says whether path is dir or lies below it, both with their links resolved as far as they exist.
func within(path, dir string) bool {
	relative, err := filepath.Rel(resolve(dir), resolve(path))
	return err == nil && filepath.IsLocal(relative)
}

// resolve follows the links of the part of a path that exists.
func resolve(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if path == filepath.Dir(path) {
		return path
	}
	return filepath.Join(resolve(filepath.Dir(path)), filepath.Base(path))
}
