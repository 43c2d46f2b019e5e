package host

import (
	_ "embed"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

//go:embed testdata/contract.txt
var contractText string

// promise is one line of the contract.
type promise struct{ kind, labels, state string }

func contract(t *testing.T) map[string]promise {
	t.Helper()
	promises := map[string]promise{}
	for line := range strings.Lines(contractText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 4 || !slices.Contains([]string{"shown", "sometimes", "later"}, fields[3]) {
			t.Fatalf("contract.txt: cannot read %q", line)
		}
		promises[fields[0]] = promise{fields[1], strings.ReplaceAll(fields[2], "-", ""), fields[3]}
	}
	return promises
}

// Rules, queries and dashboards stand on these names: none is missing, none is there that was not promised, and each
// has its type and labels on every sample.
func testContract(t *testing.T, text string) {
	families := parse(t, text)
	promises := contract(t)
	for name, p := range promises {
		family := families["moodle_"+name]
		switch {
		case family == nil && p.state == "shown":
			t.Errorf("moodle_%s is missing", name)
		case family != nil && p.state == "later":
			t.Errorf("moodle_%s is built: say so in contract.txt", name)
		case family != nil:
			p.hold(t, family)
		}
	}
	for name := range families {
		short, ours := strings.CutPrefix(name, "moodle_")
		if _, promised := promises[short]; ours && !promised {
			t.Errorf("%s is not in the contract", name)
		}
		if !ours && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "promhttp_") {
			t.Errorf("%s belongs to nobody", name)
		}
	}
}

// hold checks type and labels of every sample.
func (p promise) hold(t *testing.T, family *dto.MetricFamily) {
	t.Helper()
	if kind := strings.ToLower(family.GetType().String()); kind != p.kind {
		t.Errorf("%s is a %s, want %s", family.GetName(), kind, p.kind)
	}
	if family.GetHelp() == "" {
		t.Errorf("%s has no help", family.GetName())
	}
	for _, metric := range family.GetMetric() {
		var names []string
		for _, pair := range metric.GetLabel() {
			names = append(names, pair.GetName())
		}
		slices.Sort(names)
		if got := strings.Join(names, ","); got != p.labels {
			t.Errorf("%s has the labels %q, want %q", family.GetName(), got, p.labels)
		}
	}
}

// promtool finds nothing but the one exception that the contract makes.
func testLint(t *testing.T, text string) {
	stand.Need(t, stand.Prometheus)
	lint := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	lint.Stdin = strings.NewReader(text)
	o := finish(t, lint)
	const exception = `moodle_certificate_days_left use base unit "seconds" instead of "days"`
	if said := strings.TrimSpace(o.stdout + o.stderr); said != exception {
		t.Errorf("promtool says %q", said)
	}
}

// The flags and the label collector have the same names, and every one of them can be switched off.
func TestCollectorNames(t *testing.T) {
	t.Parallel()
	i := theHost(t).install(t, nil)
	e := i.serve(t, "--no-collector.cpu", "--web.disable-exporter-metrics")
	var names []string
	families := e.scrape(t, "/metrics")
	for _, metric := range families["moodle_scrape_collector_success"].GetMetric() {
		names = append(names, metric.GetLabel()[0].GetValue())
	}
	slices.Sort(names)
	want := []string{"activity", "backup", "certificate", "database", "filesystem", "job", "memory", "nginx", "phpfpm", "probe", "redis", "service", "site", "threshold", "web"}
	if !slices.Equal(names, want) {
		t.Errorf("collectors %q, want %q", names, want)
	}
	for name := range families {
		if !strings.HasPrefix(name, "moodle_") || strings.HasPrefix(name, "moodle_host_cpu") || strings.HasPrefix(name, "moodle_host_load") {
			t.Errorf("%s was switched off", name)
		}
	}
	var flags []string
	for _, name := range want {
		flags = append(flags, "--no-collector."+name)
	}
	e = i.serve(t, append(flags, "--no-collector.cpu", "--web.disable-exporter-metrics")...)
	for _, name := range slices.Sorted(maps.Keys(e.scrape(t, "/metrics"))) {
		if !strings.HasPrefix(name, "moodle_exporter_") {
			t.Errorf("without any collector there is %s", name)
		}
	}
}
