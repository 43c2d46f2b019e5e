package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// LoadOptions of one load.
type LoadOptions struct {
	Schema string // staged, made by Load; StagedName
	// Source is the schema's name at the time of the dump, the only one that the dump may name; Live is what
	// takes its place. Both may be empty where no trigger, view, routine or event names its schema.
	Source, Live       string
	Charset, Collation string
	Scope              Scope // tables that it does not restore are passed over; the zero value restores all
	Workers            int   // connections that load; 0 chooses by the number of processors
	// Binlog writes to the binary log, which replicas need. Without it the account needs the right to leave
	// that out (SUPER or BINLOG ADMIN), and Exchange must be told the same.
	Binlog   bool
	Progress func(bytes int64) // is told how much more of the dump was read; may be nil
	Logger   *slog.Logger
}

// cleanupTime bounds what is done after a failure or an interruption.
const cleanupTime = 10 * time.Minute

// Load makes the schema and loads a dump, uncompressed SQL, into it. Triggers, views, routines and events
// are not made there, as RENAME TABLE moves none of them: they are kept in the marker table, and made when
// the tables are where they belong. After a failure the schema is dropped again.
func (s *Server) Load(ctx context.Context, dump io.Reader, o LoadOptions) (err error) {
	if err := onlyScratch(o.Schema); err != nil {
		return err
	}
	if o.Workers == 0 {
		o.Workers = min(max(runtime.NumCPU(), 2), 8)
	}
	if err := s.newSchema(ctx, o); err != nil {
		return fmt.Errorf("load the dump: %w", err)
	}
	l := &loader{server: s, options: o}
	err = l.load(ctx, dump)
	if err == nil {
		return nil
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	return errors.Join(fmt.Errorf("load the dump into schema %s: %w", o.Schema, err), s.dropSchema(clean, o.Schema, o.Binlog))
}

// newSchema makes the staged schema. One that exists is never taken over.
func (s *Server) newSchema(ctx context.Context, o LoadOptions) error {
	conn, err := s.conn(ctx, o.Binlog)
	if err != nil {
		return err
	}
	defer func() { _ = drop(conn) }()
	if _, err := conn.ExecContext(ctx, "CREATE DATABASE "+dbserver.Quote(o.Schema)+characterSet(o.Charset, o.Collation)); err != nil {
		return fmt.Errorf("create schema %s: %w", o.Schema, err)
	}
	return nil
}

// loader loads one dump. One goroutine reads it, the workers run its statements.
type loader struct {
	server  *Server
	options LoadOptions
	objects []Object
	current *table // whose rows are being read
	crew    *crew
}

func (l *loader) load(ctx context.Context, dump io.Reader) error {
	schemas, err := column(ctx, l.server.pool, "SELECT LOWER(SCHEMA_NAME) FROM information_schema.SCHEMATA")
	if err != nil {
		return fmt.Errorf("list schemas: %w", err)
	}
	r := &reader{
		splitter: newSplitter(counted{dump, l.options.Progress}), settings: newSettings(),
		source: l.options.Source, live: l.options.Live, schemas: map[string]bool{},
	}
	for _, name := range schemas {
		r.schemas[name] = name != "information_schema" // which can only be read, and shows everybody their own
	}
	if l.crew, err = l.server.newCrew(ctx, l.options); err != nil {
		return err
	}
	read := l.read(r)
	if err := l.crew.wait(read); err != nil {
		return err
	}
	return l.keepObjects(ctx)
}

// read hands out all statements of the dump.
func (l *loader) read(r *reader) error {
	defer func() { l.current.end(l.crew) }()
	for {
		s, err := r.read()
		if errors.Is(err, io.EOF) {
			if !r.completed {
				return errTruncated
			}
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.hand(s); err != nil {
			return err
		}
	}
}

func (l *loader) hand(s statement) error {
	if s.action == object {
		// A view comes twice: first something that holds its place for views over it.
		l.objects = slices.DeleteFunc(l.objects, func(o Object) bool { return o.Kind == s.object.Kind && o.Name == s.object.Name })
		l.objects = append(l.objects, s.object)
		return nil
	}
	if !l.options.Scope.restores(s.table) {
		return nil
	}
	if s.action == create {
		l.current.end(l.crew)
		if strings.Contains(s.text, "REFERENCES `") {
			// The index that a foreign key wants must not be missing just then.
			if err := l.crew.idle(); err != nil {
				return err
			}
		}
		l.current = newTable(l.options.Schema, s.table)
		return l.current.create(l.crew, s.text)
	}
	if l.current == nil || l.current.name != s.table {
		return refusedError("rows of a table that was not made just before")
	}
	return l.current.insert(l.crew, s.text)
}

// keepObjects puts what is made after the exchange into the marker.
func (l *loader) keepObjects(ctx context.Context) error {
	conn, err := l.server.conn(ctx, l.options.Binlog)
	if err != nil {
		return err
	}
	defer func() { _ = drop(conn) }()
	if err := makeMarker(ctx, conn, l.options.Schema); err != nil {
		return fmt.Errorf("create table %s: %w", marker, err)
	}
	transaction, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = transaction.Rollback() }() // nothing after Commit
	for _, o := range l.objects {
		if err := note(ctx, transaction, l.options.Schema, entry{partNew, o}); err != nil {
			return err
		}
	}
	return transaction.Commit()
}

// counted tells how much was read.
type counted struct {
	io.Reader
	progress func(int64)
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.progress != nil {
		c.progress(int64(n))
	}
	return n, err
}

// loadError says in plain words what the server's refusal of a statement means.
func loadError(doing, table string, err error) error {
	wrapped := fmt.Errorf("%s table %s: %w", doing, table, discreet(err))
	for number, meaning := range meanings {
		if hasNumber(err, number) {
			return fmt.Errorf("%w: %s", wrapped, meaning)
		}
	}
	if errors.Is(err, mysql.ErrPktTooLarge) {
		return fmt.Errorf("%s table %s: a row is larger than this server's max_allowed_packet: raise it in the server's configuration and restart it", doing, table)
	}
	return wrapped
}

var meanings = map[uint16]string{
	1273: "this server does not know a collation that the dump uses: restore on a server of the kind and version that was backed up",
	1115: "this server does not know a character set that the dump uses: restore on a server of the kind and version that was backed up",
	1114: "the server's disk is full, or its table space may not grow",
	1021: "the server's disk is full",
	1290: "the server only lets itself be read (read_only, super_read_only): restore on the primary server",
	1836: "the server only lets itself be read: restore on the primary server",
	1153: "raise max_allowed_packet in the server's configuration and restart it",
}
