// Package phpfpm reads what the pool files of PHP-FPM say: who runs the site's PHP, how many children a
// pool may have (its status page does not tell), and where its status can be asked.
package phpfpm

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// DefaultGlobs are the pool files of Debian, Ubuntu and Red Hat.
var DefaultGlobs = []string{"/etc/php/*/fpm/pool.d/*.conf", "/etc/php-fpm.d/*.conf"}

// Pool is one [section] of a pool file (php.net: install.fpm.configuration).
type Pool struct {
	Name         string `json:"name"`
	File         string `json:"file"`
	Version      string `json:"version,omitempty"` // 8.2, from the path of Debian's files
	User         string `json:"user,omitempty"`
	Listen       string `json:"listen,omitempty"`
	MaxChildren  int    `json:"max_children,omitempty"`
	StatusPath   string `json:"status_path,omitempty"`
	StatusListen string `json:"status_listen,omitempty"`
	// Env is what the pool gives to PHP (env[NAME] = value). It often holds the database password of a
	// config.php that uses getenv(), so it is never written anywhere.
	Env []string `json:"-"`
}

// ReadPools reads every pool file that the patterns match, but for those of a PHP that is not there any more.
func ReadPools(patterns ...string) ([]Pool, error) {
	var pools []Pool
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("find pool files: %w", err)
		}
		for _, file := range files {
			if !installed(versionOf(file)) {
				continue
			}
			found, err := readFile(file)
			if err != nil {
				return nil, err
			}
			pools = append(pools, found...)
		}
	}
	return pools, nil
}

func readFile(path string) ([]Pool, error) {
	file, err := os.Open(path) //nolint:gosec // matched below /etc
	if err != nil {
		return nil, fmt.Errorf("read pool file: %w", err)
	}
	defer func() { _ = file.Close() }()
	var pools []Pool
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, ";") {
			continue
		}
		if name, found := strings.CutPrefix(line, "["); found {
			name, _, _ = strings.Cut(name, "]")
			pools = append(pools, Pool{Name: name, File: path, Version: versionOf(path)})
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found || len(pools) == 0 {
			continue
		}
		pools[len(pools)-1].set(strings.TrimSpace(key), literal(value))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read pool file %s: %w", path, err)
	}
	return withoutGlobal(pools), nil
}

// literal is a value without its quotes, or without the comment behind it.
func literal(value string) string {
	value = strings.TrimSpace(value)
	if len(value) > 1 && (value[0] == '"' || value[0] == '\'') {
		if end := strings.IndexByte(value[1:], value[0]); end >= 0 {
			return value[1 : 1+end]
		}
	}
	value, _, _ = strings.Cut(value, ";")
	return strings.TrimSpace(value)
}

func (p *Pool) set(key, value string) {
	value = strings.ReplaceAll(value, "$pool", p.Name)
	if name, found := strings.CutPrefix(key, "env["); found && !strings.HasPrefix(value, "$") {
		p.Env = append(p.Env, strings.TrimSuffix(name, "]")+"="+value)
	}
	switch key {
	case "user":
		p.User = value
	case "listen":
		p.Listen = value
	case "pm.max_children":
		p.MaxChildren, _ = strconv.Atoi(value) // FPM itself refuses to start with anything but a number
	case "pm.status_path":
		p.StatusPath = value
	case "pm.status_listen":
		p.StatusListen = value
	}
}

// withoutGlobal drops [global], which is no pool.
func withoutGlobal(pools []Pool) []Pool {
	kept := pools[:0]
	for _, pool := range pools {
		if pool.Name != "global" {
			kept = append(kept, pool)
		}
	}
	return kept
}

// versionOf is 8.2 for /etc/php/8.2/fpm/pool.d/www.conf.
func versionOf(path string) string {
	if rest, found := strings.CutPrefix(path, "/etc/php/"); found {
		version, _, _ := strings.Cut(rest, "/")
		return version
	}
	return ""
}
