package control

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func TestCronWaits(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{})
	c := p.cli()
	// A task that takes its time, by a cron.php that stays for a minute.
	p.exec(`INSERT INTO {task_adhoc} (component, classname, nextruntime, faildelay, customdata, timecreated, attemptsavailable) VALUES ('moodle', '\\standin\\sleep_3', 1, 0, '{}', 1, 12)`)
	cron := p.CLI(t.Context(), "cron", "--keep-alive=60")
	must(t, cron.Start())
	ended := make(chan error, 1)
	go func() { ended <- cron.Wait() }()
	await(t, "the task", func() bool { return p.value("SELECT COUNT(*) FROM {task_adhoc} WHERE timestarted IS NOT NULL") == "1" })
	err := c.CronDisableWait(t.Context(), 1)
	var busy *BusyError
	if !errors.Is(err, ErrCronBusy) || !errors.As(err, &busy) || !slices.Equal(busy.Tasks, []string{`\standin\sleep_3`}) || len(busy.Workers) != 1 || busy.Workers[0].PID != cron.Process.Pid {
		t.Errorf("%v: %+v", err, busy)
	}
	must(t, c.CronDisableWait(t.Context(), 30))
	select {
	case <-ended:
	default:
		t.Error("cron.php is still there")
	}
	if enabled := p.value("SELECT value FROM {config} WHERE name = 'cron_enabled'"); enabled != "0" {
		t.Errorf("cron_enabled is %q", enabled)
	}
	must(t, c.CronEnable(t.Context()))
	if enabled := p.value("SELECT value FROM {config} WHERE name = 'cron_enabled'"); enabled != "1" {
		t.Errorf("cron_enabled is %q", enabled)
	}
}

// Workers are found as crontabs start them, and those of another site are not.
func TestWorkers(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{})
	p.edit("admin/cli/cron.php", "<?php", "<?php sleep(1000);")
	must(t, os.WriteFile(filepath.Join(p.CodeDir, "admin/cli/adhoc_task.php"), []byte("<?php sleep(1000);"), 0o644))
	other := *p.site
	other.Dir, other.Link = "/nonexistent", "/nonexistent"
	var started []int
	for _, command := range []*exec.Cmd{p.PHP(t.Context(), "admin/cli/cron.php"), p.CLI(t.Context(), "adhoc_task", "--execute"), p.PHP(t.Context(), "-r", "sleep(1000);", "cron.php")} {
		must(t, command.Start())
		started = append(started, command.Process.Pid)
		defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
	}
	await(t, "both", func() bool {
		found, err := Workers(procRoot, p.site)
		must(t, err)
		return len(found) == 2 && found[0] != found[1] && slices.Contains(started[:2], found[0].PID) && slices.Contains(started[:2], found[1].PID)
	})
	if found, err := Workers(procRoot, &other); err != nil || len(found) > 0 {
		t.Errorf("another site's: %v, %v", found, err)
	}
}
