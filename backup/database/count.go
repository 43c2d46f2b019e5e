package database

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Content is what a dump holds, counted while it was written.
type Content struct {
	Rows                              map[string]int64 // of each table
	Views, Triggers, Routines, Events int64
}

// Difference is something of which there is not as much as there should be.
type Difference struct {
	Name      string // "table NAME", "views", "triggers", "routines", "events"
	Want, Got int64  // -1 for a table that is not there
}

func (d Difference) String() string {
	switch {
	case d.Got < 0:
		return fmt.Sprintf("%s is missing (%d rows)", d.Name, d.Want)
	case d.Want < 0:
		return fmt.Sprintf("%s (%d rows) is not in the backup", d.Name, d.Got)
	}
	return fmt.Sprintf("%s: %d instead of %d", d.Name, d.Got, d.Want)
}

// countWorkers read tables at a time.
const countWorkers = 4

// Count reads back what a schema holds, each row of it, and returns what differs. A staged schema is held
// against all of the dump that scope restores, its triggers and their like as they lie in the marker. Of a
// live schema the rows of a site that is open change: count it while it is closed.
func (s *Server) Count(ctx context.Context, schema string, scope Scope, want Content) ([]Difference, error) {
	rows, err := s.rows(ctx, schema)
	if err != nil {
		return nil, err
	}
	var differences []Difference
	add := func(name string, want, got int64) {
		if want != got {
			differences = append(differences, Difference{name, want, got})
		}
	}
	for table, count := range want.Rows {
		got, there := rows[table]
		if !there {
			got = -1
		}
		if scope.restores(table) {
			add("table "+table, count, got)
		}
	}
	for table, got := range rows {
		if _, wanted := want.Rows[table]; !wanted && scope.site(table) {
			add("table "+table, -1, got)
		}
	}
	objects, err := s.countObjects(ctx, schema)
	if err != nil {
		return nil, err
	}
	if !scope.Shared() {
		for i, wanted := range [...]int64{want.Views, want.Triggers, want.Routines, want.Events} {
			add(objectNames[i], wanted, objects[i])
		}
	}
	slices.SortFunc(differences, func(a, b Difference) int { return cmp.Compare(a.Name, b.Name) })
	return differences, nil
}

var objectNames = [...]string{"views", "triggers", "routines", "events"}

// rows counts the rows of all tables.
func (s *Server) rows(ctx context.Context, schema string) (map[string]int64, error) {
	// A dump counts no sequences: they hold no rows.
	tables, err := column(ctx, s.pool, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?"+
		" AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND TABLE_NAME <> ?", schema, marker)
	if err != nil {
		return nil, fmt.Errorf("count the rows of schema %s: %w", schema, err)
	}
	var mu sync.Mutex
	counts := map[string]int64{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(countWorkers)
	for _, table := range tables {
		group.Go(func() error {
			var count int64
			if err := s.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+qualified(schema, table)).Scan(&count); err != nil {
				return fmt.Errorf("count the rows of table %s: %w", table, discreet(err))
			}
			mu.Lock()
			defer mu.Unlock()
			counts[table] = count
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return counts, nil
}

// countObjects counts views, triggers, routines and events: those in the marker where it lies here.
func (s *Server) countObjects(ctx context.Context, schema string) (counts [4]int64, err error) {
	staged, err := hasMarker(ctx, s.pool, schema)
	if err != nil {
		return counts, err
	}
	if staged {
		objects, err := noted[Object](ctx, s.pool, schema, partNew)
		for _, o := range objects {
			switch o.Kind {
			case kindView:
				counts[0]++
			case kindTrigger:
				counts[1]++
			case kindEvent:
				counts[3]++
			default:
				counts[2]++
			}
		}
		return counts, err
	}
	for i, query := range [...]string{
		"SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ?", "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ?",
		"SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?", "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?",
	} {
		if err := s.pool.QueryRowContext(ctx, query, schema).Scan(&counts[i]); err != nil {
			return counts, fmt.Errorf("count the %s of schema %s: %w", objectNames[i], schema, err)
		}
	}
	return counts, nil
}
