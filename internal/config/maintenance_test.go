package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Nothing said is what harms nobody: the tasks of the day, and no others.
func TestMaintenanceDefaults(t *testing.T) {
	for content, want := range map[string][3][]string{
		"": {{"tmp", "logs", "package-lists"}, {}, {}},
		"maintenance: {daily: {at: '0 1 * * *'}, weekly: {tasks: [backup]}}":   {{"tmp", "logs", "package-lists"}, {"backup"}, {}},
		"maintenance: {daily: {tasks: []}, monthly: {tasks: [certbot-renew]}}": {{}, {}, {"certbot-renew"}},
	} {
		config, err := Parse([]byte(content))
		if err != nil {
			t.Fatal(err)
		}
		m := config.Maintenance
		for i, schedule := range m.Schedules() {
			if !slices.Equal(schedule.Tasks, want[i]) {
				t.Errorf("%q: %s tasks %q, want %q", content, schedule.Name, schedule.Tasks, want[i])
			}
		}
		if m.Window.String() != "02:00-05:00" || m.Weekly.At != "0 3 * * 0" || m.Monthly.At != "0 4 1 * *" {
			t.Errorf("%q: %+v", content, m)
		}
		if !slices.Equal(m.Tmp.Roots, []string{"/tmp", "/var/tmp"}) || m.Tmp.Age.String() != "7d" || !slices.Equal(m.Logs.Roots, []string{"/var/log"}) || m.Logs.Age.String() != "30d" {
			t.Errorf("%q: %+v %+v", content, m.Tmp, m.Logs)
		}
	}
}

func TestMaintenanceRefuses(t *testing.T) {
	for content, want := range map[string]string{
		"{daily: {tasks: [temp]}}":             `maintenance.daily.tasks: unknown task "temp"; did you mean "tmp"?`,
		"{weekly: {tasks: [package-upgrade]}}": `did you mean "package-upgrades"?`,
		"{weekly: {tasks: [prune, prune]}}":    `"prune" is named twice`,
		"{daily: {at: '0 2 * *'}}":             "maintenance.daily.at",
		"{daily: {at: '@every 1h'}}":           "write the hours",
		"{daily: {at: 'TZ=UTC 0 2 * * *'}}":    "leave the time zone out",
		"{daily: {at: 'TZ=0'}}":                "leave the time zone out",
		"{weekly: {at: '0 3 * * 7'}}":          "Sunday is 0",
		"{monthly: {at: '0 4 30 2 *'}}":        "never comes",
		"{window: '02:00'}":                    "is not a part of the day",
		"{window: '2-5'}":                      "is not a part of the day",
		"{window: '02:00-02:30'}":              "shorter than an hour",
		"{window: '02:00-02:00'}":              "shorter than an hour",
		"{window: '24:00-02:00'}":              "is not a part of the day",
		"{tmp: {roots: [/]}}":                  "holds more than what may be cleaned",
		"{tmp: {roots: [/etc/cron.d]}}":        "holds more than what may be cleaned",
		"{logs: {roots: [/var]}}":              "holds more than what may be cleaned",
		"{tmp: {roots: [/tmp/../etc]}}":        "must be written without",
		"{tmp: {roots: [tmp]}}":                "must be an absolute path",
		"{tmp: {age: 1h}}":                     "too short",
		"{tmp: {exclude: ['/tmp/[']}}":         "syntax error in pattern",
		"{restart: [nginx]}":                   "not a unit name",
		"{restart: ['-H.service']}":            "not a unit name",
		"{packages: {securityonly: true}}":     `did you mean "security_only"?`,
	} {
		_, err := Parse([]byte("maintenance: " + content))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", content, err, want)
		}
	}
}

func TestWindowHolds(t *testing.T) {
	for text, inside := range map[string]map[string]bool{
		"02:00-05:00": {"01:59": false, "02:00": true, "04:59": true, "05:00": false},
		"22:00-04:00": {"21:59": false, "22:00": true, "23:59": true, "00:00": true, "03:59": true, "04:00": false, "12:00": false},
		"00:00-24:00": {"00:00": true, "12:00": true, "23:59": true},
	} {
		var window Window
		if err := window.UnmarshalText([]byte(text)); err != nil || window.String() != text {
			t.Fatal(window, err)
		}
		for at, want := range inside {
			sinceMidnight, err := ofDay(at)
			if err != nil || window.Holds(sinceMidnight) != want || window.Holds(sinceMidnight+30*time.Second) != want {
				t.Errorf("%s at %s: want %v (%v)", text, at, want, err)
			}
		}
	}
}

// An empty list of tasks, which is not the default, is still there after config show.
func TestMaintenanceIsShownWhole(t *testing.T) {
	config, err := Parse([]byte("maintenance: {window: '22:00-04:00', daily: {tasks: []}}"))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := config.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(shown)
	if err != nil || len(again.Maintenance.Daily.Tasks) != 0 || again.Maintenance.Window.String() != "22:00-04:00" {
		t.Errorf("%v\n%s", err, shown)
	}
}
