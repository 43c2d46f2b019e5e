package main

// row is a heading and its panels.
type row struct {
	title  string
	panels []*panel
}

// board is what one file in this directory tells of a dashboard.
type board struct {
	name, title, description string
	from                     string // the beginning of its time range
	sites                    bool   // has a variable for the site
	rows                     []row
}

const tag = "moodle"

func (b board) build() dashboard {
	d := dashboard{
		UID: "moodle-exporter-" + b.name, Title: "Moodle / " + b.title, Description: b.description + " Made by moodle-exporter.",
		Tags: []string{tag, "moodle-exporter"}, GraphTooltip: 1, SchemaVersion: schemaVersion, Version: 1,
		Refresh: "1m", Timezone: "browser", Time: timeRange{b.from, "now"},
		Links: []link{{Title: "Moodle", Type: "dashboards", Tags: []string{tag}, KeepTime: true, IncludeVars: true}},
	}
	d.Templating.List = variables(b.sites)
	d.Annotations.List = marks()
	id, y := 0, 0
	next := func(p *panel, at position) {
		id++
		p.ID, p.GridPos = id, at
		d.Panels = append(d.Panels, p)
	}
	for _, r := range b.rows {
		open := false
		next(&panel{Type: "row", Title: r.title, Collapsed: &open}, position{H: 1, W: 24, Y: y})
		y++
		x, highest := 0, 0
		for _, p := range r.panels {
			if x+p.width > 24 {
				x, y, highest = 0, y+highest, 0
			}
			next(p, position{H: p.height, W: p.width, X: x, Y: y})
			x, highest = x+p.width, max(highest, p.height)
		}
		y += highest
	}
	return d
}

func variables(sites bool) []variable {
	all := []variable{{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus", Refresh: 1}}
	add := func(name, label, expr string) {
		ds := prometheus
		v := variable{
			Name: name, Label: label, Type: "query", Datasource: &ds, Refresh: 2, Multi: true, IncludeAll: true, AllValue: ".+", Sort: 1,
			Query: map[string]string{"query": "label_values(" + expr + ", " + name + ")", "refId": name},
		}
		v.Current.Text, v.Current.Value = []string{"All"}, []string{"$__all"}
		all = append(all, v)
	}
	add("job", "Job", "moodle_exporter_build_info")
	add("instance", "Host", `moodle_exporter_build_info{job=~"$job"}`)
	if sites {
		add("site", "Site", scope("moodle_site_info{HOST}"))
	}
	return all
}

// marks are drawn over all time series: what somebody did, beside what came of it.
func marks() []mark {
	own := func(name, colour, expr, text string) mark {
		return mark{Name: name, Datasource: prometheus, Enable: true, IconColor: colour, Expr: scope(expr), Step: "60s", TitleFormat: name, TextFormat: text}
	}
	return []mark{
		{Name: "Annotations & Alerts", Datasource: source{"grafana", "-- Grafana --"}, Enable: true, Hide: true, IconColor: "rgba(0, 211, 255, 1)", Type: "dashboard", BuiltIn: 1},
		own("Update", "purple", `moodle_job_running{HOST, name=~"update|restore"} == 1`, "{{name}} of {{site}} on {{instance}}"),
		own("Backup", "blue", `moodle_job_running{HOST, name="backup"} == 1`, "{{site}} on {{instance}}"),
		own("Maintenance", "orange", `max by (job, instance, site) (moodle_maintenance_mode{HOST}) == 1`, "{{site}} on {{instance}} is closed"),
		own("Restart", "red", `time() - moodle_service_start_time_seconds{HOST} < 60`, "{{unit}} on {{instance}}"),
	}
}
