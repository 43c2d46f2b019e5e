package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// detail stands on the status page for readers who may see it.
const detail = "/tmp"

// TestReload: a good file is taken over, a bad one changes nothing but the gauge, by both ways of reloading.
func TestReload(t *testing.T) {
	t.Parallel()
	i := theHost(t).install(t, nil)
	e := i.serve(t)
	limit := func(t *testing.T, value, successful float64) {
		t.Helper()
		p := e.scrape(t, "/metrics?collect[]=threshold")
		p.want(t, value, "threshold", "name", "cpu_busy_ratio")
		p.want(t, successful, "exporter_config_last_reload_successful")
	}
	limit(t, 0.9, 1)
	started, err := e.scrape(t, "/metrics").value("exporter_config_last_reload_success_timestamp_seconds")
	must(t, err)

	ways := map[string]func(want int, holds string){
		"POST": func(want int, holds string) {
			a, err := e.ask(http.MethodPost, "/-/reload")
			must(t, err)
			if a.status != want || !strings.Contains(a.body, holds) {
				t.Errorf("reload: %d %s, want %d and %q", a.status, a.body, want, holds)
			}
		},
		"SIGHUP": func(int, string) {
			said := strings.Count(e.log.String(), "configuration")
			must(t, e.process.Process.Signal(syscall.SIGHUP))
			eventually(t, func() error {
				if strings.Count(e.log.String(), "configuration") == said {
					return errors.New("nothing in the log")
				}
				return nil
			})
		},
	}
	for name, reload := range ways {
		t.Run(name, func(t *testing.T) {
			i.settings["thresholds"] = object{"cpu_busy_ratio": 0.5}
			must(t, i.write())
			reload(http.StatusOK, "reloaded")
			limit(t, 0.5, 1)
			must(t, os.WriteFile(i.config, []byte("treshholds: {cpu_busy_ratio: 0.1}\n"), 0o600))
			reload(http.StatusInternalServerError, `did you mean "thresholds"`)
			limit(t, 0.5, 0)
			must(t, os.Remove(i.config))
			reload(http.StatusInternalServerError, "no such file")
			limit(t, 0.5, 0)
			i.settings["thresholds"] = object{"cpu_busy_ratio": 0.7}
			must(t, i.write())
			reload(http.StatusOK, "reloaded")
			limit(t, 0.7, 1)
		})
	}
	if last, err := e.scrape(t, "/metrics").value("exporter_config_last_reload_success_timestamp_seconds"); err != nil || last <= started {
		t.Errorf("the time of the last good reload is %v (%v), that of the start %v", last, err, started)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete} {
		a, err := e.ask(method, "/-/reload")
		must(t, err)
		if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != http.MethodPost {
			t.Errorf("%s: %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
}

// TestRequests: what may be asked of the pages, and what not.
func TestRequests(t *testing.T) {
	t.Parallel()
	e := theHost(t).install(t, nil).serve(t)
	tests := []struct {
		method, path string
		headers      []string
		status       int
		holds, lacks string
	}{
		{path: "/-/healthy", holds: "healthy"},
		{path: "/-/ready", holds: "ready"},
		{path: "/", holds: detail},
		{path: "/", headers: []string{"X-Forwarded-For", "192.0.2.7"}, holds: "Is it all right?", lacks: detail},
		{path: "/", headers: []string{"Forwarded", "for=192.0.2.7"}, holds: "Is it all right?", lacks: detail},
		{path: "/", headers: []string{"X-Real-IP", "127.0.0.1"}, lacks: detail},
		{path: "/", headers: []string{"Via", "1.1 proxy"}, lacks: detail},
		{path: "/", headers: []string{"Host", "evil.example"}, lacks: detail},
		{path: "/", headers: []string{"Host", "localhost:1"}, holds: detail},
		{path: "/nonsense", status: 404},
		{path: "/runbooks/MoodleDBDown", holds: "MoodleDBDown"},
		{path: "/runbooks/../moodle-exporter.yml", status: 404},
		{path: "/debug/pprof/", status: 404},
		{method: "POST", path: "/-/reload", headers: []string{"X-Forwarded-For", "192.0.2.7"}, status: 403},
		{method: "POST", path: "/-/reload", headers: []string{"Host", "evil.example"}, status: 403},
		{method: "POST", path: "/-/reload", headers: []string{"Origin", "https://evil.example"}, status: 403},
		{path: "/metrics?collect[]=cpu", holds: "moodle_host_load1", lacks: "moodle_host_memory"},
		{path: "/metrics?collect[]=cpu&collect[]=memory", holds: "moodle_host_memory", lacks: "moodle_cron"},
		{path: "/metrics?exclude[]=cpu", holds: "moodle_host_memory", lacks: "moodle_host_load1"},
		{path: "/metrics?collect[]=cpus", status: 400, holds: "cpus"},
		{path: "/metrics?exclude[]=", status: 400},
		{path: "/metrics?collect[]=cpu&exclude[]=memory", status: 400},
		{path: "/metrics", headers: []string{"Accept", "application/openmetrics-text; version=1.0.0"}, holds: "# EOF"},
		{path: "/metrics", headers: []string{timeoutHeader, "nonsense"}, holds: "moodle_host_load1"},
		{path: "/metrics", headers: []string{timeoutHeader, "-1"}, holds: "moodle_host_load1"},
	}
	for _, test := range tests {
		if test.method == "" {
			test.method = http.MethodGet
		}
		if test.status == 0 {
			test.status = http.StatusOK
		}
		a, err := e.ask(test.method, test.path, test.headers...)
		must(t, err)
		what := fmt.Sprintf("%s %s %q", test.method, test.path, test.headers)
		if a.status != test.status {
			t.Errorf("%s: %d, want %d: %.200s", what, a.status, test.status, a.body)
		}
		if !strings.Contains(a.body, test.holds) {
			t.Errorf("%s: no %q in %.2000s", what, test.holds, a.body)
		}
		if test.lacks != "" && strings.Contains(a.body, test.lacks) {
			t.Errorf("%s shows %q", what, test.lacks)
		}
	}
	if a, err := e.ask(http.MethodGet, "/metrics", "Accept", "application/openmetrics-text; version=1.0.0"); err != nil || !strings.HasPrefix(a.header.Get("Content-Type"), "application/openmetrics-text") {
		t.Errorf("OpenMetrics is answered with %q (%v)", a.header.Get("Content-Type"), err)
	}
}

// TestFromElsewhere asks from an address that is not loopback: in a network of the exporter's own, which has one.
func TestFromElsewhere(t *testing.T) {
	t.Parallel()
	needRoot(t)
	i := theHost(t).install(t, nil)
	const inside = "http://127.0.0.1:10059"
	const outside = "http://198.51.100.7:10059"
	command := i.command(t.Context(), t, "serve", "--web.enable-pprof")
	arguments := append([]string{"--net", "--", "sh", "-c", `ip link set lo up && ip address add 198.51.100.7/32 dev lo && exec "$@"`, "sh"}, command.Args...)
	alone := exec.Command("unshare", arguments...)
	alone.Env, alone.Dir = command.Env, command.Dir
	e := i.launch(t, alone)
	curl := func(url string, options ...string) (status, body string) {
		t.Helper()
		options = append([]string{"-t", fmt.Sprint(alone.Process.Pid), "-n", "--", "curl", "-s", "--max-time", "20", "-w", "\n%{http_code}", url}, options...)
		out, _ := exec.CommandContext(t.Context(), "nsenter", options...).Output()
		text := string(out)
		end := strings.LastIndexByte(text, '\n')
		return text[end+1:], text[:max(end, 0)]
	}
	eventually(t, func() error {
		if status, _ := curl(inside + "/-/ready"); status != "200" {
			return fmt.Errorf("status %q: %s", status, e.log)
		}
		return nil
	})
	for _, test := range []struct{ url, method, status, holds, lacks string }{
		{inside + "/", "GET", "200", detail, "\x00"},
		{outside + "/", "GET", "200", "Is it all right?", detail},
		{outside + "/metrics", "GET", "200", "moodle_host_load1", "\x00"},
		{outside + "/-/healthy", "GET", "200", "healthy", "\x00"},
		{outside + "/-/reload", "POST", "403", "", "\x00"},
		{outside + "/debug/pprof/goroutine?debug=1", "GET", "403", "", "\x00"},
		{inside + "/debug/pprof/goroutine?debug=1", "GET", "200", "goroutine profile", "\x00"},
		{inside + "/-/reload", "POST", "200", "reloaded", "\x00"},
	} {
		status, body := curl(test.url, "-X", test.method)
		if status != test.status || !strings.Contains(body, test.holds) || strings.Contains(body, test.lacks) {
			t.Errorf("%s %s: %s, want %s; %.300s", test.method, test.url, status, test.status, body)
		}
	}
	if status, body := curl(outside+"/", "-H", "Host: localhost"); status != "200" || strings.Contains(body, detail) {
		t.Errorf("who says localhost is let in: %s", status)
	}
}

// TestStatusAgrees: the page and the command have the same verdicts.
func TestStatusAgrees(t *testing.T) {
	t.Parallel()
	i := theHost(t).install(t, nil)
	e := i.serve(t)
	eventually(t, func() error { return e.shows("certificate_probe_success", "target", i.webs[1].Address) })
	o := i.run(t, "status", "--json")
	var report struct {
		Level, Summary string
		Sections       []struct {
			Name, Level string
			Lines       []struct{ Site, Subject, Level string }
		}
	}
	must(t, json.Unmarshal([]byte(o.stdout), &report))
	page := e.get(t, "/")
	if !strings.Contains(page, report.Summary) {
		t.Errorf("the page does not say %q", report.Summary)
	}
	for _, section := range report.Sections {
		for _, line := range section.Lines {
			if !strings.Contains(page, line.Subject) {
				t.Errorf("the page does not have %s %s", section.Name, line.Subject)
			}
		}
	}
	if report.Level != "critical" || o.code != 2 {
		t.Errorf("level %s, exit code %d", report.Level, o.code)
	}
}
