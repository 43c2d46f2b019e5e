package collector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

var databaseSize = desc("database", "schema_bytes",
	"Size of the site's schema as the server estimates it, data and indexes; measured every five minutes.", "site")

// Measuring costs up to 30 ms on the 500 tables of a Moodle, and a size moves slowly. A server in trouble is
// not asked again at once.
const (
	sizeCadence      = 5 * time.Minute
	sizeRetryCadence = time.Minute
)

// schemaSizes measures the size of schemas now and then.
type schemaSizes struct {
	clock func() time.Time

	mu       sync.Mutex
	measured map[schemaOn]measuredSize
}

type schemaOn struct{ server, schema string }

type measuredSize struct {
	at    time.Time
	bytes float64
	err   error
}

func newSchemaSizes(clock func() time.Time) *schemaSizes {
	return &schemaSizes{clock: clock, measured: make(map[schemaOn]measuredSize)}
}

// read emits the sizes of the sites on server, and measures those that are due.
func (s *schemaSizes) read(ctx context.Context, conn *sql.Conn, server string, sites []*moodle.Site, emit Emit) error {
	var failures error
	for _, site := range sites {
		size := s.of(ctx, conn, schemaOn{server, site.Config.DBName})
		if size.err != nil {
			failures = errors.Join(failures, fmt.Errorf("measure schema of site %s: %w", site.Name, size.err))
			continue
		}
		emit.gauge(databaseSize, size.bytes, site.Name)
	}
	return failures
}

func (s *schemaSizes) of(ctx context.Context, conn *sql.Conn, schema schemaOn) measuredSize {
	s.mu.Lock()
	size, known := s.measured[schema]
	s.mu.Unlock()
	now := s.clock()
	cadence := sizeCadence
	if size.err != nil {
		cadence = sizeRetryCadence
	}
	if age := now.Sub(size.at); known && age >= 0 && age < cadence {
		return size
	}
	size = measuredSize{at: now}
	size.bytes, size.err = dbserver.SchemaBytes(ctx, conn, schema.schema)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.measured[schema] = size
	return size
}
