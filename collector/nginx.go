package collector

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
)

var (
	nginxUp          = desc("nginx", "up", "1 if nginx told its status (stub_status); what hinders it stands in the exporter's log and status.", "server")
	nginxConnections = desc("nginx", "connections", "Open connections by what nginx does with them; waiting ones are idle, this question is writing.", "server", "state")
	nginxAccepted    = desc("nginx", "connections_accepted_total", "Connections that nginx accepted.", "server")
	nginxHandled     = desc("nginx", "connections_handled_total", "Connections that nginx worked on; fewer than accepted when worker_connections are used up.", "server")
	nginxRequests    = desc("nginx", "requests_total", "Requests of clients.", "server")
)

// NginxUnknown is the label of an nginx that runs on this host and tells its status nowhere.
const NginxUnknown = "localhost"

var errNoStubStatus = errors.New("nginx on this host tells its status nowhere: it has no location with stub_status on a loopback address, " +
	"and the configuration names none; moodle-exporter config check prints the lines to add")

// NginxPages are the status pages to read.
type NginxPages struct {
	// Addresses are URLs of stub_status.
	Addresses []string
	// Hidden says that nginx is at work on this host, for the case that there is no address.
	Hidden bool
}

// Nginx reads web servers.
type Nginx struct {
	pages  func() NginxPages
	client *http.Client
}

// NewNginx reads the status pages that pages returns at each scrape.
func NewNginx(pages func() NginxPages) *Nginx {
	return &Nginx{pages: pages, client: nginx.NewClient()}
}

// Name implements Collector.
func (*Nginx) Name() string { return "nginx" }

// Update implements Collector. Of several pages of one server the first is read.
func (n *Nginx) Update(ctx context.Context, emit Emit) error {
	pages := n.pages()
	if len(pages.Addresses) == 0 {
		if !pages.Hidden {
			return nil
		}
		emit.gauge(nginxUp, 0, NginxUnknown)
		return errNoStubStatus
	}
	taken := map[string]bool{}
	var targets []string
	for _, address := range pages.Addresses {
		if server := nginx.Server(address); !taken[server] {
			taken[server] = true
			targets = append(targets, address)
		}
	}
	return sideBySide(ctx, targets, func(ctx context.Context, address string) error {
		server := nginx.Server(address)
		status, err := nginx.ReadStatus(ctx, n.client, address)
		emit.gauge(nginxUp, flag(err == nil), server)
		if err != nil {
			return fmt.Errorf("nginx %s: %w", server, err)
		}
		for state, number := range map[string]float64{"reading": status.Reading, "writing": status.Writing, "waiting": status.Waiting} {
			emit.gauge(nginxConnections, number, server, state)
		}
		emit.counter(nginxAccepted, status.Accepted, server)
		emit.counter(nginxHandled, status.Handled, server)
		emit.counter(nginxRequests, status.Requests, server)
		return nil
	})
}
