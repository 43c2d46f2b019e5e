package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// Plan is what a backup would do, found without changing anything.
type Plan struct {
	Site       string
	Dir        string // of the site's backups
	Components []PlannedComponent
	NewBlobs   int64 // content files that the pool lacks
	NewSize    int64 // their bytes
	Need       int64 // estimate of the bytes that the backup takes on disk
	Free       int64 // bytes that are free there
	Warnings   []string
}

// PlannedComponent is one part of the plan. Sizes are in bytes.
type PlannedComponent struct {
	Name      string
	Size      int64 // what it restores to, as far as known
	Unchanged bool  // it will be shared with the previous backup
}

// Text writes the plan for people.
func (p *Plan) Text(to io.Writer) error {
	var errs []error
	line := func(format string, values ...any) {
		_, err := fmt.Fprintf(to, format+"\n", values...)
		errs = append(errs, err)
	}
	line("Backup of site %s into %s:", p.Site, p.Dir)
	for _, c := range p.Components {
		note := ""
		if c.Unchanged {
			note = "   unchanged, shared with the previous backup"
		}
		line("  %-9s %10s%s", c.Name, Bytes(c.Size), note)
	}
	line("New content files: %d, %s. Needed on disk: about %s of %s free.", p.NewBlobs, Bytes(p.NewSize), Bytes(p.Need), Bytes(p.Free))
	for _, warning := range p.Warnings {
		line("Note: %s.", warning)
	}
	return errors.Join(errs...)
}

// MakePlan goes through the preflight and says what Create would do. Nothing is written but, if need be,
// nothing at all: not even the backup directory.
func MakePlan(ctx context.Context, o Options) (*Plan, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	c := &creation{Options: o, run: noRun{}}
	defer c.close()
	if err := c.checkPlaces(); err != nil {
		return nil, err
	}
	return c.preflight(ctx)
}

// compressed is the share of an SQL dump or archive that is left after compression, for estimates of a
// first backup.
const compressed = 2

func (c *creation) checkPlaces() error {
	if err := c.checkSite(); err != nil {
		return err
	}
	return c.checkDir()
}

// preflight refuses, or returns the plan. It leaves the open session in c.
func (c *creation) preflight(ctx context.Context) (*Plan, error) {
	plan := &Plan{Site: c.Site.Name, Dir: SiteDir(c.Config.Dir, c.Site.Name)}
	newest, err := c.findPrevious(ctx)
	if err != nil {
		return nil, err
	}
	if warning := checkClock(newest, c.Clock()); warning != "" {
		plan.Warnings = append(plan.Warnings, warning)
		c.Logger.Warn(warning)
	}
	for _, component := range c.Components {
		planned, stored, err := c.planComponent(ctx, component)
		if err != nil {
			return nil, err
		}
		plan.Components = append(plan.Components, planned)
		plan.Need += stored
	}
	if c.has(Files) {
		if err := c.planFiles(ctx, plan); err != nil {
			return nil, err
		}
	}
	if class := c.Site.Config.FileSystemClass; class != "" {
		plan.Warnings = append(plan.Warnings, "the site keeps its files with "+class+", so some may lie elsewhere than in filedir; a backup without them is not complete")
	}
	place := existing(plan.Dir)
	room, err := freeOf(place)
	if err != nil {
		return nil, err
	}
	plan.Free = room.bytes
	c.same = sameFilesystem(place, c.Site.Config.DataRoot)
	if c.same {
		plan.Warnings = append(plan.Warnings, "the backups lie on the disk that they protect; they do not help when it breaks")
	}
	c.warnings = append(c.warnings, plan.Warnings...)
	c.total = c.expected(plan)
	// Every blob is an inode, and a few directories and files are.
	return plan, checkRoom(c.Config.Dir, room, plan.Need, plan.NewBlobs+plan.NewBlobs/8+64)
}

// planComponent checks what a component needs, and estimates what it takes on disk.
func (c *creation) planComponent(ctx context.Context, component string) (planned PlannedComponent, stored int64, err error) {
	planned.Name = component
	if component == Database {
		if c.client, err = findClient(ctx, c.programs); err != nil {
			return planned, 0, &RefusedError{
				Happened: "the program that dumps the database is missing", Err: err,
				Means: "the database cannot be backed up", Do: "install it: apt-get install mariadb-client, or on other systems the package that has mariadb-dump or mysqldump",
			}
		}
		var found schema
		if c.session, found, err = c.checkDatabase(ctx); err != nil {
			return planned, 0, err
		}
		if len(found.foreign) > 0 {
			c.warnings = append(c.warnings, fmt.Sprintf("%d tables are not kept by InnoDB and may not fit the rest: %v", len(found.foreign), found.foreign))
		}
		planned.Size = found.bytes
		if before, known := c.previousFile(databaseName); known {
			return planned, before.Size + before.Size/5, nil
		}
		return planned, found.bytes / compressed, nil
	}
	found, err := c.archiveOf(component, nil, c.run).measure(ctx, c.Clock())
	if err != nil {
		return planned, 0, &RefusedError{
			Happened: "the " + component + " of the site cannot be read", Err: err,
			Means: "the backup would be incomplete", Do: "run as root, and check the paths in config.php",
		}
	}
	planned.Size = found.size
	before, known := c.previousFile(archiveNames[component])
	planned.Unchanged = known && before.State != "" && before.State == found.state && component != Config
	if planned.Unchanged {
		return planned, 0, nil
	}
	if known {
		return planned, before.Size + before.Size/5, nil
	}
	return planned, found.size, nil
}

// lackingLimit is how many content files the plan remembers, so that they need not be looked for again.
const lackingLimit = 20_000

// planFiles compares the site's filedir with the pool.
func (c *creation) planFiles(ctx context.Context, plan *Plan) error {
	site, err := openTree(filedir(c.Site))
	if err != nil {
		return &RefusedError{
			Happened: "the filedir of the site cannot be read", Err: err,
			Means: "there would be no files in the backup", Do: "run as root, and check $CFG->dataroot in config.php",
		}
	}
	defer site.close()
	own, err := openTree(filepath.Join(plan.Dir, poolName))
	if errors.Is(err, os.ErrNotExist) {
		own, err = &tree{}, nil
	}
	if err != nil {
		return fmt.Errorf("open the pool: %w", err)
	}
	defer own.close()
	c.lackingAll = true
	p := &pool{site: site, own: own, run: c.run, log: slog.New(slog.DiscardHandler)}
	err = p.compare(ctx, func(b blob, lacking bool) error {
		if lacking {
			plan.NewBlobs++
			if c.lackingAll = plan.NewBlobs <= lackingLimit; c.lackingAll {
				c.lacking = append(c.lacking, b)
			}
			plan.NewSize += b.size
			plan.Need += (b.size + 4095) / 4096 * 4096
		}
		return nil
	})
	c.replaces = p.replaced.Load()
	return err
}

// expected is how many bytes pass by while the plan is carried out.
func (c *creation) expected(plan *Plan) (total int64) {
	for _, planned := range plan.Components {
		before, known := c.previousFile(databaseName)
		switch {
		case planned.Unchanged:
		case planned.Name == Database && known: // SQL has another size than tables
			total += before.ContentSize
		default:
			total += planned.Size
		}
	}
	return total + plan.NewSize
}

// existing is the nearest parent of path that exists.
func existing(path string) string {
	for path != filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}

func sameFilesystem(a, b string) bool {
	var one, other syscall.Stat_t
	return syscall.Stat(a, &one) == nil && syscall.Stat(b, &other) == nil && one.Dev == other.Dev
}

// noRun is a job that nobody watches.
type noRun struct{}

func (noRun) Step(ctx context.Context, _ string, part func(context.Context) error) error {
	return part(ctx)
}
func (noRun) SetTotal(int64)        {}
func (noRun) Add(int64)             {}
func (noRun) ChildStarted(int)      {}
func (noRun) LockFiles() []*os.File { return nil }
