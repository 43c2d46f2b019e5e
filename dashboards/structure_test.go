package dashboards_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/alerts"
	"github.com/moodle-exporter/moodle-exporter/dashboards"
)

// board is what the tests look at in a dashboard; unknown keys are read into rest by a second look.
type board struct {
	ID            *int
	UID           string
	Title         string
	Description   string
	Tags          []string
	SchemaVersion int
	Refresh       string
	Time          struct{ From, To string }
	Templating    struct{ List []variable }
	Annotations   struct {
		List []struct {
			Name, Expr string
			Datasource source
			BuiltIn    int
		}
	}
	Links []struct {
		Type string
		Tags []string
	}
	Panels []panel
}

type variable struct {
	Name, Label, Type string
	Query             any
	Multi             bool
	IncludeAll        bool
	AllValue          string
	Refresh           int
	Datasource        *source
}

type source struct{ Type, UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Datasource               *source
	Targets                  []target
	FieldConfig              struct {
		Defaults struct {
			Unit  string
			Links []struct{ URL string }
		}
		Overrides []struct {
			Matcher struct{ ID, Options string }
		}
	}
	Options map[string]any
}

type target struct {
	RefID, Expr, LegendFormat, Format string
	Datasource                        source
	Instant, Range                    bool
}

func boards(t *testing.T) map[string]board {
	t.Helper()
	names, err := fs.Glob(dashboards.Files(), "*.json")
	if err != nil || len(names) != 5 {
		t.Fatalf("dashboards: %q %v, want five", names, err)
	}
	found := map[string]board{}
	for _, name := range names {
		content, err := fs.ReadFile(dashboards.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		var b board
		if err := json.Unmarshal(content, &b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found[name] = b
	}
	return found
}

// What Grafana 10 to 12 ask of a file that is provisioned, and of one that is imported.
func TestDashboardsFitGrafana(t *testing.T) {
	uids := map[string]bool{}
	for name, b := range boards(t) {
		if b.ID != nil || b.SchemaVersion != 39 || b.Refresh == "" || b.Time.From == "" || b.Time.To != "now" || b.Title == "" || b.Description == "" {
			t.Errorf("%s: id %v, schema %d, refresh %q, time %v", name, b.ID, b.SchemaVersion, b.Refresh, b.Time)
		}
		if !regexp.MustCompile(`^[a-z0-9-]{1,40}$`).MatchString(b.UID) || uids[b.UID] {
			t.Errorf("%s: uid %q", name, b.UID)
		}
		uids[b.UID] = true
		if !slices.Contains(b.Tags, "moodle") || len(b.Links) != 1 || b.Links[0].Type != "dashboards" || b.Links[0].Tags[0] != "moodle" {
			t.Errorf("%s: tags %v and links %v do not lead to the others", name, b.Tags, b.Links)
		}
		content, err := fs.ReadFile(dashboards.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, never := range []string{"__inputs", "__requires", `"graph"`, "singlestat", "angular", ":10059", "localhost"} {
			if strings.Contains(string(content), never) {
				t.Errorf("%s: holds %s", name, never)
			}
		}
	}
}

var usedVariable = regexp.MustCompile(`\$\{?([a-z_]+)`)

// Every variable is declared and used, and the first one is the data source.
func TestVariables(t *testing.T) {
	for name, b := range boards(t) {
		declared := []string{}
		for i, v := range b.Templating.List {
			declared = append(declared, v.Name)
			if i == 0 {
				if v.Name != "datasource" || v.Type != "datasource" || v.Query != "prometheus" || v.Label != "Data source" {
					t.Errorf("%s: the first variable is %+v, not the data source", name, v)
				}
				continue
			}
			if v.Type != "query" || !v.Multi || !v.IncludeAll || v.AllValue != ".+" || v.Refresh != 2 || v.Datasource == nil || v.Datasource.UID != "${datasource}" {
				t.Errorf("%s: variable %+v", name, v)
			}
		}
		used := map[string]bool{"datasource": true}
		for _, query := range queries(b) {
			for _, use := range usedVariable.FindAllStringSubmatch(query.expr, -1) {
				used[use[1]] = true
				if !slices.Contains(declared, use[1]) && !strings.HasPrefix(use[1], "__") {
					t.Errorf("%s, %s: variable %s is not declared", name, query.where, use[1])
				}
			}
		}
		for _, v := range declared {
			if !used[v] {
				t.Errorf("%s: variable %s is not used", name, v)
			}
		}
	}
}

// query is an expression and where it stands.
type query struct{ where, expr string }

func queries(b board) []query {
	var found []query
	for _, p := range b.Panels {
		for _, target := range p.Targets {
			found = append(found, query{fmt.Sprintf("panel %q %s", p.Title, target.RefID), target.Expr})
		}
	}
	for _, a := range b.Annotations.List {
		if a.Expr != "" {
			found = append(found, query{"annotation " + a.Name, a.Expr})
		}
	}
	return found
}

// units are those of Grafana that are used here, by their ids in its list of formats.
var units = []string{"none", "s", "d", "percentunit", "bytes", "ops", "reqps", "bool_yes_no", "dateTimeAsIso", "dateTimeFromNow"}

var kinds = []string{"row", "timeseries", "stat", "table", "bargauge", "state-timeline", "text"}

func TestPanels(t *testing.T) {
	for name, b := range boards(t) {
		ids := map[int]bool{}
		taken := map[[2]int]string{}
		for _, p := range b.Panels {
			if p.ID == 0 || ids[p.ID] {
				t.Errorf("%s: panel %q has the id %d of another", name, p.Title, p.ID)
			}
			ids[p.ID] = true
			if !slices.Contains(kinds, p.Type) || p.Title == "" {
				t.Errorf("%s: panel %q is a %s", name, p.Title, p.Type)
			}
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other, used := taken[[2]int{x, y}]; used || x >= 24 {
						t.Fatalf("%s: panel %q lies over %q or beyond the edge", name, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type != "row" && p.Type != "text" {
				checkPanel(t, name, p)
			}
		}
	}
}

func checkPanel(t *testing.T, name string, p panel) {
	t.Helper()
	if !strings.Contains(p.Description, "No data: ") {
		t.Errorf("%s: panel %q does not say what no data means", name, p.Title)
	}
	if !slices.Contains(units, p.FieldConfig.Defaults.Unit) {
		t.Errorf("%s: panel %q has the unit %q", name, p.Title, p.FieldConfig.Defaults.Unit)
	}
	if len(p.Targets) == 0 || p.Datasource == nil || p.Datasource.UID != "${datasource}" {
		t.Errorf("%s: panel %q asks nothing, or another data source", name, p.Title)
	}
	refs := map[string]bool{}
	overTime := p.Type == "timeseries" || p.Type == "state-timeline"
	for _, target := range p.Targets {
		if refs[target.RefID] || target.Datasource.UID != "${datasource}" || target.Instant == target.Range || target.Range != overTime {
			t.Errorf("%s: panel %q: query %+v", name, p.Title, target)
		}
		refs[target.RefID] = true
		if (target.Format == "table") != (p.Type == "table") {
			t.Errorf("%s: panel %q has the format %s", name, p.Title, target.Format)
		}
	}
	for _, l := range p.FieldConfig.Defaults.Links {
		alert := l.URL[strings.LastIndex(l.URL, "/")+1:]
		if !strings.HasPrefix(l.URL, "http://${__field.labels.instance}/runbooks/") {
			t.Errorf("%s: panel %q links to %s", name, p.Title, l.URL)
		}
		if _, err := fs.Stat(alerts.Files(), "runbooks/"+alert+".md"); err != nil {
			t.Errorf("%s: panel %q links to a runbook that is not there: %v", name, p.Title, err)
		}
	}
}

// A limit is drawn as one only if its legend begins as the override says.
func TestThresholdLines(t *testing.T) {
	lines := 0
	for name, b := range boards(t) {
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				if !strings.Contains(target.Expr, "moodle_threshold") {
					continue
				}
				lines++
				if p.Type != "timeseries" || !regexp.MustCompile(p.FieldConfig.Overrides[0].Matcher.Options).MatchString(target.LegendFormat) {
					t.Errorf("%s: panel %q draws the limit %q like any other line", name, p.Title, target.Expr)
				}
			}
		}
	}
	if lines < 10 {
		t.Errorf("%d limits are drawn", lines)
	}
}

func TestAnnotations(t *testing.T) {
	for name, b := range boards(t) {
		var names []string
		for _, a := range b.Annotations.List {
			names = append(names, a.Name)
		}
		for _, want := range []string{"Update", "Backup", "Maintenance", "Restart"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s does not mark each %s", name, want)
			}
		}
	}
}
