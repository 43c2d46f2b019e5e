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
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// watched is one exporter that runs for the measurement.
type watched struct {
	name    string
	url     string
	process *exec.Cmd

	times          []float64 // seconds
	bytes, samples int
	cpuBefore      float64
}

// benchScrape asks ours and the two usual exporters in turn.
func (h *host) benchScrape(ctx context.Context) error {
	exporters, err := h.startExporters(ctx)
	for _, e := range exporters {
		defer func() {
			_ = e.process.Process.Kill()
			_ = e.process.Wait()
		}()
	}
	if err != nil {
		return err
	}
	const warmup = 5
	for i := range h.scrapes + warmup {
		for _, e := range exporters {
			if i == warmup {
				e.times, e.cpuBefore = nil, cpuOf(e.process.Process.Pid)
			}
			if err := e.scrape(ctx); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%-44s %10s %10s %10s %10s %12s\n", fmt.Sprintf("scrape, median of %d in turn", h.scrapes), "ms", "bytes", "samples", "rss MB", "cpu ms each")
	for _, e := range exporters {
		fmt.Printf("%-44s %10.2f %10d %10d %10d %12.2f\n", e.name, median(e.times)*1000, e.bytes, e.samples,
			rssOf(e.process.Process.Pid)>>20, (cpuOf(e.process.Process.Pid)-e.cpuBefore)*1000/float64(h.scrapes))
	}
	if len(exporters) == 3 {
		theirs := median(exporters[1].times) + median(exporters[2].times)
		fmt.Printf("ratio of one scrape to node_exporter + mysqld_exporter: %.2f of their time, %.2f of their samples\n",
			median(exporters[0].times)/theirs, float64(exporters[0].samples)/float64(exporters[1].samples+exporters[2].samples))
	}
	return nil
}

func (h *host) startExporters(ctx context.Context) ([]*watched, error) {
	ports := make([]int, 3)
	for i := range ports {
		var err error
		if ports[i], err = stand.FreePort(); err != nil {
			return nil, err
		}
	}
	listen := func(i int) string { return "--web.listen-address=127.0.0.1:" + strconv.Itoa(ports[i]) }
	options := filepath.Join(h.dir, "mysqld_exporter.cnf")
	if err := os.WriteFile(options, []byte("[client]\nuser="+h.database.RootUser()+"\nsocket="+h.database.Socket+"\n"), 0o600); err != nil {
		return nil, err
	}
	commands := []*exec.Cmd{
		h.exporter(ctx, "serve", listen(0)),
		exec.CommandContext(ctx, "prometheus-node-exporter", listen(1)),
		exec.CommandContext(ctx, "prometheus-mysqld-exporter", listen(2), "--config.my-cnf="+options),
	}
	commands[2].Env = append(os.Environ(), "DATA_SOURCE_NAME="+h.database.RootUser()+"@unix("+h.database.Socket+")/")
	var started []*watched
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
		if err := e.wait(ctx); err != nil {
			return started, err
		}
	}
	return started, nil
}

// wait until the exporter answers; ours also until its first look has found the site.
func (w *watched) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		page, err := get(ctx, w.url)
		if err == nil && (!strings.HasPrefix(w.name, "moodle") || bytes.Contains(page, []byte("moodle_database_up{"))) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", w.name, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (w *watched) scrape(ctx context.Context) error {
	start := time.Now()
	page, err := get(ctx, w.url)
	if err != nil {
		return err
	}
	w.times = append(w.times, time.Since(start).Seconds())
	w.bytes, w.samples = len(page), 0
	for line := range bytes.Lines(page) {
		if len(line) > 1 && line[0] != '#' {
			w.samples++
		}
	}
	return nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}

// cpuOf is the processor time that a process has used, in seconds (/proc/PID/stat, fields 14 and 15).
func cpuOf(pid int) float64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	user, _ := strconv.ParseFloat(string(fields[11]), 64)
	system, _ := strconv.ParseFloat(string(fields[12]), 64)
	const ticks = 100 // USER_HZ, fixed on Linux
	return (user + system) / ticks
}

func rssOf(pid int) int64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(string(bytes.Fields(content)[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}
