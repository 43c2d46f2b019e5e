package boot_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// page is one scrape.
type page map[string]*dto.MetricFamily

func scrape(ctx context.Context, m *boot.Machine) (page, error) {
	text, err := m.Get(ctx, boot.MetricsURL)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	return families, err
}

// value is that of the one sample with the given labels (name, value, …); others may be there as well.
func (p page) value(name string, labels ...string) (float64, error) {
	family, found := p["moodle_"+name]
	if !found {
		return 0, fmt.Errorf("no metric moodle_%s", name)
	}
	var values []float64
	for _, metric := range family.Metric {
		if hasLabels(metric, labels) {
			values = append(values, metric.GetGauge().GetValue()+metric.GetCounter().GetValue())
		}
	}
	if len(values) != 1 {
		return 0, fmt.Errorf("%d samples of moodle_%s%q", len(values), name, labels)
	}
	return values[0], nil
}

func hasLabels(metric *dto.Metric, labels []string) bool {
	got := map[string]string{}
	for _, pair := range metric.Label {
		got[pair.GetName()] = pair.GetValue()
	}
	for i := 0; i < len(labels); i += 2 {
		if got[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// sample is what a scrape has to hold.
type sample struct {
	name   string
	labels []string
	want   float64
}

// differences are the samples that are not as wanted.
func (p page) differences(samples []sample) error {
	var wrong []string
	for _, s := range samples {
		got, err := p.value(s.name, s.labels...)
		if err != nil {
			wrong = append(wrong, err.Error())
		} else if math.Abs(got-s.want) > 1e-9 {
			wrong = append(wrong, fmt.Sprintf("moodle_%s%q is %v, want %v", s.name, s.labels, got, s.want))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// awaitSamples scrapes until every sample is as wanted.
func awaitSamples(t *testing.T, m *boot.Machine, samples []sample) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := m.Poll(ctx, func(ctx context.Context) error {
		got, err := scrape(ctx, m)
		if err != nil {
			return err
		}
		return got.differences(samples)
	})
	if err != nil {
		t.Errorf("%v\njournal of the exporter: %s\nand of the probe: %s", err,
			m.Journal(t.Context(), "moodle-exporter.service"), m.Journal(t.Context(), "moodle-exporter-probe.service"))
	}
}
