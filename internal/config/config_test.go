package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	full := `
sites:
  - name: lms
    dir: /var/www/moodle
    primary: true
    database:
      admin: {user: root, socket: /run/mysqld/mysqld.sock}
services: [nginx.service]
backup: {max_age: {database: 26h}, keep: {within: 2w}}
thresholds: {cpu_busy_ratio: 0.5}
`
	config, err := Parse([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Duration(config.Backup.MaxAge.Of("database")); got != 26*time.Hour {
		t.Errorf("max_age of database = %v", got)
	}
	if got := time.Duration(config.Backup.MaxAge.Of("files")); got != 8*24*time.Hour {
		t.Errorf("max_age of files = %v, want the default of 8 days", got)
	}
	if config.Thresholds["cpu_busy_ratio"] != 0.5 || config.Thresholds["cert_warning_days"] != 30 {
		t.Errorf("thresholds = %v", config.Thresholds)
	}
}

// TestPriorities: what is not said has a default, and zero is something that can be said.
func TestPriorities(t *testing.T) {
	for content, want := range map[string]string{
		"": "10 best-effort {3 0}",
		"backup: {nice: 0, ionice: none, zstd: {level: 9, threads: 2}}": "0 none {9 2}",
	} {
		config, err := Parse([]byte(content))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintln(*config.Backup.Nice, config.Backup.IONice, config.Backup.Zstd); strings.TrimSpace(got) != want {
			t.Errorf("%q: %s, want %s", content, got, want)
		}
	}
}

func TestParseEmpty(t *testing.T) {
	for _, content := range []string{"", "\n", "# nothing\n", "---\n"} {
		if _, err := Parse([]byte(content)); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// Every mistake is refused with words that lead to it.
func TestParseRefuses(t *testing.T) {
	for content, want := range map[string]string{
		"sitse: []\n":                                     `line 1: unknown key "sitse"; did you mean "sites"?`,
		"\nbackup:\n  max_agee: 8d\n":                     `line 3: unknown key "max_agee"; did you mean "max_age"?`,
		"sites: [{dir: moodle}]":                          "must be an absolute path",
		"sites: [{name: LMS, dir: /m}]":                   "must be lower-case",
		"sites: [{dir: /m, user: root}]":                  "never run as root",
		"sites: [{name: a, dir: /m}, {name: a, dir: /n}]": "used twice",
		"services: [nginx]":                               "not a unit name",
		"certificates: {endpoints: [lms]}":                "must be host:port",
		"backup: {max_age: {databse: 1d}}":                "unknown component",
		"backup: {max_age: soon}":                         "is not a duration",
		"backup: {keep: {within: -1h}}":                   "not a duration",
		"thresholds: {cpu_busy: 0.5}":                     `did you mean "cpu_busy_ratio"?`,
		"thresholds: {cpu_busy_ratio: .nan}":              "is not a limit",
		"backup: {nice: -5}":                              "is not from 0",
		"backup: {nice: 20}":                              "is not from 0",
		"backup: {ionice: realtime}":                      "is not idle",
		"backup: {zstd: {level: 22}}":                     "backup.zstd.level",
		"backup: {zstd: {threads: -1}}":                   "backup.zstd.threads",
		"update: {source: svn}":                           "is not git, archive or none",
		"sites:\n  - dir: [\n":                            "line",
		"services: [a.service]\nservices: [b.service]\n":  "line 2",
	} {
		_, err := Parse([]byte(content))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", content, err, want)
		}
	}
}

func TestSecretNeverPrints(t *testing.T) {
	secret := Secret("hunter2")
	text := fmt.Sprintf("%v %s %+v %#v %q", secret, secret, struct{ S Secret }{secret}, secret, secret)
	if strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}

func TestShowParsesAgain(t *testing.T) {
	config, err := Parse([]byte("backup: {max_age: {database: 26h}}\nsites: [{dir: /m}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := config.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(shown); err != nil {
		t.Errorf("what config show prints is refused: %v\n%s", err, shown)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("sites: [{dir: /m}]\nbackup: {max_age: 8d}\n"))
	f.Fuzz(func(_ *testing.T, content []byte) { _, _ = Parse(content) })
}

// The example says nothing as it is, and is a good configuration once its comment signs are gone.
func TestExample(t *testing.T) {
	var uncommented strings.Builder
	for line := range strings.Lines(Example) {
		if setting, found := strings.CutPrefix(line, "#"); found && !strings.HasPrefix(setting, " ") || strings.HasPrefix(line, "#  ") {
			uncommented.WriteString(setting)
		}
	}
	if !strings.Contains(uncommented.String(), "password_file") {
		t.Fatalf("nothing was uncommented:\n%s", uncommented.String())
	}
	if _, err := Parse([]byte(uncommented.String())); err != nil {
		t.Errorf("%v\n%s", err, uncommented.String())
	}
	silent, err := Parse([]byte(Example))
	if err != nil || len(silent.Sites) != 0 {
		t.Errorf("%v %+v", err, silent)
	}
}
