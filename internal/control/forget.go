package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

// FindPools are the PHP-FPM pools that run a site's code, by the pool files of these patterns and nginx's configuration.
// What cannot be read is logged, and missing in the list.
func FindPools(site *moodle.Site, poolFiles []string, nginxFile string, logger *slog.Logger) []phpfpm.Pool {
	known, err := phpfpm.ReadPools(poolFiles...)
	if err != nil {
		logger.Warn("PHP-FPM pools cannot be read", "err", err)
	}
	pools, err := SitePools(site, known, nginxFile)
	if err != nil {
		logger.Warn("the site's PHP-FPM pool is not known", "err", err)
	}
	return pools
}

// reloadAtMost bounds a reload of PHP-FPM: with a process_control_timeout its children may finish first.
const reloadAtMost = time.Minute

// ReloadPools is ReloadPool for each pool, a minute for all. A pool of which no PHP-FPM is running has nothing to end or
// forget: that is logged, and no error. bus is nil where there is no systemd.
func ReloadPools(ctx context.Context, bus *service.Bus, pools []phpfpm.Pool, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, reloadAtMost)
	defer cancel()
	var services Services
	if bus != nil {
		services = bus
	}
	for _, pool := range pools {
		err := ReloadPool(ctx, services, pool)
		if errors.Is(err, ErrNoMaster) {
			logger.Warn("PHP-FPM was not reloaded: nobody is known who could be told", "pool", pool.File)
			continue
		}
		if err != nil {
			return fmt.Errorf("make PHP-FPM forget the code of before: %w", err)
		}
	}
	return ctx.Err()
}
