package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// TestTasksInTheWindow: what users of the site notice waits for the window, and nothing else does.
func TestTasksInTheWindow(t *testing.T) {
	settings, err := config.Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	noticed := []string{"package-upgrades", "service-restarts", "moodle-update"}
	e := &environment{clock: time.Now}
	var named []string
	for _, task := range e.maintenanceTasks(settings, func(context.Context) []*moodle.Site { return nil }) {
		named = append(named, task.Name)
		if want := slices.Contains(noticed, task.Name); task.Disruptive != want {
			t.Errorf("%s waits for the window: %v", task.Name, task.Disruptive)
		}
	}
	if !slices.Equal(named, config.MaintenanceTasks) {
		t.Errorf("the tasks are %v, and those that a configuration may name %v", named, config.MaintenanceTasks)
	}
}
