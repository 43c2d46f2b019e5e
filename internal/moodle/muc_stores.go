package moodle

import (
	"cmp"
	"crypto/md5" //nolint:gosec // names of caches, as Moodle makes them
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// CacheStore is a server that a site keeps caches in, by one instance of the plugin cachestore_redis.
type CacheStore struct {
	Name     string
	Server   string // as the site writes it
	Password config.Secret
	Prefix   string // of the keys; often empty
}

// CacheStores are the Redis stores of a site, and the names that its caches have in them, without the prefix: the MD5
// sums of mode, component and area (core_cache\definition::generate_definition_hash). Two sites without a prefix in one
// database share them.
func CacheStores(dataroot string) (stores []CacheStore, caches []string, err error) {
	root, err := os.OpenRoot(dataroot)
	if err != nil {
		return nil, nil, fmt.Errorf("look for caches: %w", err)
	}
	defer func() { _ = root.Close() }()
	text, err := readCapped(root, mucFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", filepath.Join(dataroot, mucFile), err)
	}
	stores, caches = cacheStores(text)
	return stores, caches, nil
}

func cacheStores(text string) (stores []CacheStore, caches []string) {
	found, plugins := map[string]*CacheStore{}, map[string]string{}
	definitions := map[string]*[3]string{} // mode, component, area
	walkConfiguration(text, func(path []string, value string) {
		switch {
		case len(path) == 3 && path[0] == "stores" && path[2] == "plugin":
			plugins[path[1]] = value
		case len(path) == 4 && path[0] == "stores" && path[2] == "configuration":
			store := found[path[1]]
			if store == nil {
				store = &CacheStore{Name: path[1]}
				found[path[1]] = store
			}
			store.set(path[3], value)
		case len(path) == 3 && path[0] == "definitions":
			part := slices.Index([]string{"mode", "component", "area"}, path[2])
			if part < 0 {
				return
			}
			if definitions[path[1]] == nil {
				definitions[path[1]] = &[3]string{}
			}
			definitions[path[1]][part] = value
		}
	})
	for name, store := range found {
		if plugins[name] == "redis" && len(stores) < maxCacheServers {
			stores = append(stores, *store)
		}
	}
	for _, definition := range definitions {
		sum := md5.Sum([]byte(strings.Join(definition[:], " "))) //nolint:gosec // see above
		caches = append(caches, hex.EncodeToString(sum[:]))
	}
	slices.SortFunc(stores, func(a, b CacheStore) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(caches)
	return stores, caches
}

func (s *CacheStore) set(name, value string) {
	switch name {
	case "server":
		s.Server = value
	case "password":
		s.Password = config.Secret(value)
	case "prefix":
		s.Prefix = value
	}
}
