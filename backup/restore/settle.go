package restore

import (
	"context"
	"errors"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

// pools are the PHP-FPM pools that run the site's code.
func (r *restoration) pools() []phpfpm.Pool { return poolsOf(&r.Options, r.site) }

func poolsOf(o *Options, site *moodle.Site) []phpfpm.Pool {
	return control.FindPools(site, o.PoolFiles, o.NginxFile, o.Logger)
}

// settle makes the restored site forget what belongs to the one before: sessions, in which numbers of users
// may mean other people now, caches, and compiled code.
func (r *restoration) settle(ctx context.Context) error {
	if !r.touches() {
		return nil
	}
	if r.has(backup.Database) {
		dropped, err := control.DropSessions(ctx, r.site, r.Others)
		if err != nil {
			if !errors.Is(err, control.ErrSessionsLeft) {
				return err
			}
			r.result.Notes = append(r.result.Notes, err.Error())
			r.Logger.Warn("sessions may live on in the restored site", "err", err)
		}
		r.Logger.Info("sessions were ended", "files", dropped.Files, "keys", dropped.Keys)
	}
	return empty(ctx, &r.Options, r.site, r.run)
}

// empty empties the caches of a site whose database, data or code is another one now, and reloads its PHP-FPM.
func empty(ctx context.Context, o *Options, site *moodle.Site, run control.Run) error {
	files := control.PurgeFiles(site)
	if _, err := control.PurgeStores(ctx, site); err != nil {
		o.Logger.Warn("caches of the site may be stale", "err", err)
	}
	if site.PHP != "" {
		// It knows stores that we do not; where it does not start, the check that follows tells more.
		if err := (control.CLI{Site: site, Run: run}).PurgeCaches(ctx); err != nil {
			o.Logger.Warn("the site's own purge of its caches failed; they were emptied without it as far as they are known", "err", err)
		} else if errors.Is(files, control.ErrNotOurs) {
			files = nil
		}
	}
	if files != nil {
		return files
	}
	if err := control.ReloadPools(ctx, o.Bus, poolsOf(o, site), o.Logger); err != nil {
		return err
	}
	return ctx.Err()
}
