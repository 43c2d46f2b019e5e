package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// exporter is a running moodle-exporter serve.
type exporter struct {
	url     string
	process *exec.Cmd
	log     *log
	ended   chan struct{}
}

// log collects output while it is read.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serve starts the exporter on a free port and waits until it is ready.
func (i *installation) serve(t *testing.T, args ...string) *exporter {
	t.Helper()
	port, err := stand.FreePort()
	must(t, err)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	e := i.launch(t, i.command(context.Background(), t, append([]string{"serve", "--web.listen-address=" + address}, args...)...))
	e.url = "http://" + address
	e.await(t, http.DefaultClient)
	return e
}

// launch starts a command that is ended with the test at the latest.
func (i *installation) launch(t *testing.T, command *exec.Cmd) *exporter {
	t.Helper()
	e := &exporter{process: command, log: &log{}, ended: make(chan struct{})}
	command.Stdout, command.Stderr = e.log, e.log
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
	must(t, command.Start())
	go func() { _ = command.Wait(); close(e.ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		<-e.ended
		if t.Failed() {
			t.Logf("the exporter's log:\n%s", e.log)
		}
	})
	return e
}

func (e *exporter) await(t *testing.T, client *http.Client) {
	t.Helper()
	eventually(t, func() error {
		select {
		case <-e.ended:
			t.Fatalf("the exporter ended: %s", e.log)
		default:
		}
		a, err := ask(client, http.MethodGet, e.url+"/-/ready")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
}

// stop ends the exporter as systemd does and returns its exit code.
func (e *exporter) stop(t *testing.T) int {
	t.Helper()
	must(t, e.process.Process.Signal(syscall.SIGTERM))
	eventually(t, func() error {
		select {
		case <-e.ended:
			return nil
		default:
			return fmt.Errorf("the exporter has not ended")
		}
	})
	return e.process.ProcessState.ExitCode()
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends one request; headers are name, value, …
func (e *exporter) ask(method, path string, headers ...string) (answer, error) {
	return ask(http.DefaultClient, method, e.url+path, headers...)
}

func ask(client *http.Client, method, url string, headers ...string) (answer, error) {
	request, err := http.NewRequest(method, url, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body)}, err
}

// get is ask for a page that has to be there.
func (e *exporter) get(t *testing.T, path string, headers ...string) string {
	t.Helper()
	a, err := e.ask(http.MethodGet, path, headers...)
	must(t, err)
	if a.status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	return a.body
}

// page is one scrape, by the full names of the metrics.
type page map[string]*dto.MetricFamily

func (e *exporter) scrape(t *testing.T, path string, headers ...string) page {
	t.Helper()
	return parse(t, e.get(t, path, headers...))
}

func parse(t *testing.T, text string) page {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	must(t, err)
	return families
}

// value is that of the one sample of moodle_<name> with the given labels (name, value, …).
func (p page) value(name string, labels ...string) (float64, error) {
	family := p["moodle_"+name]
	var found []float64
	for _, metric := range family.GetMetric() {
		if hasLabels(metric, labels) {
			found = append(found, metric.GetGauge().GetValue()+metric.GetCounter().GetValue())
		}
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("%d samples of moodle_%s%q", len(found), name, labels)
	}
	return found[0], nil
}

func hasLabels(metric *dto.Metric, labels []string) bool {
	got := map[string]string{}
	for _, pair := range metric.GetLabel() {
		got[pair.GetName()] = pair.GetValue()
	}
	for i := 0; i < len(labels); i += 2 {
		if got[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// want checks one sample.
func (p page) want(t *testing.T, value float64, name string, labels ...string) {
	t.Helper()
	if got, err := p.value(name, labels...); err != nil {
		t.Error(err)
	} else if got != value {
		t.Errorf("moodle_%s%q is %v, want %v", name, labels, got, value)
	}
}

// shows says whether a scrape has the sample.
func (e *exporter) shows(name string, labels ...string) error {
	a, err := e.ask(http.MethodGet, "/metrics", timeoutHeader, "1")
	if err != nil {
		return err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.body))
	if err != nil {
		return err
	}
	_, err = page(families).value(name, labels...)
	return err
}

// descriptors counts the open files of a process.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	must(t, err)
	return len(entries)
}
