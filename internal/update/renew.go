package update

import (
	"context"
	"errors"
	"fmt"

	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// renew makes a site whose code or database is another one now forget what it keeps of the one before.
func (o *Options) renew(ctx context.Context, site *moodle.Site) error {
	if err := control.PurgeFiles(site); err != nil {
		return err
	}
	if _, err := control.PurgeStores(ctx, site); err != nil {
		o.Logger.Warn("caches of the site may be stale", "err", err)
	}
	for _, pool := range o.pools(site) {
		var services control.Services
		if o.Bus != nil {
			services = o.Bus
		}
		err := control.ReloadPool(ctx, services, pool)
		if errors.Is(err, control.ErrNoMaster) {
			o.Logger.Warn("PHP-FPM was not reloaded: nobody is known who could be told", "pool", pool.File)
			continue
		}
		if err != nil {
			return fmt.Errorf("make PHP-FPM forget the code of before: %w", err)
		}
	}
	return ctx.Err()
}
