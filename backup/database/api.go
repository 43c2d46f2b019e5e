package database

import (
	"context"
	"errors"
	"io"
	"log/slog"
)

// This file is the skeleton of what is still to come.
var errSoon = errors.New("not built yet")

// Content is what a dump holds, counted while it was written.
type Content struct {
	Kind, Version      string // of the server that was dumped: MariaDB or MySQL
	Charset, Collation string
	Rows               map[string]int64 // of each table
	Views, Triggers    int64
	Routines, Events   int64
	LongestStatement   int64 // bytes
	Bytes              int64 // of SQL, uncompressed
}

// Scope says which tables of a schema a restore may touch.
type Scope struct {
	prefix string
	others []string        // prefixes of other sites in the schema
	kept   map[string]bool // live tables that are not the site's
}

// Scope looks who else lives in the schema. content adds the tables of the dump.
func (s *Server) Scope(ctx context.Context, db, prefix string, content Content) (Scope, error) {
	return Scope{}, errSoon
}

// Wants is what a restore will do, for Preflight.
type Wants struct {
	DB, ID string
	Scope  Scope
	Content
	SiteUser string // the site's own account
}

// Problem is something that keeps a restore from working, or (not Fatal) that the administrator should know.
type Problem struct {
	Fatal bool
	Text  string
	SQL   string // what mends it, ready to paste; may be empty
}

// Preflight looks for what would keep a restore from working.
func (s *Server) Preflight(ctx context.Context, w Wants) ([]Problem, error) { return nil, errSoon }

// LoadOptions of one load.
type LoadOptions struct {
	Schema             string // staged, made by Load
	Source             string // the schema's name at the time of the dump, the only one that the dump may name
	Live               string // the schema's name after the exchange; put in the place of Source
	Charset, Collation string
	Scope              Scope  // tables it does not restore are passed over; the zero value restores all
	Workers            int    // connections; 0 chooses
	Binlog             bool   // write to the binary log; needed where replicas are attached
	SiteUser           string // takes the place of definers that do not exist here
	Progress           func(bytes int64)
	Logger             *slog.Logger
}

// Load makes the schema and loads a dump, uncompressed SQL, into it. After a failure the schema is dropped.
func (s *Server) Load(ctx context.Context, dump io.Reader, o LoadOptions) error { return errSoon }

// Difference is something of which there is not as much as there should be.
type Difference struct {
	Name      string // table NAME, views, triggers, routines, events
	Want, Got int64  // Got is -1 for a missing table, Want for one too many
}

// Count reads back what a staged or live schema holds.
func (s *Server) Count(ctx context.Context, schema string, scope Scope, want Content) ([]Difference, error) {
	return nil, errSoon
}

// Exchange is one exchange of a live schema for a staged one.
type Exchange struct {
	DB, ID   string // live schema; the others are StagedName and OldName
	Scope    Scope
	SiteUser string // whose connections may be killed
	Binlog   bool
	Logger   *slog.Logger
}

// Exchange puts the staged tables in the place of the live ones. It may be called again after any
// interruption, and goes on where it was.
func (s *Server) Exchange(ctx context.Context, x Exchange) error { return errSoon }

// Side says which tables are live.
type Side int

// The sides.
const (
	SideNone Side = iota // no exchange of this id is to be found
	SideOld              // those from before
	SideNew              // those of the backup
)

// Side finds out where an exchange stands.
func (s *Server) Side(ctx context.Context, x Exchange) (Side, error) { return SideNone, errSoon }

// Undo puts the old tables, with their triggers, views, routines and events, back.
func (s *Server) Undo(ctx context.Context, x Exchange) error { return errSoon }

// Discard drops a staged or old schema.
func (s *Server) Discard(ctx context.Context, schema string) error { return errSoon }

// Leftovers are the staged and old schemas of db that exist.
func (s *Server) Leftovers(ctx context.Context, db string) ([]string, error) { return nil, errSoon }

// Replicas are the servers that follow this one.
func (s *Server) Replicas(ctx context.Context) ([]string, error) { return nil, errSoon }
