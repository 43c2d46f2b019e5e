package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// watched is one exporter that runs for the measurement.
type watched struct {
	name    string
	url     string
	process *exec.Cmd

	page []byte // the last one
}

// exporters are ours, and the two that are usual on such a host as far as they are installed.
type exporters []*watched

func (h *host) startExporters(ctx context.Context) (started exporters, err error) {
	ports := make([]int, 3)
	for i := range ports {
		if ports[i], err = stand.FreePort(); err != nil {
			return nil, err
		}
	}
	listen := func(i int) string { return "--web.listen-address=127.0.0.1:" + strconv.Itoa(ports[i]) }
	ours, err := h.serve(ctx, listen(0))
	if err != nil {
		return nil, err
	}
	options := filepath.Join(h.dir, "mysqld_exporter.cnf")
	if err := os.WriteFile(options, []byte("[client]\nuser="+h.database.RootUser()+"\nsocket="+h.database.Socket+"\n"), 0o600); err != nil {
		return nil, err
	}
	commands := []*exec.Cmd{
		ours,
		exec.CommandContext(ctx, "prometheus-node-exporter", listen(1)),
		exec.CommandContext(ctx, "prometheus-mysqld-exporter", listen(2), "--config.my-cnf="+options),
	}
	commands[2].Env = append(os.Environ(), "DATA_SOURCE_NAME="+h.database.RootUser()+"@unix("+h.database.Socket+")/")
	for i, command := range commands {
		if _, err := exec.LookPath(command.Path); err != nil {
			fmt.Printf("(%s is not installed and is left out)\n", command.Path)
			continue
		}
		if err := command.Start(); err != nil {
			return started, err
		}
		e := &watched{name: filepath.Base(command.Path), url: fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[i]), process: command}
		started = append(started, e)
		sign := ""
		if i == 0 {
			sign = "moodle_database_up{"
		}
		if err := e.await(ctx, sign); err != nil {
			return started, err
		}
	}
	return started, nil
}

func (all exporters) stop() {
	for _, e := range all {
		_ = e.process.Process.Kill()
		_ = e.process.Wait()
	}
}

// await asks until the page holds a text.
func (w *watched) await(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		if _, err := w.scrape(ctx); err == nil && bytes.Contains(w.page, []byte(text)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not show %q: %w", w.name, text, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// scrape asks once, as Prometheus does over a kept connection, and says how many seconds that took.
func (w *watched) scrape(ctx context.Context) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, nil)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", w.url, response.Status)
	}
	w.page, err = io.ReadAll(response.Body)
	return time.Since(start).Seconds(), err
}

// samples counts those of the last page.
func (w *watched) samples() (count int) {
	for line := range bytes.Lines(w.page) {
		if len(line) > 1 && line[0] != '#' {
			count++
		}
	}
	return count
}

// value is that of a sample without labels on the last page, 0 where it is not there.
func (w *watched) value(name string) float64 {
	for line := range bytes.Lines(w.page) {
		if text, found := bytes.CutPrefix(line, []byte(name+" ")); found {
			value, _ := strconv.ParseFloat(string(bytes.TrimSpace(text)), 64)
			return value
		}
	}
	return 0
}

func (w *watched) look() (process, error) { return readProcess(w.process.Process.Pid) }
