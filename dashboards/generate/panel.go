package main

import "strings"

// ask is one query of a panel. In its expression HOST and SITE stand for the matchers of the dashboard's variables.
type ask struct{ expr, legend string }

// limitPrefix begins the legend of a series that is a limit: it is drawn as a dashed red line.
const limitPrefix = "limit "

// limit is a threshold of the configuration, of each host.
func limit(name string) ask {
	return ask{`max by (job, instance) (moodle_threshold{HOST, name="` + name + `"})`, limitPrefix + "{{instance}}"}
}

var prometheus = source{"prometheus", "${datasource}"}

func scope(expr string) string {
	const host = `job=~"$job", instance=~"$instance"`
	return strings.NewReplacer("HOST", host, "SITE", host+`, site=~"$site"`).Replace(expr)
}

func newPanel(kind, title, unit, description string, asks []ask) *panel {
	ds := prometheus
	p := &panel{
		Type: kind, Title: title, Description: description, Datasource: &ds, width: 8, height: 7,
		FieldConfig: &fieldConfig{
			Defaults: field{
				Unit: unit, Mappings: []any{}, NoValue: "no data",
				Thresholds: thresholds{Mode: "absolute", Steps: []step{{Color: "green"}}},
			},
			Overrides: []override{},
		},
	}
	for i, a := range asks {
		p.Targets = append(p.Targets, query{
			RefID: string(rune('A' + i)), Datasource: prometheus, Expr: scope(a.expr), LegendFormat: a.legend,
			Range: kind == "timeseries" || kind == "state-timeline", Format: "time_series",
		})
		p.Targets[i].Instant = !p.Targets[i].Range
	}
	return p
}

// series draws lines over time.
func series(title, unit, description string, asks ...ask) *panel {
	p := newPanel("timeseries", title, unit, description, asks)
	p.FieldConfig.Defaults.Color = map[string]any{"mode": "palette-classic"}
	p.FieldConfig.Defaults.Custom = map[string]any{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false}
	p.Options = map[string]any{
		"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
		Matcher: matcher{"byRegexp", "^" + limitPrefix + ".*"},
		Properties: []property{
			{"color", map[string]any{"mode": "fixed", "fixedColor": "red"}},
			{"custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{10, 10}}},
			{"custom.fillOpacity", 0},
		},
	})
	return p
}

// stacked draws the parts of a whole.
func stacked(title, unit, description string, asks ...ask) *panel {
	p := series(title, unit, description, asks...)
	p.FieldConfig.Defaults.Custom["stacking"] = map[string]any{"mode": "normal", "group": "A"}
	p.FieldConfig.Defaults.Custom["fillOpacity"] = 40
	return p
}

// stat shows single numbers.
func stat(title, unit, description string, asks ...ask) *panel {
	p := newPanel("stat", title, unit, description, asks)
	p.width, p.height = 4, 4
	p.Options = map[string]any{
		"colorMode": "background", "graphMode": "none", "justifyMode": "auto", "textMode": "auto", "orientation": "auto",
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
	}
	return p
}

// bars compares hosts, disks or components.
func bars(title, unit, description string, asks ...ask) *panel {
	p := newPanel("bargauge", title, unit, description, asks)
	p.Options = map[string]any{
		"displayMode": "gradient", "orientation": "horizontal", "showUnfilled": true, "valueMode": "color",
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
	}
	return p
}

// states draws what was when, such as up and down.
func states(title, description string, asks ...ask) *panel {
	p := newPanel("state-timeline", title, "bool_yes_no", description, asks)
	p.FieldConfig.Defaults.Color = map[string]any{"mode": "thresholds"}
	p.FieldConfig.Defaults.Custom = map[string]any{"fillOpacity": 70, "lineWidth": 0}
	p.Options = map[string]any{
		"mergeValues": true, "showValue": "never", "rowHeight": 0.9,
		"legend": map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true}, "tooltip": map[string]any{"mode": "single"},
	}
	return p
}

// table shows the labels of one query and its value, under that name; with no name the value is left out.
func table(title, unit, description, value string, a ask) *panel {
	p := newPanel("table", title, unit, description, []ask{a})
	p.width, p.height = 12, 8
	p.Targets[0].Format = "table"
	hidden := map[string]any{"Time": true, "__name__": true, "job": true}
	renamed := map[string]any{}
	if value == "" {
		hidden["Value"] = true
	} else {
		renamed["Value"] = value
	}
	p.Transformations = []transform{{"organize", map[string]any{"excludeByName": hidden, "renameByName": renamed, "indexByName": map[string]any{}}}}
	p.Options = map[string]any{"showHeader": true, "cellHeight": "sm", "footer": map[string]any{"show": false, "reducer": []string{"sum"}}}
	return p
}

// text is a panel of words.
func text(title, content string) *panel {
	return &panel{Type: "text", Title: title, width: 24, height: 4, Options: map[string]any{"mode": "markdown", "content": content}}
}

// sized sets width and height, of 24 columns.
func (p *panel) sized(width, height int) *panel {
	p.width, p.height = width, height
	return p
}

// bad colours values from a number on: red where more is worse, else red below it.
func (p *panel) bad(from float64, moreIsWorse bool) *panel {
	first, then := "red", "green"
	if moreIsWorse {
		first, then = then, first
	}
	p.FieldConfig.Defaults.Thresholds.Steps = []step{{Color: first}, {Color: then, Value: &from}}
	return p
}

// between sets the ends of the scale.
func (p *panel) between(low, high float64) *panel {
	p.FieldConfig.Defaults.Min, p.FieldConfig.Defaults.Max = &low, &high
	return p
}

// runbook links each series to a page of its own exporter.
func (p *panel) runbook(alert string) *panel {
	p.FieldConfig.Defaults.Links = append(p.FieldConfig.Defaults.Links, link{
		Title: "Runbook " + alert, URL: "http://${__field.labels.instance}/runbooks/" + alert, TargetBlank: true,
	})
	return p
}
