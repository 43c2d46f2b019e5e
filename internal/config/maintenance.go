package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Maintenance says when housekeeping runs and what it may do.
type Maintenance struct {
	Window  Window   `yaml:"window,omitempty"` // in which services may be disturbed
	Daily   Schedule `yaml:"daily,omitempty"`
	Weekly  Schedule `yaml:"weekly,omitempty"`
	Monthly Schedule `yaml:"monthly,omitempty"`

	Tmp      Cleaning `yaml:"tmp,omitempty"`
	Logs     Cleaning `yaml:"logs,omitempty"`
	Packages Packages `yaml:"packages,omitempty"`
	// Restart are the units of the task service-restarts, in this order; none means those that are found.
	Restart []string `yaml:"restart,omitempty"`
}

// Schedule is a cron expression in the host's local time, and the tasks that it starts.
type Schedule struct {
	At    string   `yaml:"at,omitempty"`
	Tasks []string `yaml:"tasks"` // an empty list is none, no list the default
}

// Cleaning says what of the files below Roots may go.
type Cleaning struct {
	Roots   []string `yaml:"roots,omitempty"`
	Age     Duration `yaml:"age,omitempty"`     // untouched for so long
	Exclude []string `yaml:"exclude,omitempty"` // patterns of filepath.Match for whole paths; what lies below stays too
}

// Packages says what the tasks package-lists and package-upgrades may do.
type Packages struct {
	SecurityOnly bool `yaml:"security_only,omitempty"`
	// Wait is how long another user of the package manager is waited for.
	Wait Duration `yaml:"wait,omitempty"`
}

// MaintenanceTasks are all that a schedule can name, in the order in which they run.
var MaintenanceTasks = []string{
	"tmp", "logs", "package-lists", "backup", "package-upgrades", "service-restarts", "moodle-update", "certbot-renew", "prune", "verify", "drill",
}

// NamedSchedule is one of the schedules with its name: daily, weekly or monthly.
type NamedSchedule struct {
	Name string
	Schedule
}

// Schedules are all three, the most frequent first.
func (m Maintenance) Schedules() []NamedSchedule {
	return []NamedSchedule{{"daily", m.Daily}, {"weekly", m.Weekly}, {"monthly", m.Monthly}}
}

// Names says whether a schedule names the task, and which.
func (m Maintenance) Names(task string) (schedule string, named bool) {
	for _, s := range m.Schedules() {
		if slices.Contains(s.Tasks, task) {
			return s.Name, true
		}
	}
	return "", false
}

// ParseCron reads the five fields of a cron expression, or @daily and its like. It has no time zone of its own.
func ParseCron(text string) (*cron.SpecSchedule, error) {
	if strings.Contains(text, "TZ=") {
		return nil, fmt.Errorf("%q: schedules are in the local time of the host; leave the time zone out", text)
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no cron expression such as 0 2 * * * (Sunday is 0): %w", text, err)
	}
	schedule, fields := parsed.(*cron.SpecSchedule)
	if !fields {
		return nil, fmt.Errorf("%q: write the hours at which it runs, such as 0 2 * * *", text)
	}
	schedule.Location = time.UTC
	if schedule.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%q is a date that never comes", text)
	}
	return schedule, nil
}

func (m *Maintenance) setDefaults() {
	if m.Window == (Window{}) {
		m.Window = Window{From: 2 * time.Hour, Until: 5 * time.Hour}
	}
	for _, d := range []struct {
		schedule *Schedule
		at       string
		tasks    []string
	}{
		// Only what does no harm on a host whose administrator has said nothing.
		{&m.Daily, "0 2 * * *", []string{"tmp", "logs", "package-lists"}},
		{&m.Weekly, "0 3 * * 0", []string{}},
		{&m.Monthly, "0 4 1 * *", []string{}},
	} {
		if d.schedule.At == "" {
			d.schedule.At = d.at
		}
		if d.schedule.Tasks == nil {
			d.schedule.Tasks = d.tasks
		}
	}
	m.Tmp.setDefaults(7*24*time.Hour, "/tmp", "/var/tmp")
	m.Logs.setDefaults(30*24*time.Hour, "/var/log")
	if m.Packages.Wait == 0 {
		m.Packages.Wait = Duration(10 * time.Minute)
	}
}

func (c *Cleaning) setDefaults(age time.Duration, roots ...string) {
	if c.Age == 0 {
		c.Age = Duration(age)
	}
	if c.Roots == nil {
		c.Roots = roots
	}
}

func (m *Maintenance) check() error {
	problems := []error{m.Tmp.check("maintenance.tmp"), m.Logs.check("maintenance.logs")}
	for _, schedule := range m.Schedules() {
		at := "maintenance." + schedule.Name
		if _, err := ParseCron(schedule.At); err != nil {
			problems = append(problems, fmt.Errorf("%s.at: %w", at, err))
		}
		for i, task := range schedule.Tasks {
			switch {
			case !slices.Contains(MaintenanceTasks, task):
				problems = append(problems, fmt.Errorf("%s.tasks: unknown task %q; did you mean %q?", at, task, nearest(task, MaintenanceTasks)))
			case slices.Contains(schedule.Tasks[:i], task):
				problems = append(problems, fmt.Errorf("%s.tasks: %q is named twice", at, task))
			}
		}
	}
	for i, unit := range m.Restart {
		problems = append(problems, checkUnit(fmt.Sprintf("maintenance.restart[%d]", i), unit))
	}
	return errors.Join(problems...)
}

// ownedBySystem are directories, and parents of directories, that no housekeeping may take for its own.
var ownedBySystem = []string{
	"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var/lib",
}

// tooWide are directories of which only parts may be cleaned.
var tooWide = []string{"/", "/home", "/media", "/mnt", "/opt", "/srv", "/var", "/var/backups", "/var/cache", "/var/mail", "/var/spool", "/var/www", "/backup"}

func (c *Cleaning) check(at string) error {
	var problems []error
	for i, root := range c.Roots {
		place := fmt.Sprintf("%s.roots[%d]", at, i)
		err := absolute(place, root, true)
		switch {
		case err != nil:
		case filepath.Clean(root) != root:
			err = fmt.Errorf("%s: %q must be written without '..', '.' and needless slashes", place, root)
		case slices.Contains(tooWide, root) || slices.ContainsFunc(ownedBySystem, func(dir string) bool { return root == dir || strings.HasPrefix(root, dir+"/") }):
			err = fmt.Errorf("%s: %s holds more than what may be cleaned away; name a directory of temporary files or logs", place, root)
		}
		problems = append(problems, err)
	}
	for i, pattern := range c.Exclude {
		place := fmt.Sprintf("%s.exclude[%d]", at, i)
		problems = append(problems, absolute(place, pattern, true))
		if _, err := filepath.Match(pattern, "x"); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", place, err))
		}
	}
	if time.Duration(c.Age) < 24*time.Hour {
		problems = append(problems, fmt.Errorf("%s.age: %s is too short: what was used within a day is not left over", at, c.Age))
	}
	return errors.Join(problems...)
}
