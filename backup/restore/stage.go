package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// prepare goes through the plan once more, now that nobody else can change the site, and begins the journal.
func (r *restoration) prepare(ctx context.Context) (err error) {
	if other, err := Unfinished(r.StateDir, r.Reader.Manifest.Site); err != nil || other != nil {
		if err == nil {
			err = &UnfinishedError{Journal: other, Err: errUnfinished}
		}
		return err
	}
	if r.plan, err = MakePlan(ctx, r.Options); err != nil {
		return err
	}
	if err := r.plan.Refusal(); err != nil {
		return err
	}
	r.target = r.plan.target
	r.result.Notes = r.plan.Notes
	for _, note := range r.plan.Notes {
		r.Logger.Info("to be known beforehand", "note", note)
	}
	r.run.SetTotal(r.work())
	r.journal = newJournal(r.StateDir, r.Reader.Manifest.Site, r.run.ID(), r.Group)
	r.journal.Backup, r.journal.Phase = r.Reader.Manifest.ID, Staging
	r.journal.Started, r.journal.Components = r.Clock().UTC(), r.plan.Components
	r.journal.Dataroot, r.journal.Code, r.journal.User = r.target.dataroot, r.target.code, r.target.user.Name
	return r.journal.save()
}

// work is how many bytes there are to do.
func (r *restoration) work() (bytes int64) {
	m := r.Reader.Manifest
	for _, component := range r.plan.Components {
		file, _ := m.File(backup.FileOf(component))
		bytes += file.ContentSize
	}
	if r.has(backup.Files) && m.Filedir != nil {
		bytes += m.Filedir.Size
	}
	return bytes
}

// stageCode unpacks the code beside the live one, and reads the restored site's configuration.
func (r *restoration) stageCode(ctx context.Context) (err error) {
	if !r.has(backup.Code) {
		if r.Live == nil {
			return &backup.RefusedError{
				Happened: "there is no site at " + r.target.code, Means: "without its code nobody knows how the rest of it is reached",
				Do: "restore the code as well: leave --only away, or add code to it",
			}
		}
		r.site = r.Live
		return nil
	}
	place, err := tree.Survey(r.target.code)
	if err != nil {
		return err
	}
	if err := r.ensureDir(filepath.Dir(r.target.code), 0o755); err != nil {
		return err
	}
	if r.code, err = r.stage(ctx, backup.Code, place); err != nil {
		return err
	}
	if err := r.stageConfig(ctx); err != nil {
		return fmt.Errorf("config.php: %w", err)
	}
	return r.readStaged(ctx)
}

// stageConfig settles which config.php the restored site has: the live one where there is one that can be
// read, for passwords may have been changed since, else that of the backup; with the new address, if it gets one.
func (r *restoration) stageConfig(ctx context.Context) error {
	const name = "config.php"
	live, err := r.liveWorks(ctx)
	if err != nil {
		return err
	}
	if live {
		from, err := os.OpenRoot(r.Live.Dir)
		if err != nil {
			return err
		}
		defer from.Close()
		if err := carry(from, r.code.root, name); err != nil {
			return err
		}
	}
	if r.target.moved == "" {
		return nil
	}
	content, err := r.code.root.ReadFile(name)
	if err != nil {
		return err
	}
	changed, err := moodle.ReplaceWWWRoot(string(content), r.target.wwwroot)
	if err != nil {
		return err
	}
	return rewrite(r.code.root, name, []byte(changed))
}

// liveWorks says whether the live config.php still gets into the database. One that does not may be what is broken; that
// of the backup fits the account in the backup. A server that is down says nothing about it.
func (r *restoration) liveWorks(ctx context.Context) (bool, error) {
	if r.Live == nil {
		return false, nil
	}
	own, err := administer(r.Live.ConfigLogin())
	if err != nil {
		return false, err
	}
	defer own.Close()
	var refused *mysql.MySQLError
	if err := own.PingContext(ctx); errors.As(err, &refused) && refused.Number == accessDenied {
		r.result.Notes = append(r.result.Notes, "the live config.php was not let into the database; the one of the backup takes its place")
		return false, nil
	}
	return true, ctx.Err()
}

// carry puts a file or link of one tree into another, with its owner and mode, in place of what is there.
func carry(from, to *os.Root, name string) error {
	info, err := from.Lstat(name)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := from.Readlink(name)
		if err != nil {
			return err
		}
		return errors.Join(to.RemoveAll(name), to.Symlink(target, name))
	}
	content, err := from.ReadFile(name)
	if err != nil {
		return err
	}
	return putFile(to, name, content, info)
}

// readStaged reads the restored site as it will be in its place.
func (r *restoration) readStaged(ctx context.Context) error {
	entry := r.Configured
	entry.Name, entry.Dir, entry.User = r.Reader.Manifest.Site, r.code.path(newTree), r.target.user.Name
	if r.Live != nil {
		entry.PHP = r.Live.PHP
	}
	opened, err := r.code.letIn(r.target.user)
	if err != nil {
		return err
	}
	defer opened()
	finder := &moodle.Finder{Root: r.Root, PoolFiles: r.PoolFiles, Group: -1, Logger: r.Logger}
	found, problems := finder.Find(ctx, []config.Site{entry})
	if len(found) != 1 {
		var all []error
		for _, problem := range problems {
			all = append(all, problem)
		}
		return fmt.Errorf("read the restored code: %w", errors.Join(all...))
	}
	r.site = found[0]
	r.site.Dir, r.site.Link = r.target.code, r.target.code
	if r.Live != nil {
		r.site.Dir, r.site.Link = r.Live.Dir, r.Live.Link
	}
	c := r.site.Config
	if c.DBName != r.target.database && r.has(backup.Database) || c.Prefix != r.target.prefix && r.has(backup.Database) || c.DataRoot != r.target.dataroot {
		return &backup.RefusedError{
			Happened: fmt.Sprintf("config.php names the database %s and the dataroot %s, and the site goes to %s and %s", c.DBName, c.DataRoot, r.target.database, r.target.dataroot),
			Means:    "the restored site would not find its data", Do: "put config.php right, in " + r.target.code + ", and restore again",
		}
	}
	return nil
}
