package restore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/database"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// touches says whether the site itself is exchanged, and not only configuration of the host.
func (r *restoration) touches() bool {
	return r.has(backup.Database) || r.has(backup.Files) || r.has(backup.Code)
}

// closeSite decides every move beforehand, writes them down, and closes the site.
func (r *restoration) closeSite(ctx context.Context) (err error) {
	if err := r.planMoves(); err != nil {
		return err
	}
	r.journal.Phase = Switching
	if err := r.journal.save(); err != nil {
		return err
	}
	if !r.touches() {
		return nil
	}
	if r.Live != nil {
		_, err := control.CheckPool(ctx, r.Live, control.PoolCheck{Pools: poolsOf(&r.Options, r.Live)})
		r.answered = !errors.Is(err, control.ErrNotChecked)
	}
	// The dataroot of a site that is gone has been made by now.
	closed := time.Now()
	r.closed = r.Clock()
	r.run.Announce(planned(r.closed))
	if r.before, err = control.EnterMaintenance(r.closing(), planned(r.Clock())); err != nil {
		return err
	}
	return quiet(ctx, &r.Options, r.closing(), closed)
}

// closing is the site as far as closing it goes: the dataroot is the same before and after.
func (r *restoration) closing() *moodle.Site {
	if r.Live != nil {
		return r.Live
	}
	return r.site
}

// planMoves decides how the staged trees get into their places.
func (r *restoration) planMoves() (err error) {
	if r.code != nil {
		if r.journal.CodeMoves, _, err = tree.PlanDir(r.target.code, r.code.path(newTree), r.code.path(oldTree)); err != nil {
			return fmt.Errorf("code: %w", err)
		}
	}
	if r.dataroot != nil {
		ours := filepath.Base(r.dataroot.path("."))
		r.journal.DataMoves, err = tree.PlanEntries(r.target.dataroot, filepath.Join(ours, newTree), filepath.Join(ours, oldTree), r.stays)
		if err != nil {
			return fmt.Errorf("data: %w", err)
		}
	}
	return nil
}

// stays says which entries of the dataroot are not exchanged: the content files, to which only is added, what
// keeps the site closed, and what is ours.
func (r *restoration) stays(path string) bool {
	if strings.HasPrefix(filepath.Base(path), store.Prefix) || path == "climaintenance.html" {
		return true
	}
	full := filepath.Join(r.target.dataroot, path)
	return slices.ContainsFunc([]string{r.target.filedir, r.site.Config.TrashDir}, func(dir string) bool { return dir != "" && sameDir(full, dir) })
}

func sameDir(a, b string) bool {
	if a == b {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// exchange puts everything in its place. What it does is in the journal, and it can be undone half way.
func (r *restoration) exchange(ctx context.Context) error {
	if part := r.database; part != nil {
		if err := endConnections(ctx, part.server.Login, r.journal.Database.SiteUser, r.target.database, r.Logger); err != nil {
			return err
		}
		if err := part.server.Exchange(ctx, r.journal.exchange(part.wants.Scope, r.Logger)); err != nil {
			return err
		}
		r.At("tables exchanged")
	}
	if err := tree.Do(ctx, r.journal.DataMoves, func(int) { r.At("data move") }); err != nil {
		return fmt.Errorf("put the data in its place: %w", err)
	}
	if err := tree.Do(ctx, r.journal.CodeMoves, func(int) { r.At("code move") }); err != nil {
		return fmt.Errorf("put the code in its place: %w", err)
	}
	return useConfigured(ctx, &r.Options, r.journal)
}

func (j *Journal) exchange(scope database.Scope, logger *slog.Logger) database.Exchange {
	d := j.Database
	return database.Exchange{DB: d.DB, ID: j.ID, Scope: scope, SiteUser: d.SiteUser, Binlog: d.Binlog, Logger: logger}
}

// check tries the restored site in its place, while visitors still see the maintenance page.
func (r *restoration) check(ctx context.Context) error {
	if !r.touches() {
		return nil
	}
	_, err := control.CheckPool(ctx, r.site, control.PoolCheck{Pools: r.pools(), CodeSince: r.closed, UpgradePending: r.pending})
	if r.answered && errors.Is(err, control.ErrNotChecked) {
		return fmt.Errorf("PHP-FPM answered before the site was exchanged, and does not now: %v", err) //nolint:errorlint // it is a failure by now
	}
	return r.unlessNotMade(err)
}

// unlessNotMade takes a check that could not be made as what it is: nothing is undone for it.
func (r *restoration) unlessNotMade(err error) error {
	if errors.Is(err, control.ErrNotChecked) {
		r.result.NotMade = append(r.result.NotMade, err)
		r.Logger.Warn("a check of the restored site could not be made", "err", err)
		return nil
	}
	return err
}

// open lets the users in, or leaves the site closed if somebody had closed it before.
func (r *restoration) open(context.Context) error {
	if !r.touches() {
		return nil
	}
	r.journal.Phase, r.journal.Opened = Visiting, r.Clock().UTC()
	if err := r.journal.save(); err != nil {
		return err
	}
	if err := control.LeaveMaintenance(r.site, r.before); err != nil {
		return err
	}
	r.result.Closed = r.Clock().Sub(r.closed)
	r.run.Announce(time.Time{})
	return nil
}

// visit looks at the login page as a visitor does.
func (r *restoration) visit(ctx context.Context) error {
	if !r.touches() {
		return nil
	}
	if r.before == control.WasClosed {
		return r.unlessNotMade(&control.NotCheckedError{Check: "the visit of the login page", Err: errors.New("the site was in maintenance mode before the restore, and is so again")})
	}
	_, err := control.CheckLogin(ctx, r.site, control.LoginCheck{})
	return r.unlessNotMade(err)
}

// keep ends the restore: from here on nothing is undone, and what was there waits to be discarded.
func (r *restoration) keep(ctx context.Context) error {
	j := r.journal
	if err := r.putFiles(ctx, func(*configPutter) error { return nil }, later); err != nil {
		// The site is open by now, and nothing of it is taken back for that.
		r.Logger.Warn("files of cron could not be put in their place", "err", err)
		r.result.Notes = append(r.result.Notes, "files of cron could not be put in their place, look at "+strings.Join(schedules, ", ")+": "+err.Error())
	}
	j.Phase, j.Ended = Open, r.Clock().UTC()
	if len(j.Scratch)+len(j.Replaced) == 0 && j.Database == nil {
		return j.remove() // nothing was there before
	}
	return j.save()
}
