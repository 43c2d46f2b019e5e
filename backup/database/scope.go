package database

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// Scope says which tables of a schema a restore may touch: those of one site, by its prefix, without those of
// other sites and of nobody in the same schema. The zero value is a schema that belongs to the site alone.
type Scope struct {
	prefix string
	others []string        // prefixes of other sites in the schema
	kept   map[string]bool // live tables that are not the site's
}

// Scope looks who lives in the schema db, and in the dump, besides the site with this prefix. A schema that
// does not exist has nobody to spare.
func (s *Server) Scope(ctx context.Context, db, prefix string, dumped map[string]int64) (Scope, error) {
	live, err := tablesOf(ctx, s.pool, db)
	if err != nil {
		return Scope{}, err
	}
	scope := Scope{prefix: prefix, kept: map[string]bool{}}
	all := slices.AppendSeq(slices.Clone(live), maps.Keys(dumped))
	scope.others = otherSites(all, prefix)
	for _, table := range live {
		if !scope.site(table) {
			scope.kept[table] = true
		}
	}
	return scope, nil
}

// Shared says whether another site lives in the schema. Its views, routines and events are then left alone,
// as nobody can tell whose they are: only those that are missing are made.
func (c Scope) Shared() bool { return len(c.others) > 0 }

// Kept are the live tables that are left alone, sorted.
func (c Scope) Kept() []string { return slices.Sorted(maps.Keys(c.kept)) }

// site says whether a table is the site's.
func (c Scope) site(table string) bool {
	if !strings.HasPrefix(table, c.prefix) {
		return false
	}
	return !slices.ContainsFunc(c.others, func(other string) bool {
		return len(other) > len(c.prefix) && strings.HasPrefix(table, other)
	})
}

// restores says whether a table of the dump is brought back: the site's, and any that would otherwise be lost.
func (c Scope) restores(table string) bool { return c.site(table) || !c.kept[table] }

// siteTables exist on every Moodle site since 2.0: all of them together under one prefix make a site.
var siteTables = []string{"config", "config_plugins", "context", "course", "role_assignments", "user"}

// otherSites are the prefixes under which there are other sites.
func otherSites(tables []string, prefix string) (others []string) {
	all := map[string]bool{}
	for _, table := range tables {
		all[table] = true
	}
	for table := range all {
		other, found := strings.CutSuffix(table, siteTables[0])
		if !found || other == prefix {
			continue
		}
		if !slices.ContainsFunc(siteTables, func(name string) bool { return !all[other+name] }) {
			others = append(others, other)
		}
	}
	slices.Sort(others)
	return others
}
