// Package drill rehearses a restore: a backup is brought back into a database server and a directory of its
// own, counted, read to its last byte, started, and thrown away. Nothing of the live site is touched or even
// looked at. How long it takes is how long a recovery takes.
package drill

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/database"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// Options say what to rehearse, and where.
type Options struct {
	Reader *backup.Reader
	// Scratch is the directory in which the drill makes one of its own, which it removes; room for the database and the
	// code is needed there.
	Scratch string
	User    string // whom the restored code is started as; empty for the one in the backup
	PHP     string // CLI binary; empty where there is none
	Clock   func() time.Time
	Logger  *slog.Logger
	At      func(step string) // as in backup.Options
}

// Result is what the drill has proven.
type Result struct {
	Tables, Rows int64
	Blobs, Bytes int64         // content files that were read and found right
	Took         time.Duration // from the first byte to a site that starts
	NotMade      []error       // parts that could not be rehearsed on this host
}

// drill is one rehearsal under way.
type drill struct {
	Options
	run    backup.Run
	dir    string
	held   *os.File // dir, locked
	user   *command.User
	server *privateServer
	site   *moodle.Site
	result Result
}

// id names the schemas. The server is the drill's own, so it need not be unique.
const id = "drill"

// Drill rehearses the restore of one backup. Whatever it has made is gone when it returns.
func Drill(ctx context.Context, o Options, run backup.Run) (_ *Result, err error) {
	d := &drill{Options: o, run: run}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.At == nil {
		d.At = func(string) {}
	}
	defer func() {
		err = errors.Join(err, d.remove())
	}()
	started := d.Clock()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"preflight", d.prepare}, {"server", d.startServer}, {"database", d.loadDatabase}, {"files", d.unpack}, {"content", d.readContent}, {"start", d.start},
	} {
		err := run.Step(ctx, step.name, step.do)
		if err == nil {
			d.At(step.name)
			err = ctx.Err()
		}
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%s: %w", step.name, err)
		}
		if err != nil {
			return nil, err
		}
	}
	d.result.Took = d.Clock().Sub(started)
	return &d.result, nil
}

// prepare refuses what cannot be rehearsed, and makes the directory.
func (d *drill) prepare(context.Context) (err error) {
	m := d.Reader.Manifest
	if !m.Complete() {
		return &backup.RefusedError{
			Happened: "backup " + m.ID + " is not complete", Means: "no site can be brought back from it alone", Do: "rehearse another one, or make a backup of all components",
		}
	}
	user := d.User
	if user == "" {
		user = m.Moodle.User
	}
	if d.user, err = command.SiteUser(user); err != nil {
		return &backup.RefusedError{
			Happened: "the user " + user + ", whom the site's PHP runs as, cannot be used on this host", Err: err,
			Means: "the restored code cannot be started, and never is as root", Do: "rehearse on the site's own host",
		}
	}
	if err := d.checkRoom(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp(d.Scratch, prefixOf(m.Site)); err != nil {
		return fmt.Errorf("make a directory for the drill: %w", err)
	}
	if d.held, err = hold(d.dir); err != nil {
		return fmt.Errorf("lock the drill's directory: %w", err)
	}
	d.run.SetTotal(d.work())
	// Others must get through to what is theirs, and see nothing else.
	return os.Chmod(d.dir, 0o711) //nolint:gosec // listing it is for root alone
}

// Prefix begins the name of a drill's directory.
const Prefix = "moodle-exporter-drill-"

// prefixOf begins the names of the directories of one site's drills: others may be at work beside it. A socket lies below,
// whose path must be short.
func prefixOf(site string) string {
	return fmt.Sprintf("%s%08x-", Prefix, crc32.ChecksumIEEE([]byte(site)))
}

// work is how many bytes there are to do.
func (d *drill) work() (bytes int64) {
	m := d.Reader.Manifest
	for _, component := range []string{backup.Database, backup.Files, backup.Code} {
		file, _ := m.File(backup.FileOf(component))
		bytes += file.ContentSize
	}
	if m.Filedir != nil {
		bytes += m.Filedir.Size
	}
	return bytes
}

// remove ends the server and deletes everything.
func (d *drill) remove() error {
	err := d.server.stop()
	if d.dir == "" {
		return err
	}
	defer func() { _ = d.held.Close() }() // nil, too
	if gone := os.RemoveAll(d.dir); gone != nil {
		err = errors.Join(err, fmt.Errorf("remove what the drill has made: %w", gone))
	}
	return err
}

// loadDatabase loads the dump, counts it, and puts it in its place as a restore does, triggers and their like included.
func (d *drill) loadDatabase(ctx context.Context) error {
	m := d.Reader.Manifest
	c := m.Database
	server, err := database.Connect(ctx, d.server.login())
	if err != nil {
		return err
	}
	defer server.Close()
	file, err := d.Reader.Open(ctx, backup.FileOf(backup.Database))
	if err != nil {
		return err
	}
	defer file.Close()
	err = backup.Settle(file, server.Load(ctx, file, database.LoadOptions{
		Schema: database.StagedName(c.Name, id), Source: c.Name, Live: c.Name, Charset: c.Charset, Collation: c.Collation,
		Progress: d.run.Add, Logger: d.Logger,
	}))
	if err != nil {
		return err
	}
	if err := server.Exchange(ctx, database.Exchange{DB: c.Name, ID: id, Logger: d.Logger}); err != nil {
		return err
	}
	differences, err := server.Count(ctx, c.Name, database.Scope{}, database.Content{
		Rows: c.Rows, Views: c.Views, Triggers: c.Triggers, Routines: c.Routines, Events: c.Events,
	})
	if err != nil {
		return err
	}
	if len(differences) > 0 {
		return fmt.Errorf("the database is not the one that was dumped: %d things differ, first %v", len(differences), differences[0])
	}
	for _, rows := range c.Rows {
		d.result.Tables++
		d.result.Rows += rows
	}
	return nil
}

// path is a place in the drill's own directory.
func (d *drill) path(name string) string { return filepath.Join(d.dir, name) }
