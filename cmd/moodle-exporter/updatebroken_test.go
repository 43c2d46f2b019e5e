package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// An update that was killed is ended by the hourly timer. One that is at work is left alone, and one that could not be
// undone waits for whoever mends what its error names.
func TestBrokenUpdatesAreEnded(t *testing.T) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		record job.Record
		ended  bool
	}{
		"killed":               {job.Record{State: job.Running, PID: 1, PIDStart: 1, BootID: strings.TrimSpace(string(boot))}, true},
		"the host went down":   {job.Record{State: job.Running, PID: os.Getpid(), BootID: "another"}, true},
		"ended with an error":  {job.Record{State: job.Failed}, false},
		"stopped by somebody":  {job.Record{State: job.Interrupted}, false},
		"that of another kind": {job.Record{Job: "restore", State: job.Running, PID: 1, BootID: "another"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.record.Format, c.record.Site, c.record.ID = 1, "lms", "20261122T000000Z"
			if c.record.Job == "" {
				c.record.Job = "update"
			}
			record, err := json.Marshal(c.record)
			if err != nil {
				t.Fatal(err)
			}
			// A journal that no version understands tells whether anybody has asked for it.
			for path, content := range map[string]string{"jobs/lms/" + c.record.Job + ".json": string(record), "update/lms/20261122T000000Z.json": `{"format":99,"site":"lms"}`} {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			e := &environment{stateDir: dir}
			if err := e.endBroken(t.Context(), &config.Config{}); (err != nil) != c.ended {
				t.Errorf("ended %v, want %v (%v)", err != nil, c.ended, err)
			}
		})
	}
}
