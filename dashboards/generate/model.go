package main

// The types are the part of Grafana's classic dashboard model, schema 39, that these dashboards use; see
// https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/.

const schemaVersion = 39

type dashboard struct {
	ID            *int           `json:"id"` // null: Grafana gives one
	UID           string         `json:"uid"`
	Title         string         `json:"title"`
	Description   string         `json:"description"`
	Tags          []string       `json:"tags"`
	Editable      bool           `json:"editable"`
	GraphTooltip  int            `json:"graphTooltip"` // 1: a shared crosshair
	SchemaVersion int            `json:"schemaVersion"`
	Version       int            `json:"version"`
	Refresh       string         `json:"refresh"`
	Timezone      string         `json:"timezone"`
	Time          timeRange      `json:"time"`
	Templating    list[variable] `json:"templating"`
	Annotations   list[mark]     `json:"annotations"`
	Links         []link         `json:"links"`
	Panels        []*panel       `json:"panels"`
}

type list[T any] struct {
	List []T `json:"list"`
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type variable struct {
	Name       string  `json:"name"`
	Label      string  `json:"label"`
	Type       string  `json:"type"` // datasource or query
	Datasource *source `json:"datasource,omitempty"`
	Query      any     `json:"query"`
	Refresh    int     `json:"refresh"` // 1: on load, 2: when the time range changes
	Multi      bool    `json:"multi"`
	IncludeAll bool    `json:"includeAll"`
	AllValue   string  `json:"allValue,omitempty"`
	Current    struct {
		Text  any `json:"text,omitempty"`
		Value any `json:"value,omitempty"`
	} `json:"current"`
	Sort int `json:"sort"`
	Hide int `json:"hide"`
}

// mark is an annotation: what it finds is drawn over every time series.
type mark struct {
	Name        string `json:"name"`
	Datasource  source `json:"datasource"`
	Enable      bool   `json:"enable"`
	Hide        bool   `json:"hide"`
	IconColor   string `json:"iconColor"`
	Expr        string `json:"expr,omitempty"`
	Step        string `json:"step,omitempty"`
	TitleFormat string `json:"titleFormat,omitempty"`
	TextFormat  string `json:"textFormat,omitempty"`
	Type        string `json:"type,omitempty"`
	BuiltIn     int    `json:"builtIn,omitempty"`
}

type link struct {
	Title       string   `json:"title"`
	Type        string   `json:"type,omitempty"` // dashboards
	Tags        []string `json:"tags,omitempty"`
	URL         string   `json:"url,omitempty"`
	KeepTime    bool     `json:"keepTime,omitempty"`
	IncludeVars bool     `json:"includeVars,omitempty"`
	TargetBlank bool     `json:"targetBlank,omitempty"`
}

type position struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

type panel struct {
	ID              int            `json:"id"`
	Type            string         `json:"type"`
	Title           string         `json:"title"`
	Description     string         `json:"description,omitempty"`
	GridPos         position       `json:"gridPos"`
	Datasource      *source        `json:"datasource,omitempty"`
	Targets         []query        `json:"targets,omitempty"`
	FieldConfig     *fieldConfig   `json:"fieldConfig,omitempty"`
	Options         map[string]any `json:"options,omitempty"`
	Transformations []transform    `json:"transformations,omitempty"`
	Collapsed       *bool          `json:"collapsed,omitempty"` // of rows
	Panels          []*panel       `json:"panels,omitempty"`

	width, height int
}

type query struct {
	RefID        string `json:"refId"`
	Datasource   source `json:"datasource"`
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat,omitempty"`
	Instant      bool   `json:"instant"`
	Range        bool   `json:"range"`
	Format       string `json:"format"`
}

type fieldConfig struct {
	Defaults  field      `json:"defaults"`
	Overrides []override `json:"overrides"`
}

type field struct {
	Unit       string         `json:"unit"`
	Min        *float64       `json:"min,omitempty"`
	Max        *float64       `json:"max,omitempty"`
	NoValue    string         `json:"noValue,omitempty"`
	Color      map[string]any `json:"color,omitempty"`
	Custom     map[string]any `json:"custom,omitempty"`
	Mappings   []any          `json:"mappings"`
	Thresholds thresholds     `json:"thresholds"`
	Links      []link         `json:"links,omitempty"`
}

type thresholds struct {
	Mode  string `json:"mode"`
	Steps []step `json:"steps"`
}

type step struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"` // null: from the beginning
}

type override struct {
	Matcher    matcher    `json:"matcher"`
	Properties []property `json:"properties"`
}

type matcher struct {
	ID      string `json:"id"`
	Options string `json:"options"`
}

type property struct {
	ID    string `json:"id"`
	Value any    `json:"value"`
}

type transform struct {
	ID      string         `json:"id"`
	Options map[string]any `json:"options"`
}
