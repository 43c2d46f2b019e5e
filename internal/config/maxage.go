package config

import (
	"fmt"
	"slices"
	"strings"
)

// Components are the parts of a backup, in the order in which they are shown.
var Components = []string{"database", "files", "code", "config", "logs", "system"}

// MaxAge is how old the newest backup may become: one age for all components, or one for each.
type MaxAge struct {
	All  Duration
	Each map[string]Duration
}

// Of is the age allowed to a component; "all" is the age of a complete backup.
func (m MaxAge) Of(component string) Duration {
	if age, set := m.Each[component]; set {
		return age
	}
	return m.All
}

// UnmarshalYAML reads one duration, or a mapping of component to duration.
func (m *MaxAge) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if unmarshal(&one) == nil {
		return m.All.UnmarshalText([]byte(one))
	}
	each := map[string]Duration{}
	if err := unmarshal(&each); err != nil {
		return fmt.Errorf("max_age is a duration such as 8d, or one for each component such as {database: 26h}: %w", err)
	}
	for component, age := range each {
		if component == "all" {
			m.All = age
			delete(each, component)
		} else if !slices.Contains(Components, component) {
			return fmt.Errorf("max_age: unknown component %q; known are all, %s", component, strings.Join(Components, ", "))
		}
	}
	m.Each = each
	return nil
}

// MarshalYAML writes the short form where it says everything.
func (m MaxAge) MarshalYAML() (any, error) {
	if len(m.Each) == 0 {
		return m.All, nil
	}
	each := map[string]Duration{"all": m.All}
	for component, age := range m.Each {
		each[component] = age
	}
	return each, nil
}
