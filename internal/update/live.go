package update

import (
	"context"
	"errors"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/control"
)

// tryLive looks whether the site works as it is: what is broken before would be taken for broken by the update.
func (u *update) tryLive(ctx context.Context) error {
	answer, err := control.CheckPool(ctx, u.Site, control.PoolCheck{Pools: u.pools(u.Site)})
	_, changesCode := u.source.(*present)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, control.ErrNotChecked):
		u.plan.note("%v; so nobody can tell beforehand whether the site works in it", err)
	case err != nil && !changesCode: // where only the database is behind, that is what the check finds
		u.plan.problem("mend the site first", "the site does not work as it is: %v", err)
	case err == nil && minor(answer.PHP) != minor(u.Site.Config.PHPVersion) && u.Site.Config.PHPVersion != "":
		u.plan.word("make them the same, see update-alternatives --config php, or set php: for the site",
			"PHP-FPM is of version %s and PHP for the command line of %s: what the new Moodle needs is looked for in the latter only", answer.PHP, u.Site.Config.PHPVersion)
	}
	before, ours, err := control.FoundMaintenance(u.Site)
	if err != nil {
		return err
	}
	if before == control.WasClosed || ours {
		u.plan.note("the site is in maintenance mode, and will be so again afterwards")
		return nil
	}
	if _, err := control.CheckLogin(ctx, u.Site, u.Login); errors.Is(err, control.ErrNotChecked) {
		u.plan.note("%v", err)
	} else if err != nil && !changesCode {
		u.plan.problem("mend the site first", "the site does not work as it is: %v", err)
	}
	return ctx.Err()
}

// minor is 8.2 of 8.2.36.
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}
