package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/moodle-exporter/moodle-exporter/alerts"
	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

// newMux lays out the exporter's pages. Metrics are open as they are everywhere; what shows more than
// numbers, or does something, is for this host or for those whom a web configuration lets in.
func newMux(h *host, engine *collector.Engine, history *statuspage.History, flags *serveFlags) http.Handler {
	guard := guard{open: *flags.web.WebConfigFile != ""}
	mux := http.NewServeMux()
	mux.Handle(flags.telemetryPath, engine.Handler(collector.HandlerOptions{
		MaxRequests: flags.maxRequests, DisableExporterMetrics: flags.noSelfMetrics,
	}))
	mux.HandleFunc("GET /-/healthy", say("moodle-exporter is healthy.\n"))
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, r *http.Request) {
		if !h.ready.Load() {
			http.Error(w, "moodle-exporter is taking its first look at the host.", http.StatusServiceUnavailable)
			return
		}
		say("moodle-exporter is ready.\n")(w, r)
	})
	mux.Handle("POST /-/reload", guard.local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := h.reload(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintln(w, "configuration reloaded")
	})))
	mux.HandleFunc("/-/reload", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "reload is a POST", http.StatusMethodNotAllowed)
	})
	mux.Handle("/runbooks/", statuspage.Runbooks(alerts.Files()))
	if flags.pprof {
		mux.Handle("/debug/pprof/", guard.local(http.HandlerFunc(pprof.Index)))
		mux.Handle("/debug/pprof/profile", guard.local(http.HandlerFunc(pprof.Profile)))
		mux.Handle("/debug/pprof/symbol", guard.local(http.HandlerFunc(pprof.Symbol)))
		mux.Handle("/debug/pprof/trace", guard.local(http.HandlerFunc(pprof.Trace)))
		mux.Handle("/debug/pprof/cmdline", guard.local(http.HandlerFunc(pprof.Cmdline)))
	}
	report := func(ctx context.Context) statuspage.Report {
		ctx, cancel := context.WithTimeout(ctx, statusTime)
		defer cancel()
		report := h.report(ctx, engine, flags.telemetryPath)
		report.Trend = history.Trend(report.Taken)
		return report
	}
	details := statuspage.Handler(report)
	outline := statuspage.Handler(func(ctx context.Context) statuspage.Report { return report(ctx).Outline() })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if guard.lets(r) {
			details.ServeHTTP(w, r)
			return
		}
		outline.ServeHTTP(w, r)
	})
	return mux
}

// statusTime bounds how long a look at the status may take.
const statusTime = 8 * time.Second

// guard keeps pages for this host, unless a web configuration decides who may see them.
type guard struct{ open bool }

func (g guard) local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.lets(r) {
			http.Error(w, "moodle-exporter: this is for the host itself (a loopback address), or for those whom --web.config.file lets in.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g guard) lets(r *http.Request) bool { return g.open || fromHere(r) }

// fromHere says whether a request comes from this host. A proxy on this host does too, on behalf of
// anybody: what such a proxy forwards is not from here. Host is looked at so that a page of another site
// cannot make a browser on this host ask under that site's name (DNS rebinding).
func fromHere(r *http.Request) bool {
	for _, header := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	if r.Header.Get("Origin") != "" && r.Method != http.MethodGet {
		return false
	}
	return loopback(r.RemoteAddr) && loopback(r.Host)
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || host == "" || host == "@" || ip.IsLoopback()
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, text) }
}
