package alerts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func example(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "docs", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// The pages show the files as they are.
func TestPagesShowTheExamples(t *testing.T) {
	pages := map[string]string{}
	for _, name := range []string{"README.md", "docs/monitoring.md"} {
		page, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = string(page)
	}
	for name, page := range map[string]string{
		"prometheus.yml": "README.md", "alertmanager.sh": "README.md", "grafana.yml": "README.md", "grafana-datasource.yml": "docs/monitoring.md",
	} {
		if !strings.Contains(pages[page], "\n"+example(t, name)+"```\n") {
			t.Errorf("%s does not show %s as it is", page, name)
		}
	}
	for name := range config.DefaultThresholds {
		if !strings.Contains(pages["docs/monitoring.md"], name) {
			t.Errorf("docs/monitoring.md does not tell of the limit %s", name)
		}
	}
}

// Prometheus takes the example as it is written, with the exported rules where it looks for them.
func TestPrometheusExample(t *testing.T) {
	stand.Need(t, stand.Prometheus)
	dir := t.TempDir()
	export(t, filepath.Join(dir, "moodle"))
	text := strings.ReplaceAll(example(t, "prometheus.yml"), "/etc/prometheus", dir)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, ok := runTool(t, dir, "promtool", "check", "config", "prometheus.yml")
	if files := len(ruleFiles(t)); !ok || strings.Count(out, "rules found") != files {
		t.Errorf("promtool (%d rule files): %s", files, out)
	}
}

// The commands are run as they are written, but for the paths and the restart.
func TestAlertmanagerExample(t *testing.T) {
	stand.Need(t, stand.Alertmanager)
	dir := t.TempDir()
	script := strings.NewReplacer("/etc/", dir+"/", "moodle-exporter alerts", "moodle_exporter alerts", "systemctl restart", "echo").Replace(example(t, "alertmanager.sh"))
	if err := os.MkdirAll(filepath.Join(dir, "default"), 0o700); err != nil {
		t.Fatal(err)
	}
	export(t, filepath.Join(dir, "prometheus", "moodle")) // what the first command does; test/live does it with the binary
	if out, ok := runTool(t, dir, "sh", "-euc", "moodle_exporter() { :; }\n"+script); !ok || !strings.Contains(out, "SUCCESS") {
		t.Errorf("%s", out)
	}
	edited, err := os.ReadFile(filepath.Join(dir, "prometheus", "moodle", "alertmanager.yml"))
	if err != nil || strings.Contains(string(edited), "root@localhost") || !strings.Contains(string(edited), "admin@example.org") {
		t.Errorf("the addresses were not edited: %v", err)
	}
}

// Grafana's provisioning files have the keys that its documentation asks for, and no others.
func TestGrafanaExamples(t *testing.T) {
	var dashboards struct {
		Version   int `yaml:"apiVersion"`
		Providers []struct {
			Name    string `yaml:"name"`
			Folder  string `yaml:"folder"`
			Type    string `yaml:"type"`
			Update  int    `yaml:"updateIntervalSeconds"`
			Options struct {
				Path string `yaml:"path"`
			} `yaml:"options"`
		} `yaml:"providers"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(example(t, "grafana.yml")), &dashboards, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if dashboards.Version != 1 || len(dashboards.Providers) != 1 || dashboards.Providers[0].Type != "file" || !strings.HasPrefix(dashboards.Providers[0].Options.Path, "/") {
		t.Errorf("%+v", dashboards)
	}
	if !strings.Contains(example(t, "grafana.yml"), "dashboards export "+dashboards.Providers[0].Options.Path) {
		t.Error("the dashboards are exported to another directory than they are read from")
	}
	var sources struct {
		Version int `yaml:"apiVersion"`
		Sources []struct {
			Name     string         `yaml:"name"`
			Type     string         `yaml:"type"`
			Access   string         `yaml:"access"`
			URL      string         `yaml:"url"`
			JSONData map[string]any `yaml:"jsonData"`
		} `yaml:"datasources"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(example(t, "grafana-datasource.yml")), &sources, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if sources.Version != 1 || len(sources.Sources) != 1 || sources.Sources[0].Type != "prometheus" || sources.Sources[0].Access != "proxy" {
		t.Errorf("%+v", sources)
	}
}
