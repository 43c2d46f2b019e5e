package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

// host is what the collectors read: the facts of the privileged look, the configuration in force, and the
// connections that outlive a scrape.
type host struct {
	*environment
	settings    atomic.Pointer[config.Config]
	view        *probe.View
	connections *moodle.Connections
	bus         *service.Bus
	files       *collector.MaintenanceFiles
	activity    *collector.Activity
	web         *collector.Web
	reloads     *reloads
	changed     chan struct{} // a reload: the collectors are built anew
	relook      chan struct{} // a reload: the privileged look is taken anew
	looked      chan struct{} // closed when the first look has been taken, or is not ours to take
	ready       atomic.Bool   // the collectors are built
	once        bool          // this process looks once and ends, as status does

	mu     sync.Mutex
	secret map[string]*moodle.Site // by name, with passwords: only where this process takes the look itself
}

func newHost(e *environment, settings *config.Config) *host {
	h := &host{
		environment: e, view: probe.NewView(e.stateDir, e.clock, settings.Sites), bus: service.NewBus(e.bus),
		files: collector.NewMaintenanceFiles(), reloads: newReloads(), changed: make(chan struct{}, 1),
		looked: make(chan struct{}), relook: make(chan struct{}, 1),
	}
	h.settings.Store(settings)
	h.connections = moodle.NewConnections(h.login)
	h.activity, h.web = newActivity(h), newWeb(h)
	h.loaded()
	return h
}

// looksItself says whether this process takes the privileged look: as root, or as the owner of the state
// directory, for a first look without any installation. The user moodle-exporter never owns it.
func (h *host) looksItself() bool {
	if os.Geteuid() == 0 {
		return true
	}
	info, err := os.Stat(h.stateDir)
	if err != nil {
		return os.MkdirAll(h.stateDir, 0o750) == nil
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(status.Uid) == os.Geteuid()
}

// look takes the privileged look at once and then at every cadence, where it is ours to take.
func (h *host) look(ctx context.Context) {
	first := sync.OnceFunc(func() { close(h.looked) })
	defer first()
	if !h.looksItself() {
		return
	}
	tick := time.NewTicker(probe.Cadence)
	defer tick.Stop()
	for {
		h.lookNow(ctx)
		first()
		select {
		case <-ctx.Done():
			return
		case <-h.relook:
		case <-tick.C:
		}
	}
}

// lookNow takes the privileged look and keeps the passwords that it came across.
func (h *host) lookNow(ctx context.Context) {
	sites, err := h.probe(h.settings.Load()).Run(ctx)
	if err != nil && ctx.Err() == nil {
		h.logger.Error("the privileged look failed", "err", err)
	}
	secret := make(map[string]*moodle.Site, len(sites))
	for _, site := range sites {
		secret[site.Name] = site
	}
	h.mu.Lock()
	h.secret = secret
	h.mu.Unlock()
}

// login is how serve reads along at a site's database: by the account that the configuration names, by the
// site's own where this process has read config.php itself, else by the exporter's account over the socket.
func (h *host) login(site *moodle.Site) (moodle.Login, error) {
	h.mu.Lock()
	own := h.secret[site.Name]
	h.mu.Unlock()
	if own != nil && site.Monitor == (config.Account{}) {
		return own.ConfigLogin(), nil
	}
	return site.MonitorLogin()
}

// build makes the collectors that the flags want, side by side: some visit what they watch, which may hang.
// Background work of theirs ends with ctx.
func (h *host) build(ctx context.Context, engine *collector.Engine, flags *serveFlags) {
	made := make([]collector.Collector, len(collectors))
	var all sync.WaitGroup
	for i, entry := range collectors {
		if flags.enabled(entry.name) {
			all.Go(func() { made[i] = entry.build(ctx, h) })
		}
	}
	all.Wait()
	engine.SetCollectors(slices.DeleteFunc(made, func(c collector.Collector) bool { return c == nil })...)
}

const followCadence = 15 * time.Second

// follow builds the collectors, and builds them anew when the configuration was reloaded, or when the facts
// show sites in other places than before.
func (h *host) follow(ctx context.Context, engine *collector.Engine, flags *serveFlags) {
	h.awaitLook(ctx)
	for ctx.Err() == nil {
		life, end := context.WithCancel(ctx)
		roles := h.roles()
		h.build(life, engine, flags)
		h.ready.Store(true)
		h.awaitChange(ctx, roles)
		end()
	}
}

// firstLookTime bounds the wait for the first look: one that hangs on a dead share must not keep the rest unseen.
const firstLookTime = 5 * time.Second

// awaitLook keeps the collectors back until the first look has found the sites and how to log in. Before it, a
// healthy database would count as down.
func (h *host) awaitLook(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstLookTime)
	defer cancel()
	select {
	case <-h.looked:
	case <-ctx.Done():
	}
}

// awaitChange returns when the roles are other ones, after a reload, or at the end of ctx.
func (h *host) awaitChange(ctx context.Context, roles []collector.Role) {
	tick := time.NewTicker(followCadence)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.changed:
			return
		case <-tick.C:
			if !slices.Equal(roles, h.roles()) {
				return
			}
		}
	}
}

// roles are the places whose filesystems matter.
func (h *host) roles() []collector.Role {
	list := []collector.Role{{Name: "root", Path: "/"}, {Name: "tmp", Path: "/tmp"}, {Name: "backup", Path: h.settings.Load().Backup.Dir}}
	for _, dir := range []string{"/var/lib/mysql"} {
		if _, err := os.Stat(dir); err == nil {
			list = append(list, collector.Role{Name: "database", Path: dir})
		}
	}
	for _, site := range h.view.Sites() {
		list = append(list, collector.Role{Name: "moodledata", Path: site.Config.DataRoot}, collector.Role{Name: "code", Path: site.Dir})
		if inside := filepath.Clean(site.Config.FileDir); inside != filepath.Join(site.Config.DataRoot, "filedir") {
			list = append(list, collector.Role{Name: "moodledata", Path: inside})
		}
	}
	return list
}

// units are the services to watch: the configured ones, which may be none (services: []), else those
// that the look found.
func (h *host) units() []string {
	if configured := h.settings.Load().Services; configured != nil {
		return configured
	}
	if facts := h.view.Snapshot().Host; facts != nil {
		return facts.Services
	}
	return nil
}

// siteSources are what the site collector reads beside the database.
func (h *host) siteSources() collector.SiteSources {
	return collector.SiteSources{
		Sites: h.view.Sites, Connections: h.connections, Clock: h.clock,
		CLIMaintenance: func(ctx context.Context, site *moodle.Site) (on, known bool) {
			if on, known := h.files.On(ctx, site); known {
				return on, true
			}
			return h.fact(site, func(f *probe.SiteFacts) *bool { return f.CLIMaintenance })
		},
		UpgradePending: func(site *moodle.Site) (pending, known bool) {
			return h.fact(site, func(f *probe.SiteFacts) *bool { return f.UpgradePending })
		},
	}
}

// fact is one answer of the look, unknown when the look is too old.
func (h *host) fact(site *moodle.Site, of func(*probe.SiteFacts) *bool) (value, known bool) {
	facts := h.view.Snapshot().Facts(site.Name)
	if facts == nil || !probe.Fresh(facts.Taken, h.clock()) {
		return false, false
	}
	answer := of(facts)
	if answer == nil {
		return false, false
	}
	return *answer, true
}

// fromFacts makes a collector fail where the facts that it tells from are missing or stale.
func (h *host) fromFacts(inner collector.Collector) collector.Collector {
	return factual{inner, h}
}

type factual struct {
	collector.Collector
	host *host
}

func (f factual) Update(ctx context.Context, emit collector.Emit) error {
	if err := f.Collector.Update(ctx, emit); err != nil {
		return err
	}
	return collector.StaleFacts(f.host.view.Snapshot(), f.host.clock())
}
