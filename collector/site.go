package collector

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

var (
	siteInfo = desc("site", "info", "Always 1; the code on disk and the site's address.",
		"site", "release", "version", "branch", "wwwroot")
	maintenanceMode = desc("maintenance", "mode",
		"1 while the site is closed: kind cli by the maintenance file or the command line, kind admin by the administrator's switch.", "site", "kind")
	upgradePending = desc("upgrade", "pending", "1 if the code on disk waits for its database upgrade, of the core or of a plugin.", "site")
	upgradeRunning = desc("upgrade", "running", "1 while a database upgrade runs and has not overrun the time that it announced.", "site")
	cronEnabled    = desc("cron", "enabled", "0 if cron was switched off in Moodle.", "site")
	cronLastStart  = desc("cron", "last_start_timestamp_seconds", "When cron last started, as Unix time.", "site")
	cronInterval   = desc("cron", "interval_seconds", "Time between the last two starts of cron.", "site")
)

// modeCLI is what maintenance.php writes into the database since 5.1.
const modeCLI = "cli mode"

// SiteSources are what the site collector reads. All functions must return at once or with their context.
type SiteSources struct {
	Sites       func() []*moodle.Site // the current sites
	Connections *moodle.Connections
	Clock       func() time.Time
	// CLIMaintenance says whether the maintenance file stands; known is false where that cannot be told.
	CLIMaintenance func(ctx context.Context, site *moodle.Site) (on, known bool)
	// UpgradePending is the site's own answer, which also sees plugins; known is false where it is not to be had.
	UpgradePending func(site *moodle.Site) (pending, known bool)
}

// Site reads maintenance mode, upgrades, cron and tasks of each site.
type Site struct {
	SiteSources
	tasks *moodle.TaskReader
}

// NewSite returns the collector of the given sources.
func NewSite(sources SiteSources) *Site {
	return &Site{SiteSources: sources, tasks: moodle.NewTaskReader(sources.Clock)}
}

// Name implements Collector.
func (*Site) Name() string { return "site" }

// Update implements Collector. Sites are read side by side, so that one that hangs does not hide another.
func (s *Site) Update(ctx context.Context, emit Emit) error {
	sites := s.Sites()
	failures := make([]error, len(sites))
	var all sync.WaitGroup
	for i, site := range sites {
		all.Go(func() { failures[i] = s.readSite(ctx, site, emit) })
	}
	all.Wait()
	return errors.Join(failures...)
}

// readSite reads database and maintenance file at the same time and shows what it got, whichever failed.
func (s *Site) readSite(ctx context.Context, site *moodle.Site, emit Emit) error {
	version := site.Version
	emit.gauge(siteInfo, 1, site.Name, version.Release, version.Number, version.Branch, site.Config.WWWRoot)
	var state *moodle.CronState
	var err error
	var database sync.WaitGroup
	database.Go(func() { state, err = s.readDatabase(ctx, site, emit) })
	fileOn, fileKnown := s.CLIMaintenance(ctx, site)
	database.Wait()

	emitMaintenance(emit, site.Name, fileOn, fileKnown, state)
	pending, known := s.UpgradePending(site)
	if state != nil {
		// The site's own answer is minutes old; the code and the database are compared now.
		pending, known = pending || moodle.Newer(version.Number, state.Version), true
	}
	if known {
		emit.gauge(upgradePending, flag(pending), site.Name)
	}
	return err
}

// readDatabase returns the state as soon as it was read, even if what comes after it fails.
func (s *Site) readDatabase(ctx context.Context, site *moodle.Site, emit Emit) (*moodle.CronState, error) {
	if !site.Config.MySQL() {
		return nil, nil // not supported: no failure of every scrape
	}
	connection, err := s.Connections.Of(site)
	if err != nil {
		return nil, err
	}
	var read *moodle.CronState
	err = connection.Use(ctx, func(ctx context.Context, conn *sql.Conn) error {
		now := s.Clock()
		state, err := site.ReadCronState(ctx, conn)
		if err != nil {
			return err
		}
		read = &state
		emitCron(emit, site.Name, state, now)
		tasks, err := s.tasks.Read(ctx, conn, site, state.Version, now)
		if tasks != nil {
			emitTasks(emit, site.Name, tasks, now)
		}
		return err
	})
	return read, err
}

func emitCron(emit Emit, site string, state moodle.CronState, now time.Time) {
	emit.gauge(upgradeRunning, flag(state.UpgradeUntil.After(now)), site)
	emit.gauge(cronEnabled, flag(state.CronEnabled), site)
	if !state.CronLastStart.IsZero() {
		emit.gauge(cronLastStart, float64(state.CronLastStart.Unix()), site)
	}
	if state.CronInterval > 0 {
		emit.gauge(cronInterval, state.CronInterval.Seconds(), site)
	}
}

// emitMaintenance joins the file and the database. Up to 4.5 the command line leaves no trace in the
// database, so that without the file only a "cli mode" there is certain. The database may be nil.
func emitMaintenance(emit Emit, site string, fileOn, fileKnown bool, state *moodle.CronState) {
	inDatabase := state != nil && state.MaintenanceEnabled == modeCLI
	if fileKnown || inDatabase {
		emit.gauge(maintenanceMode, flag(fileOn || inDatabase), site, "cli")
	}
	if state != nil {
		switch state.MaintenanceEnabled {
		case "", "0", modeCLI:
			emit.gauge(maintenanceMode, 0, site, "admin")
		default:
			emit.gauge(maintenanceMode, 1, site, "admin")
		}
	}
}
