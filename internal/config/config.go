// Package config reads the optional YAML file of moodle-exporter. An ordinary host needs none: what the
// file leaves out is found on the host or has a default here. Only a checked configuration can be had.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// DefaultPath is where the configuration is looked for when nobody names it.
const DefaultPath = "/etc/moodle-exporter/moodle-exporter.yml"

// Config is a configuration that was read, filled with defaults and found valid. Load and Parse are the
// only ways to one: its fields are those of the file and cannot be set from outside this package.
type Config struct{ settings }

type settings = file

// DefaultThresholds are the limits that the alert rules and the status page compare with; the file
// overrides them one by one, and no other name is accepted.
var DefaultThresholds = map[string]float64{
	"cpu_busy_ratio":                 0.9,
	"memory_available_ratio":         0.1,
	"disk_free_ratio_warning":        0.15,
	"disk_free_ratio_critical":       0.05,
	"cert_warning_days":              30,
	"cron_max_age_seconds":           900,
	"db_connections_ratio":           0.8,
	"db_threads_running":             40,
	"db_slow_query_ratio":            0.05,
	"db_aborted_connects_per_second": 0.1,
	"db_replication_lag_seconds":     60,
	"web_slow_seconds":               3,
	"task_queue_age_seconds":         3600,
}

// Load reads and checks the file at path. A missing file is an empty one, unless required.
func Load(path string, required bool) (*Config, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the administrator names the file
	if errors.Is(err, fs.ErrNotExist) && !required {
		content, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	config, err := Parse(content)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return config, nil
}

// Parse reads and checks the text of a configuration file.
func Parse(content []byte) (*Config, error) {
	var written file
	if len(bytes.TrimSpace(content)) > 0 {
		if err := decode(content, &written); err != nil && !isEmpty(err) {
			return nil, explain(err)
		}
	}
	written.setDefaults()
	if err := written.check(); err != nil {
		return nil, err
	}
	return &Config{written}, nil
}

// decode reads the text. The library panics on some texts that are no YAML, such as a tag before a mapping, and a typing
// error must not end an exporter that reads its configuration again.
func decode(content []byte, into *file) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("this is not YAML that can be understood (%v)", p)
		}
	}()
	return yaml.NewDecoder(bytes.NewReader(content), yaml.Strict()).Decode(into) //nolint:wrapcheck // explained by the caller
}

// YAML is the effective configuration. It names password files, and holds no password.
func (c *Config) YAML() ([]byte, error) {
	return yaml.Marshal(c.settings)
}

func (f *file) setDefaults() {
	if f.Backup.MaxAge.All == 0 {
		f.Backup.MaxAge.All = Duration(8 * 24 * time.Hour)
	}
	if f.Backup.Keep == (Keep{}) {
		f.Backup.Keep = Keep{Within: Duration(90 * 24 * time.Hour), Last: 3}
	}
	if f.Backup.Nice == nil {
		nice := 10
		f.Backup.Nice = &nice
	}
	if f.Backup.IONice == "" {
		f.Backup.IONice = "best-effort"
	}
	if f.Backup.Zstd.Level == 0 {
		f.Backup.Zstd.Level = 3
	}
	if f.Backup.Dir == "" {
		f.Backup.Dir = defaultBackupDir()
	}
	f.Update.setDefaults()
	f.Maintenance.setDefaults()
	thresholds := make(map[string]float64, len(DefaultThresholds))
	for name, value := range DefaultThresholds {
		thresholds[name] = value
	}
	for name, value := range f.Thresholds {
		thresholds[name] = value
	}
	f.Thresholds = thresholds
}

// defaultBackupDir is where the old scripts put their backups if the host has that place, else our own.
func defaultBackupDir() string {
	if info, err := os.Stat("/backup"); err == nil && info.IsDir() {
		return "/backup/maintenance"
	}
	return "/var/backups/moodle-exporter"
}

func isEmpty(err error) bool { return err.Error() == "EOF" }

// explain turns the YAML library's report into one line with the place, and for an unknown key the
// nearest one that exists.
func explain(err error) error {
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) {
		token := unknown.GetToken()
		return fmt.Errorf("line %d: unknown key %q; did you mean %q?",
			token.Position.Line, token.Value, nearest(token.Value, keysOf(reflect.TypeFor[file](), nil)))
	}
	var syntax yaml.Error
	if errors.As(err, &syntax) && syntax.GetToken() != nil {
		return fmt.Errorf("line %d: %s", syntax.GetToken().Position.Line, syntax.GetMessage())
	}
	return errors.New(strings.SplitN(err.Error(), "\n", 2)[0])
}
