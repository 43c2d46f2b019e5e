package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var errNotUnderstood = errors.New("its answer is not understood")

// PurgeCaches empties all caches of the site, those in Redis and memcached included, as its own code does. Where Moodle
// does not start for what is in them, see PurgeFiles and PurgeStores.
func (c CLI) PurgeCaches(ctx context.Context) error {
	if _, err := c.run(ctx, "admin/cli/purge_caches.php"); err != nil {
		return fmt.Errorf("purge the caches of site %s: %w", c.Site.Name, err)
	}
	return nil
}

// KillSessions logs everybody out, by whatever holds the sessions.
func (c CLI) KillSessions(ctx context.Context) error {
	if _, err := c.run(ctx, "admin/cli/kill_all_sessions.php"); err != nil {
		return fmt.Errorf("end the sessions of site %s: %w", c.Site.Name, err)
	}
	return nil
}

// GetConfig reads one setting; component is empty for core. set is false where there is none. It reads through Moodle's
// caches, which are stale after a database was put in their place. The value may be a secret: it is not logged here.
func (c CLI) GetConfig(ctx context.Context, component, name string) (value string, set bool, err error) {
	if name == "" {
		return "", false, errors.New("read a setting: it has no name, and all settings together hold passwords")
	}
	quiet := c
	quiet.Log = nil
	arguments := []string{"--name=" + name, "--no-eol"}
	if component != "" {
		arguments = append(arguments, "--component="+component)
	}
	value, err = quiet.run(ctx, "admin/cli/cfg.php", arguments...)
	var failure *ScriptError
	if errors.As(err, &failure) && failure.Code == 3 {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read setting %s: %w", name, err)
	}
	return value, true, nil
}

// Maintenance is the site's state as Moodle has it.
type Maintenance struct {
	File    bool      // climaintenance.html stands: nobody gets in
	Enabled bool      // config.maintenance_enabled: only administrators get in
	Later   time.Time // when the site is going to close by itself; zero for not at all
}

// MaintenanceStatus reads the state from where Moodle keeps it: what maintenance.php prints is translated, and tells the
// two modes apart in no language. With the database down the file alone counts, and comes with the error.
func (c CLI) MaintenanceStatus(ctx context.Context) (Maintenance, error) {
	state := Maintenance{}
	file, err := maintenanceStands(c.Site)
	if err != nil {
		return state, err
	}
	state.File = file
	enabled, _, err := c.GetConfig(ctx, "", "maintenance_enabled")
	if err != nil {
		return state, err
	}
	// 5.1 writes "cli mode" beside the file; without it, any text closes the site to all but administrators.
	state.Enabled = enabled != "" && enabled != "0" && (!file || enabled != "cli mode")
	later, set, err := c.GetConfig(ctx, "", "maintenance_later")
	if err != nil || !set {
		return state, err
	}
	if at, err := strconv.ParseInt(strings.TrimSpace(later), 10, 64); err == nil && at > 0 {
		state.Later = time.Unix(at, 0)
	}
	return state, nil
}
