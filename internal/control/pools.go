package control

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

// SitePools are the PHP-FPM pools that serve a site: those that nginx passes its requests to, by the configuration in
// nginxFile, with what the pool files tell of them. Where nginx says nothing, as with Apache, they are the pools of the
// site's user. None at all is no error.
func SitePools(site *moodle.Site, known []phpfpm.Pool, nginxFile string) ([]phpfpm.Pool, error) {
	roots := []string{site.Public(), site.Dir, site.Link, filepath.Join(site.Link, filepath.Base(site.Public()))}
	addresses, err := nginx.FastCGIServers(nginxFile, func(root string) bool {
		if real, err := filepath.EvalSymlinks(root); err == nil {
			root = real
		}
		return slices.Contains(roots, filepath.Clean(root))
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("find the PHP-FPM pool of site %s: %w", site.Name, err)
	}
	var pools []phpfpm.Pool
	for _, address := range addresses {
		pools = append(pools, poolAt(address, known))
	}
	if len(pools) > 0 {
		return pools, nil
	}
	for _, pool := range known {
		if pool.User == site.User && pool.Listen != "" {
			pools = append(pools, pool)
		}
	}
	return pools, nil
}

// poolAt is the pool that listens at an address, as far as pool files know one.
func poolAt(address string, known []phpfpm.Pool) phpfpm.Pool {
	network, wanted := phpfpm.Dialable(address)
	for _, pool := range known {
		if pool.Listen == "" {
			continue
		}
		if n, listen := phpfpm.Dialable(pool.Listen); n == network && sameSocket(listen, wanted) {
			return pool
		}
	}
	return phpfpm.Pool{Listen: address}
}

// sameSocket compares addresses of net.Dial: /var/run is /run, and localhost the loopback address.
func sameSocket(a, b string) bool {
	if a == b {
		return true
	}
	realA, errA := filepath.EvalSymlinks(a)
	realB, errB := filepath.EvalSymlinks(b)
	return errA == nil && errB == nil && realA == realB
}
