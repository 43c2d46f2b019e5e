package host

import (
	"testing"
)

// TestPage holds one page of a host with two sites, each with a backup, against the contract and against what others
// say about the same host.
func TestPage(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.installBusy(t)
	e := i.serve(t)
	// Handshakes, visits and the sites' activity are read in the background.
	eventually(t, func() error { return e.shows("certificate_probe_success", "target", h.webs[1].Address) })
	for _, site := range []string{h.lms.Name, h.campus.Name} {
		eventually(t, func() error { return e.shows("web_probe_success", "site", site) })
		eventually(t, func() error { return e.shows("users", "site", site, "status", "active") })
		eventually(t, func() error { return e.shows("files", "site", site) })
	}
	before := h.ownStatus(t)
	text := e.get(t, "/metrics")
	after := h.ownStatus(t)
	t.Run("contract", func(t *testing.T) { testContract(t, text) })
	t.Run("lint", func(t *testing.T) { testLint(t, text) })
	t.Run("golden", func(t *testing.T) { testGolden(t, text) })
	p := parse(t, text)
	t.Run("sites", func(t *testing.T) { testSites(t, i, p) })
	t.Run("database", func(t *testing.T) { testDatabase(t, h, p, before, after) })
	t.Run("machine", func(t *testing.T) { testMachine(t, p) })
	t.Run("certificates", func(t *testing.T) { testCertificates(t, h, p) })
	t.Run("backups", func(t *testing.T) { testBackups(t, i, p) })
	t.Run("jobs", func(t *testing.T) { testJobs(t, i, p) })
	t.Run("size", func(t *testing.T) { testSize(t, e) })
}

// testSize keeps the page as small as it was promised for one site.
func testSize(t *testing.T, e *exporter) {
	samples := 0
	for _, family := range e.scrape(t, "/metrics") {
		for _, metric := range family.GetMetric() {
			samples++
			for _, pair := range metric.GetLabel() {
				if pair.GetName() == "site" && pair.GetValue() == "campus" {
					samples--
				}
			}
		}
	}
	if samples > 450 {
		t.Errorf("%d samples for one site, want at most 450", samples)
	}
}
