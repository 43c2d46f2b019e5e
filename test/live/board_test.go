package live_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/dashboards"
)

// board is what the test looks at in a dashboard.
type board struct {
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	Panels []struct {
		Title   string
		Targets []struct{ RefID, Expr string }
	}
}

// boards are the queries of all dashboards, by dashboard and by the place in it.
func boards(t *testing.T) map[string]map[string]string {
	t.Helper()
	names, err := fs.Glob(dashboards.Files(), "*.json")
	must(t, err)
	found := map[string]map[string]string{}
	for _, name := range names {
		content, err := fs.ReadFile(dashboards.Files(), name)
		must(t, err)
		var b board
		must(t, json.Unmarshal(content, &b))
		found[name] = map[string]string{}
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				found[name][p.Title+" "+target.RefID] = target.Expr
			}
		}
		for _, a := range b.Annotations.List {
			if a.Expr != "" {
				found[name]["annotation "+a.Name] = a.Expr
			}
		}
	}
	return found
}

// emptyPanels are the queries to which a host that is well but for the faults of this test has no answer, and why.
func emptyPanels(t *testing.T) map[string]map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "empty.yml"))
	must(t, err)
	var listed map[string]map[string]string
	must(t, yaml.UnmarshalWithOptions(content, &listed, yaml.Strict()))
	return listed
}

// wantPanels asks each query of the dashboards for the time since the chain began, for one host and site and for all:
// it has data, or a reason why it has none.
func (c *chain) wantPanels(t *testing.T, instance, site string) {
	t.Helper()
	asked, listed := boards(t), emptyPanels(t)
	for name, places := range listed {
		for place := range places {
			if _, exists := asked[name][place]; !exists {
				t.Errorf("testdata/empty.yml: %s has no %q", name, place)
			}
		}
	}
	for who, variables := range map[string]*strings.Replacer{
		"one host": strings.NewReplacer("$__rate_interval", "5s", "$job", "moodle", "$instance", instance, "$site", site),
		"all":      strings.NewReplacer("$__rate_interval", "5s", "$job", ".+", "$instance", ".+", "$site", ".+"),
	} {
		for name, places := range asked {
			for place, expr := range places {
				found, why := c.answered(t, variables.Replace(expr)), listed[name][place]
				if found == (why != "") && !strings.HasPrefix(why, "sometimes") {
					t.Errorf("%s, %s, of %s: has data: %v; listed as empty: %q: %s", name, place, who, found, why, expr)
				}
			}
		}
	}
}

// answered says whether the query has given any series since the chain began.
func (c *chain) answered(t *testing.T, expr string) bool {
	t.Helper()
	response, err := http.PostForm(c.prometheus.URL+"/api/v1/query_range", url.Values{
		"query": {expr}, "step": {"1s"}, "start": {seconds(c.began)}, "end": {seconds(time.Now())},
	})
	must(t, err)
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	must(t, json.NewDecoder(response.Body).Decode(&answer))
	if answer.Status != "success" {
		t.Errorf("%s: %s", expr, answer.Error)
	}
	return len(answer.Data.Result) > 0
}

func seconds(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
