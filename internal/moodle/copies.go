package moodle

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// withoutCopies leaves one site of those that share a database and prefix: old trees of an update, clones.
// It is the one that the web server serves, else the first. Configured sites are what the administrator
// says they are.
func (f *Finder) withoutCopies(sites []*Site, configured bool) []*Site {
	if configured || len(sites) < 2 {
		return sites
	}
	served := f.servedDirs()
	isServed := func(site *Site) bool {
		return slices.Contains(served, site.Public()) || slices.Contains(served, site.Dir)
	}
	type database struct{ server, name, prefix string }
	chosen := map[database]*Site{}
	var kept []*Site
	for _, site := range sites {
		key := database{site.Config.Server(), site.Config.DBName, site.Config.Prefix}
		rival := chosen[key]
		switch {
		case rival == nil:
			kept = append(kept, site)
		case isServed(site) && !isServed(rival):
			kept[slices.Index(kept, rival)] = site
		default:
			f.Logger.Info("two trees use one database; the other one is taken for the site", "dir", site.Link, "site", rival.Link)
			continue
		}
		chosen[key] = site
	}
	return kept
}

// webServerGlobs are the files that name the directories a web server serves.
var webServerGlobs = []string{"/etc/nginx/nginx.conf", "/etc/nginx/sites-enabled/*", "/etc/nginx/conf.d/*.conf", "/etc/apache2/sites-enabled/*", "/etc/httpd/conf.d/*.conf"}

var servedDirective = regexp.MustCompile(`(?m)^[ \t]*(?:root|alias|DocumentRoot|Alias[ \t]+\S+)[ \t]+"?([^";\n]+?)"?[ \t]*;?[ \t]*$`)

// servedDirs are the document roots of nginx and Apache, links resolved.
func (f *Finder) servedDirs() []string {
	var dirs []string
	for _, pattern := range webServerGlobs {
		files, _ := filepath.Glob(filepath.Join(f.Root, pattern)) // the patterns are constants and valid
		for _, file := range files {
			content, err := os.ReadFile(file) //nolint:gosec // matched below /etc
			if err != nil {
				continue
			}
			for _, match := range servedDirective.FindAllStringSubmatch(string(content), -1) {
				dir := filepath.Join(f.Root, strings.TrimSpace(match[1]))
				if real, err := filepath.EvalSymlinks(dir); err == nil {
					dirs = append(dirs, real)
				}
			}
		}
	}
	return dirs
}
