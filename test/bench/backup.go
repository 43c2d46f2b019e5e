package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a finished program took.
type usage struct {
	wall, cpu time.Duration
	rss       int64 // its peak, bytes, without that of programs that it started
}

func measure(command *exec.Cmd) (usage, error) {
	start := time.Now()
	if err := command.Start(); err != nil {
		return usage{}, err
	}
	ended, peak := make(chan struct{}), make(chan int64)
	go func() {
		// Not ru_maxrss: that counts the memory of this program as well, from which the other one was started.
		var rss int64
		for {
			rss = max(rss, peakOf(command.Process.Pid))
			select {
			case <-ended:
				peak <- rss
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	err := command.Wait()
	wall := time.Since(start)
	close(ended)
	if err != nil {
		err = fmt.Errorf("%v: %w", command.Args, err)
	}
	return usage{wall: wall, cpu: command.ProcessState.UserTime() + command.ProcessState.SystemTime(), rss: <-peak}, err
}

// peakOf is what the kernel says was the most memory of a process so far (VmHWM), 0 for one that has ended.
func peakOf(pid int) int64 {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// benchBackup takes old and new in turn: the old scripts' pipelines, a first backup, a repeat with one
// percent of new files.
func (h *host) benchBackup(ctx context.Context) error {
	var old, first, repeat []usage
	for range h.rounds {
		for _, one := range []struct {
			into *[]usage
			run  func(context.Context) (usage, error)
		}{{&old, h.oldPipelines}, {&first, h.firstBackup}, {&repeat, h.repeatBackup}} {
			figure, err := one.run(ctx)
			if err != nil {
				return err
			}
			*one.into = append(*one.into, figure)
		}
	}
	fmt.Printf("%-44s %10s %10s %10s\n", "backup, median of rounds in turn", "wall s", "cpu s", "rss MB")
	line := func(name string, figures []usage) time.Duration {
		var wall, cpu []float64
		var rss []int64
		for _, f := range figures {
			wall, cpu, rss = append(wall, f.wall.Seconds()), append(cpu, f.cpu.Seconds()), append(rss, f.rss)
		}
		fmt.Printf("%-44s %10.2f %10.2f %10d\n", name, median(wall), median(cpu), median(rss)>>20)
		return time.Duration(median(wall) * float64(time.Second))
	}
	was := line("mariadb-dump | gzip + tar -czf (code, data)", old)
	now := line("moodle-exporter backup, first", first)
	again := line("moodle-exporter backup, repeat with 1 % new", repeat)
	fmt.Println()
	show("budgets of a backup",
		budget{what: "first one, times as fast as the old pipelines", measured: float64(was) / float64(now), limit: 5, atLeast: true},
		budget{what: "repeat, times as fast as the old pipelines", measured: float64(was) / float64(again), limit: 30, atLeast: true},
		budget{what: "most memory of the process, MB", measured: float64(max(largest(first), largest(repeat))) / 1e6, limit: 120})
	return nil
}

// oldPipelines is what the scripts did, without logs and /etc, which weigh nothing.
func (h *host) oldPipelines(ctx context.Context) (usage, error) {
	to := filepath.Join(h.dir, "old")
	defer func() { _ = os.RemoveAll(to) }()
	if err := os.MkdirAll(to, 0o700); err != nil {
		return usage{}, err
	}
	script := `set -e
mariadb-dump --no-defaults -S "$1" -u "$2" --single-transaction --routines --triggers --events --hex-blob --opt "$3" | gzip >"$4/db.sql.gz"
tar -czf "$4/code.tar.gz" -C "$(dirname "$5")" "$(basename "$5")"
tar -czf "$4/data.tar.gz" -C "$(dirname "$6")" "$(basename "$6")"`
	return measure(exec.CommandContext(ctx, "sh", "-c", script, "old", h.database.Socket, h.database.RootUser(), h.site.Database, to, h.site.CodeDir, h.site.Dataroot))
}

func (h *host) firstBackup(ctx context.Context) (usage, error) {
	if err := os.RemoveAll(h.backups); err != nil {
		return usage{}, err
	}
	return measure(h.exporter(ctx, "backup"))
}

func (h *host) repeatBackup(ctx context.Context) (usage, error) {
	if err := h.addFiles(h.files/100, h.bytes/100); err != nil {
		return usage{}, err
	}
	return measure(h.exporter(ctx, "backup"))
}

// largest is the most memory that any of the programs took.
func largest(figures []usage) (rss int64) {
	for _, f := range figures {
		rss = max(rss, f.rss)
	}
	return rss
}
