package statuspage_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/moodle-exporter/moodle-exporter/internal/probe"
	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC)

var brokenExtras = statuspage.Extras{
	Version: "0.3.0",
	Problems: []string{
		"config.php of /var/www/old cannot be read: permission denied. Give root the right to read it, or leave the site out with sites:.",
	},
	Jobs: []statuspage.JobError{
		{Site: "lms", Job: "backup", Text: "dump database moodle: Access denied for user 'root'@'localhost' <script>alert(2)</script>\x1b[2J"},
		{Site: "_host", Job: "maintain", Text: "step temporary files: permission denied"},
	},
	Exposed: []statuspage.Exposed{{Site: "lms", Exposed: probe.Exposed{
		Path: "/backup/maintenance/lms", Holds: "the backups of the site: its database, its files, its passwords", Who: "every account of this host",
		Do: "chown root:root /backup/maintenance/lms && chmod 0700 /backup/maintenance/lms", Grave: true,
	}}},
	Past: []statuspage.JobError{{Site: "lms", Job: "verify", Text: "disk full", Ended: now.Add(-50 * time.Hour)}},
	Collectors: map[string]string{
		"database": "connect to /run/mysqld/mysqld.sock: connection refused",
		"phpfpm":   "PHP-FPM 8.2, pool api: pm.status_listen is not set in /etc/php/8.2/fpm/pool.d/api.conf",
	},
}

// moment is a value that is so many seconds after the time of the test.
var moment = regexp.MustCompile(`(?m) @(-?[0-9]+)$`)

// parse reads a text exposition; without TYPE lines its metrics are untyped.
func parse(t testing.TB, text string, at time.Time) []*dto.MetricFamily {
	t.Helper()
	text = regexp.MustCompile(`(?m)^\s+`).ReplaceAllString(text, "")
	text = moment.ReplaceAllStringFunc(text, func(found string) string {
		after, err := strconv.ParseInt(found[2:], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(" %d", at.Unix()+after)
	})
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(strings.TrimSpace(text) + "\n"))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var sorted []*dto.MetricFamily
	for _, family := range families {
		sorted = append(sorted, family)
	}
	return sorted
}

func families(t testing.TB, name string) []*dto.MetricFamily {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".prom"))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text), now)
}

func load(t testing.TB, name string, extras statuspage.Extras) statuspage.Report {
	t.Helper()
	return statuspage.Evaluate(families(t, name), extras, now)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (write it anew with -update):\n%s", path, got)
	}
}

func TestText(t *testing.T) {
	for name, extras := range map[string]statuspage.Extras{"healthy": {Version: "0.3.0"}, "broken": brokenExtras} {
		var out bytes.Buffer
		if err := statuspage.WriteText(&out, load(t, name, extras), false); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", out.Bytes())
	}
}
