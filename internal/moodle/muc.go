package moodle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mucFile is where Moodle keeps the configuration of its caches (core_cache\config::get_config_file_path), below dataroot.
const mucFile = "muc/config.php"

const (
	// maxCacheServers is how many servers of one site are told. The file belongs to the web user.
	maxCacheServers = 16
	maxArrayDepth   = 16
)

// CacheServers are the addresses of the Redis servers that a site's caches are configured to be in, as they are
// written there. The file holds their passwords too, which are read by nobody here.
func CacheServers(dataroot string) ([]string, error) {
	root, err := os.OpenRoot(dataroot)
	if err != nil {
		return nil, fmt.Errorf("look for caches: %w", err)
	}
	defer func() { _ = root.Close() }()
	text, err := readCapped(root, mucFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dataroot, mucFile), err)
	}
	return redisStores(text), nil
}

// redisStores takes the servers of the stores of the plugin cachestore_redis out of $configuration.
func redisStores(text string) []string {
	plugins, servers := map[string]string{}, map[string]string{}
	walkConfiguration(text, func(path []string, value string) {
		switch {
		case len(path) == 3 && path[0] == "stores" && path[2] == "plugin":
			plugins[path[1]] = value
		case len(path) == 4 && path[0] == "stores" && path[2] == "configuration" && path[3] == "server":
			servers[path[1]] = value
		}
	})
	var found []string
	for store, list := range servers {
		if plugins[store] == "redis" {
			// A cluster is written one server to a line.
			found = append(found, strings.FieldsFunc(list, func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ' ' })...)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	return found[:min(len(found), maxCacheServers)]
}

// walkConfiguration visits the values of $configuration, which Moodle writes by var_export. What is no literal ends the
// reading.
func walkConfiguration(text string, visit func(path []string, value string)) {
	s := &phpScanner{text: text}
	for s.next() {
		switch s.text[s.pos] {
		case '\'', '"':
			s.quoted()
		case '$':
			if name, assigned := s.target(); name == "configuration" && assigned {
				s.walk(nil, visit)
			}
		default:
			s.pos++
		}
	}
}

// walk reads a literal, or an array of them at any depth, and visits each value with the keys that lead to it. It says
// whether it understood all of it.
func (s *phpScanner) walk(path []string, visit func(path []string, value string)) bool {
	closing, opened := s.openArray()
	if !opened {
		value, understood := s.scalar()
		if understood {
			visit(path, value)
		}
		return understood
	}
	for len(path) < maxArrayDepth && !s.take(closing) {
		key, understood := s.scalar()
		if !understood || !s.take('=') || !s.take('>') || !s.walk(append(path, key), visit) {
			return false
		}
		if !s.take(',') {
			return s.take(closing)
		}
	}
	return len(path) < maxArrayDepth
}

// openArray passes over [ or array( and returns what closes it.
func (s *phpScanner) openArray() (closing byte, opened bool) {
	if s.take('[') {
		return ']', true
	}
	start := s.pos
	if s.next() && strings.EqualFold(s.word(), "array") && s.take('(') {
		return ')', true
	}
	s.pos = start
	return 0, false
}
