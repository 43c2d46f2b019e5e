package alerts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// matcherExamples are, for each matcher that is about more than names of alerts, values that pass and values that do not.
// Maintenance with a site and without one are two inhibitions, of which one always applies.
var matcherExamples = map[string]struct{ passes, fails []string }{
	`site!=""`:                    {passes: []string{"lms"}},
	`site=""`:                     {passes: []string{""}},
	`muted_by_maintenance="true"`: {[]string{"true"}, []string{"", "false"}},
	`collector="redis"`:           {[]string{"redis"}, []string{"site"}},
	`collector="phpfpm"`:          {[]string{"phpfpm"}, []string{"site"}},
	`collector="nginx"`:           {[]string{"nginx"}, []string{"site"}},
	`name="verify"`:               {[]string{"verify"}, []string{"copy"}},
	`unit="nginx.service"`:        {[]string{"nginx.service"}, []string{"cron.service"}},
	`unit=~"(mariadb|mysql|mysqld)(@.*)?\\.service"`:   {[]string{"mysql.service", "mariadb@second.service"}, []string{"mysql-exporter.service"}},
	`unit=~"(redis|valkey)(-server)?(@.*)?\\.service"`: {[]string{"valkey.service", "redis-server@a.service"}, []string{"redis-exporter.service"}},
	`unit=~"php.*fpm.*\\.service"`:                     {[]string{"php8.2-fpm.service"}, []string{"phpsessionclean.service"}},
	`unit=~"(nginx|apache2|httpd)\\.service"`:          {[]string{"apache2.service"}, []string{"apache-htcacheclean.service"}},
	`server=~"(unix:)?/.*|(localhost|127\\..*|\\[?::1\\]?)(:[0-9]+)?"`: {
		[]string{"/run/server.sock", "unix:/run/server.sock", "localhost", "127.0.0.1:3306", "[::1]:6379"}, []string{"db.example.org:3306", "localhost.example.org"},
	},
}

// beside is an alert and another one, which may keep it back, on a host that has no others.
type beside struct {
	title          string
	source, target map[string]string
	inhibited      bool
}

// besides are, of each inhibition and each alert that it is about: the pair that is meant, and others that differ from it
// by one label under equal, or by one that a matcher asks for.
func besides(t *testing.T) []beside {
	t.Helper()
	labels := alertLabels(t)
	var found []beside
	for _, inhibit := range inhibitions(t) {
		for _, targetName := range names(t, inhibit.Target, labels) {
			meant := beside{inhibited: true}
			meant.source, meant.target = maps.Clone(labels[names(t, inhibit.Source, labels)[0]]), maps.Clone(labels[targetName])
			add := func(what string, inhibited bool, change func(b beside)) {
				b := beside{
					title:  fmt.Sprintf("%s beside %s: %s", targetName, meant.source["alertname"], what),
					source: maps.Clone(meant.source), target: maps.Clone(meant.target), inhibited: inhibited,
				}
				change(b)
				host := fmt.Sprintf("host%d", len(found))
				for _, side := range []map[string]string{b.source, b.target} {
					side["instance"] = host + strings.TrimPrefix(side["instance"], meant.source["instance"])
				}
				found = append(found, b)
			}
			for _, label := range inhibit.Equal {
				meant.target[label] = meant.source[label]
			}
			var others []func()
			examples := func(matchers []string, side func(b beside) map[string]string) {
				for _, m := range matchers {
					label := strings.FieldsFunc(m, func(r rune) bool { return strings.ContainsRune("=!~", r) })[0]
					if label == "alertname" {
						continue
					}
					example, known := matcherExamples[m]
					if !known {
						t.Fatalf("matcher %s: no examples", m)
					}
					side(meant)[label] = example.passes[0]
					for i, value := range slices.Concat(example.passes, example.fails) {
						others = append(others, func() {
							add(label+" "+value, i < len(example.passes), func(b beside) { side(b)[label] = value })
						})
					}
				}
			}
			examples(inhibit.Source, func(b beside) map[string]string { return b.source })
			examples(inhibit.Target, func(b beside) map[string]string { return b.target })
			add("as meant", true, func(beside) {})
			for _, other := range others {
				other()
			}
			for _, label := range inhibit.Equal {
				add("another "+label, false, func(b beside) { b.target[label] += "-other" })
			}
		}
	}
	return found
}

// TestInhibitionsWork asks a running Alertmanager, of every inhibition and every alert that it is about.
func TestInhibitionsWork(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Alertmanager)
	dir := stand.TempDir(t)
	export(t, dir)
	config, err := os.ReadFile(filepath.Join(dir, "alertmanager.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config = bytes.ReplaceAll(config, []byte("'moodle-mail.tmpl'"), []byte("'"+filepath.Join(dir, "moodle-mail.tmpl")+"'"))
	server, err := stand.StartAlertmanager(t.Context(), dir, string(config))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })

	pairs := besides(t)
	var posted []map[string]any
	for _, b := range pairs {
		for _, labels := range []map[string]string{b.source, b.target} {
			maps.DeleteFunc(labels, func(_, value string) bool { return value == "" })
			posted = append(posted, map[string]any{"labels": labels, "endsAt": time.Now().Add(time.Hour)})
		}
	}
	body, err := json.Marshal(posted)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(server.URL+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if said, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", response.Status, said)
	}
	t.Logf("%d pairs of %d inhibitions", len(pairs), len(inhibitions(t)))
	var wrong []error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if wrong = misjudged(t, server.URL, pairs); len(wrong) == 0 {
			return
		}
	}
	t.Error(errors.Join(wrong...))
}

// misjudged are the pairs of which Alertmanager says something else.
func misjudged(t *testing.T, url string, pairs []beside) (wrong []error) {
	t.Helper()
	response, err := http.Get(url + "/api/v2/alerts")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var alerts []struct {
		Fingerprint string
		Labels      map[string]string
		Status      struct{ InhibitedBy []string }
	}
	if err := json.NewDecoder(response.Body).Decode(&alerts); err != nil {
		t.Fatal(err)
	}
	fingerprints, inhibitors := map[string]string{}, map[string][]string{}
	for _, a := range alerts {
		id := fmt.Sprint(a.Labels)
		fingerprints[id], inhibitors[id] = a.Fingerprint, a.Status.InhibitedBy
	}
	for _, b := range pairs {
		source, known := fingerprints[fmt.Sprint(b.source)]
		by := inhibitors[fmt.Sprint(b.target)]
		if !known || slices.Contains(by, source) != b.inhibited || !b.inhibited && len(by) > 0 {
			wrong = append(wrong, fmt.Errorf("%s: inhibited by %q, wanted: %v\n\t%v\n\t%v", b.title, by, b.inhibited, b.source, b.target))
		}
	}
	return wrong
}
