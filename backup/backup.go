// Package backup makes, lists and removes backups of Moodle sites in format 1: content files once each in
// a pool named by their SHA-1, as Moodle names them itself, and beside it for every backup a dump of the
// database and archives of the rest, which zstd, tar, mariadb and cp can read without this program.
//
// A backup is made in a directory whose name begins with .mxp- and appears, whole and flushed to disk, by
// one rename. Whatever ends a run before that leaves no backup, and the next run removes the remains.
package backup

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// Run is how a job is watched while it works; *job.Run is one. Methods may be called from several goroutines.
type Run interface {
	// Step runs one named part, and records its beginning, end and error.
	Step(ctx context.Context, name string, part func(context.Context) error) error
	SetTotal(bytes int64)  // how many bytes there are to do
	Add(bytes int64)       // so many more of them are done
	ChildStarted(pgid int) // a process group that now holds the lock as well
	LockFiles() []*os.File // for children to inherit
}

// Options say what to back up, and where to.
type Options struct {
	Site       *moodle.Site
	Config     config.Backup
	Components []string // nil for all
	// AllowNonTransactional backs up tables of engines such as MyISAM as well, whose rows may not fit those
	// of the other tables; without it such a database is refused.
	AllowNonTransactional bool

	Version string // of this program
	Host    string // name of this host
	Clock   func() time.Time
	Logger  *slog.Logger

	// Store is where the backups go; nil for the directory of Config.Dir that belongs to the site.
	Store store.Local
	// Wait replaces waiting for the clock in tests.
	Wait func(context.Context, time.Duration) error
	// programs that dump a database, the first that is installed; nil for dumpPrograms.
	programs []string
	// At is told after each step, so that tests can stop the program there; nil in earnest.
	At func(step string)
}

func (o *Options) setDefaults() error {
	fillIn(&o.Clock, &o.Logger, &o.At)
	if o.Wait == nil {
		o.Wait = sleep
	}
	if o.programs == nil {
		o.programs = dumpPrograms
	}
	if len(o.Components) == 0 {
		o.Components = Components
	}
	for _, component := range o.Components {
		if !slices.Contains(Components, component) {
			return &RefusedError{
				Happened: "there is no component " + component, Means: "a backup has the components database, files, code, config, logs and system",
				Do: "name some of these with --only",
			}
		}
	}
	return nil
}

// has says whether a component is asked for.
func (o *Options) has(component string) bool { return slices.Contains(o.Components, component) }
