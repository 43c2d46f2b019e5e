package collector

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/redis"
)

// How often a site's activity and files are read, how often it is tried while that fails, and how long it may take.
const (
	activityCadence = 5 * time.Minute
	activityRetry   = time.Minute
	activityTime    = 2 * time.Minute
	filesCadence    = 6 * time.Hour
	filesRetry      = 5 * time.Minute
	filesTime       = 10 * time.Minute
)

// ActivitySources are what the activity collector reads.
type ActivitySources struct {
	Sites       func() []*moodle.Site // the current sites
	Connections *moodle.Connections
	Clock       func() time.Time
	// Plugins are those in a site's code; known is false where they are not to be had.
	Plugins func(*moodle.Site) (plugins moodle.DiskPlugins, known bool)
	// Redis is where a site keeps its sessions; known is false where that is no Redis server that we can ask.
	Redis func(*moodle.Site) (login redis.Login, known bool)
}

// Activity tells what goes on in the sites: users, sessions, logins, results of tasks, files, plugins and updates. All
// but running quiz attempts is read in the background, by Run.
type Activity struct {
	ActivitySources
	activity *rounds[*moodle.Activity]
	files    *rounds[fileSums]
}

type fileSums struct{ files, bytes float64 }

// NewActivity makes the collector; Run starts its reading. Its counters live as long as it does.
func NewActivity(sources ActivitySources) *Activity {
	a := &Activity{ActivitySources: sources}
	reader := moodle.NewActivityReader(sources.Clock)
	a.activity = newRounds("activity", activityCadence, activityRetry, activityTime, a.readable, sources.Clock,
		func(ctx context.Context, site *moodle.Site) (*moodle.Activity, error) {
			connection, err := sources.Connections.Of(site)
			if err != nil {
				return nil, err
			}
			found, err := reader.Read(ctx, connection, site)
			if found != nil && found.Sessions == nil {
				found.Sessions = a.countSessions(ctx, site)
			}
			return found, err
		})
	a.files = newRounds("files", filesCadence, filesRetry, filesTime, a.readable, sources.Clock,
		func(ctx context.Context, site *moodle.Site) (sums fileSums, err error) {
			connection, err := sources.Connections.Of(site)
			if err == nil {
				sums.files, sums.bytes, err = site.ReadFiles(ctx, connection)
			}
			return sums, err
		})
	return a
}

// sessionTime is how long the sessions in a Redis server may take to be counted.
const sessionTime = 10 * time.Second

// countSessions counts the sessions that Redis keeps, or none of them: where the server cannot be asked, the collector
// redis tells why. Since 4.5 Moodle names their keys session_<id>, and Redis drops those that have timed out.
func (a *Activity) countSessions(ctx context.Context, site *moodle.Site) *float64 {
	login, known := a.Redis(site)
	if !known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sessionTime)
	defer cancel()
	database, err := strconv.Atoi(cmp.Or(site.Config.RedisDatabase, "0"))
	if err != nil {
		return nil
	}
	count, err := redis.CountKeys(ctx, login, database, site.Config.RedisPrefix+"session_")
	if err != nil {
		return nil
	}
	sessions := float64(count)
	return &sessions
}

// readable are the sites with a database that is supported; others fail nothing.
func (a *Activity) readable() []*moodle.Site {
	var sites []*moodle.Site
	for _, site := range a.Sites() {
		if site.Config.MySQL() {
			sites = append(sites, site)
		}
	}
	return sites
}

// Name implements Collector.
func (*Activity) Name() string { return "activity" }

// Run reads at once and then at every cadence, until ctx ends.
func (a *Activity) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { a.activity.refresher.Run(ctx) })
	both.Go(func() { a.files.refresher.Run(ctx) })
	both.Wait()
}

// Refresh reads once, for a caller that does not stay. It leaves out the files, which may take minutes.
func (a *Activity) Refresh(ctx context.Context) { a.activity.refresher.Refresh(ctx) }

// Update implements Collector.
func (a *Activity) Update(ctx context.Context, emit Emit) error {
	for _, site := range a.Sites() {
		if end, known := moodle.SupportEnd(site.Version.Branch); known {
			emit.gauge(siteSupportEnd, float64(end.Unix()), site.Name)
		}
	}
	attempts := make(chan error, 1)
	go func() { attempts <- a.readAttempts(ctx, emit) }()
	return errors.Join(
		a.activity.emit(emit, func(site *moodle.Site, found *moodle.Activity) { a.emitActivity(emit, site, found) }),
		a.files.emit(emit, func(site *moodle.Site, sums fileSums) {
			if sums.files > 0 { // a read that failed has none, and no site has no files
				emit.gauge(siteFiles, sums.files, site.Name)
				emit.gauge(siteFileBytes, sums.bytes, site.Name)
			}
		}),
		<-attempts)
}

// readAttempts reads every scrape who is in the middle of a quiz: that is when a site must not be closed.
func (a *Activity) readAttempts(ctx context.Context, emit Emit) error {
	sites := a.readable()
	failures := make([]error, len(sites))
	var all sync.WaitGroup
	for i, site := range sites {
		all.Go(func() {
			connection, err := a.Connections.Of(site)
			if err != nil {
				failures[i] = err
				return
			}
			count, known, err := site.ReadQuizAttempts(ctx, connection)
			if failures[i] = err; known {
				emit.gauge(siteQuizAttempts, count, site.Name)
			}
		})
	}
	all.Wait()
	return errors.Join(failures...)
}
