package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

// defaultAddress is where the exporter listens unless told otherwise.
const defaultAddress = ":10059"

// serveFlags are the flags of serve, under the names that exporters share.
type serveFlags struct {
	web             *web.FlagConfig
	telemetryPath   string
	pprof           bool
	maxRequests     int
	noSelfMetrics   bool
	timeoutOffset   time.Duration
	disableDefaults bool
	collectors      map[string]*choice
}

// choice is one --[no-]collector.X flag.
type choice struct{ on, set bool }

func serveCommand(app *kingpin.Application) (string, action) {
	command := app.Command("serve", "The exporter: metrics, status page and runbooks over HTTP. What runs when no command is named.").Default()
	flags := &serveFlags{web: kingpinflag.AddFlags(command, defaultAddress), collectors: map[string]*choice{}}
	command.Flag("web.telemetry-path", "Path of the metrics.").Default("/metrics").StringVar(&flags.telemetryPath)
	command.Flag("web.enable-pprof", "Serve profiles of the exporter itself under /debug/pprof/.").BoolVar(&flags.pprof)
	command.Flag("web.max-requests", "Scrapes that may be under way at once; further ones get 503. 0: no limit.").Default("40").IntVar(&flags.maxRequests)
	command.Flag("web.disable-exporter-metrics", "Leave out metrics about the exporter itself (go_*, process_*, promhttp_*).").BoolVar(&flags.noSelfMetrics)
	command.Flag("timeout-offset", "Taken off the scrape timeout that Prometheus announces, in seconds.").Default("0.5").SetValue((*seconds)(&flags.timeoutOffset))
	command.Flag("collector.disable-defaults", "Start with no collector but those named by flags.").BoolVar(&flags.disableDefaults)
	for _, entry := range collectors {
		chosen := &choice{}
		command.Flag("collector."+entry.name, entry.help).Default("true").IsSetByUser(&chosen.set).BoolVar(&chosen.on)
		flags.collectors[entry.name] = chosen
	}
	return command.FullCommand(), func(ctx context.Context, e *environment) error { return e.serve(ctx, flags) }
}

// enabled says whether the flags want a collector.
func (f *serveFlags) enabled(name string) bool {
	chosen := f.collectors[name]
	if f.disableDefaults && !chosen.set {
		return false
	}
	return chosen.on
}

func (e *environment) serve(ctx context.Context, flags *serveFlags) error {
	// A scrape is short and mostly waits; more threads would only take the site's processors.
	runtime.GOMAXPROCS(min(2, runtime.NumCPU()))
	// From here on a SIGHUP is a reload; before, it would end the program.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	settings, err := e.config()
	if err != nil {
		return err
	}
	if err := web.Validate(*flags.web.WebConfigFile); err != nil {
		return fmt.Errorf("web configuration %s: %w", *flags.web.WebConfigFile, err)
	}
	host := newHost(e, settings)
	engine := collector.New(e.logger, e.clock, flags.timeoutOffset)
	if err := engine.Register(host.reloads); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var background sync.WaitGroup
	defer e.awaitEnd(&background)
	defer cancel()
	background.Go(func() { host.look(ctx) })
	background.Go(func() { host.follow(ctx, engine, flags) })
	background.Go(func() { host.reloadOn(ctx, hangup) })
	history := statuspage.NewHistory()
	background.Go(func() { host.remember(ctx, engine, history) })

	mux := newMux(host, engine, history, flags)
	return e.listen(ctx, mux, flags.web)
}

// reloadOn re-reads the configuration on each signal.
func (h *host) reloadOn(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			_ = h.reload() // said in the log and in the reload gauge
		}
	}
}

// awaitEnd waits for the background work, but not for what hangs on a dead disk or share: that ends with the process.
func (e *environment) awaitEnd(background *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() { background.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(shutdownTime):
		e.logger.Warn("ending, although a look at the host has not come back; a disk or share does not answer")
	}
}

// shutdownTime is how long requests under way may take once the exporter is told to end.
const shutdownTime = 5 * time.Second

// listen serves until ctx ends. Each address gets a server of its own: the toolkit changes a server when it
// adds TLS and passwords, and would change one shared by several addresses several times over.
func (e *environment) listen(ctx context.Context, handler http.Handler, flags *web.FlagConfig) error {
	addresses := *flags.WebListenAddresses
	if *flags.WebSystemdSocket {
		addresses = addresses[:1] // not used: systemd hands over its sockets
	}
	ended := make(chan error, len(addresses))
	var servers []*http.Server
	for _, address := range addresses {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
		servers = append(servers, server)
		one := web.FlagConfig{WebListenAddresses: &[]string{address}, WebSystemdSocket: flags.WebSystemdSocket, WebConfigFile: flags.WebConfigFile}
		go func() { ended <- web.ListenAndServe(server, &one, e.logger) }()
	}
	var failure error
	running := len(servers)
	select {
	case <-ctx.Done():
	case failure = <-ended:
		running--
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	for _, server := range servers {
		if err := server.Shutdown(stopping); err != nil {
			_ = server.Close()
		}
	}
	for range running {
		if err := <-ended; failure == nil && !errors.Is(err, http.ErrServerClosed) {
			failure = err
		}
	}
	if errors.Is(failure, http.ErrServerClosed) {
		return nil
	}
	if failure != nil {
		return fmt.Errorf("serve on %v: %w", slices.Clone(addresses), failure)
	}
	return nil
}
