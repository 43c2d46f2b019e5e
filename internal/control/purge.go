package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/redis"
)

// ErrNotOurs is a directory that does not belong to the site's user: config.php may name any, and emptying it as root
// would give its writer root's rights.
var ErrNotOurs = errors.New("it does not belong to the site's user, so it is not emptied")

// PurgeFiles empties cachedir and localcachedir, which Moodle fills again, without starting Moodle: stale caches can
// keep it from starting. The directories themselves stay, other file systems mounted below them as well, and so does
// tempdir, where backups and uploads at work lie. The site must be closed.
func PurgeFiles(site *moodle.Site) error {
	user, err := command.SiteUser(site.User)
	if err != nil {
		return fmt.Errorf("purge the cache files of site %s: %w", site.Name, err)
	}
	var failures []error
	for _, dir := range []string{site.Config.CacheDir, site.Config.LocalCacheDir} {
		if err := purgeDir(dir, user); err != nil {
			failures = append(failures, fmt.Errorf("purge the cache files of site %s in %s: %w", site.Name, dir, err))
		}
	}
	return errors.Join(failures...)
}

func purgeDir(dir string, user *command.User) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	status, err := statusOf(root)
	if err != nil {
		return err
	}
	if status.Uid != user.UID {
		return ErrNotOurs
	}
	return empty(root, status.Dev)
}

func statusOf(root *os.Root) (*syscall.Stat_t, error) {
	info, err := root.Stat(".")
	if err != nil {
		return nil, err
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errors.New("its owner is not known on this system")
	}
	return status, nil
}

// empty removes all that is in an opened directory of one file system. What somebody removes or makes meanwhile is no
// error: a last request may still be at it.
func empty(root *os.Root, device uint64) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	var failures []error
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() {
			stays, err := emptyBelow(root, name, device)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				failures = append(failures, err)
			}
			if stays {
				continue
			}
		}
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// emptyBelow empties a directory and says whether it stays, for it is another file system.
func emptyBelow(root *os.Root, name string, device uint64) (stays bool, err error) {
	below, err := root.OpenRoot(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = below.Close() }()
	status, err := statusOf(below)
	if err != nil {
		return false, err
	}
	if status.Dev != device {
		return true, nil
	}
	return false, empty(below, device)
}

// ErrStoreLeft is a cache store that was not emptied.
var ErrStoreLeft = errors.New("a cache store was not emptied")

// cacheKey is the part of a key after the store's prefix: the MD5 sum of a definition, and for its expiry times and
// locks something behind it (cachestore_redis).
var cacheKey = regexp.MustCompile(`^([0-9a-f]{32})(?:[^0-9a-f].*)?$`)

// PurgeStores removes what the site's caches have in Redis, by the configuration of its caches, without starting
// Moodle, and says how many keys went. Keys of others stay. A store without a prefix holds keys of the same names for
// every site that shares it; those of this site's caches go, as its own purge would do it. Stores of other kinds, which
// are not known here, are left to admin/cli/purge_caches.php; APCu ends with ReloadPool.
func PurgeStores(ctx context.Context, site *moodle.Site) (deleted int, err error) {
	stores, caches, err := moodle.CacheStores(site.Config.DataRoot)
	if err != nil {
		return 0, fmt.Errorf("purge the cache stores of site %s: %w", site.Name, err)
	}
	var failures []error
	for _, store := range stores {
		count, err := purgeStore(ctx, store, caches)
		deleted += count
		if err != nil {
			failures = append(failures, fmt.Errorf("purge the cache stores of site %s: %w: %s: %w", site.Name, ErrStoreLeft, store.Name, err))
		}
	}
	return deleted, errors.Join(failures...)
}

func purgeStore(ctx context.Context, store moodle.CacheStore, caches []string) (int, error) {
	address, usable := redis.Address(store.Server)
	if !usable {
		return 0, errors.New("it is a cluster, or its address is not understood")
	}
	ctx, cancel := context.WithTimeout(ctx, RedisPatience)
	defer cancel()
	return redis.DeleteKeys(ctx, redis.Login{Address: address}, store.Password, 0, store.Prefix, func(key string) bool {
		found := cacheKey.FindStringSubmatch(key[len(store.Prefix):])
		return found != nil && (store.Prefix != "" || slices.Contains(caches, found[1]))
	})
}
