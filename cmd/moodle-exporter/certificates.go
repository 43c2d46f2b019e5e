package main

import (
	"context"
	"net/url"
	"slices"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/certificate"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// certificates makes the collector and starts its handshakes, which end with ctx.
func (h *host) certificates(ctx context.Context) collector.Collector {
	return h.running(ctx, collector.NewCertificate(collector.CertificateOptions{
		Endpoints: h.endpoints, Files: h.certificateFiles, Clock: h.clock, Logger: h.logger,
	}))
}

// endpoints are the configured ones, else the address of every site that is served by https.
func (h *host) endpoints() []string {
	if configured := h.settings.Load().Certificates.Endpoints; len(configured) > 0 {
		return configured
	}
	return endpointsOf(h.view.Sites())
}

// endpointsOf are the addresses of the sites that are served by https.
func endpointsOf(sites []*moodle.Site) []string {
	var found []string
	for _, site := range sites {
		address, err := url.Parse(site.Config.WWWRoot)
		if err != nil || address.Scheme != "https" {
			continue
		}
		endpoint := address.Host
		if address.Port() == "" {
			endpoint += ":443"
		}
		if !slices.Contains(found, endpoint) {
			found = append(found, endpoint)
		}
	}
	return found
}

// certificateFiles are those that the privileged look has read.
func (h *host) certificateFiles() ([]certificate.File, error) {
	facts := h.view.Snapshot().Host
	if facts == nil {
		return nil, nil
	}
	return facts.Certificates, nil
}
