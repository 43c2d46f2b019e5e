package control

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// Moodle's CLI maintenance mode is the existence of this file in dataroot: every page is its content with status 503,
// before anything else is done (lib/setup.php). Nobody needs a database for it.
const (
	maintenanceFile     = "climaintenance.html"
	maintenanceTemplate = "climaintenance.template.html"
	maintenanceAside    = ".mxp-" + maintenanceFile          // what stood there before us
	maintenanceNew      = ".mxp-" + maintenanceFile + ".new" // ours, until it is whole
)

// Before is what stood in the place of the maintenance file before EnterMaintenance. It is for the journal of a job:
// whoever takes a killed one over gives it to LeaveMaintenance, or has it from FoundMaintenance.
type Before string

// The states of a site before: open, or closed by something of somebody else's, kept aside.
const (
	WasOpen   Before = "open"
	WasClosed Before = "closed"
)

// ErrForeignMaintenance is a maintenance file that is not ours: somebody closed the site while we had it closed, and
// only they know when it may open.
var ErrForeignMaintenance = errors.New("somebody else has put the site into maintenance mode meanwhile; it stays closed: open it with admin/cli/maintenance.php --disable when that may be")

// EnterMaintenance closes the site, and is on disk when it returns. planned is when visitors are told to expect it
// back; zero for no such promise. What closed the site before is kept aside, owner and mode included, for
// LeaveMaintenance. A second call finds the state that the first one found, also after a kill in between, and writes
// the page anew.
func EnterMaintenance(site *moodle.Site, planned time.Time) (Before, error) {
	root, err := os.OpenRoot(site.Config.DataRoot)
	if err != nil {
		return "", fmt.Errorf("close site %s: open dataroot: %w", site.Name, err)
	}
	defer func() { _ = root.Close() }()
	before, err := enter(root, site, planned)
	if err != nil {
		return before, fmt.Errorf("close site %s: %w", site.Name, err)
	}
	return before, nil
}

func enter(root *os.Root, site *moodle.Site, planned time.Time) (Before, error) {
	before, ours, err := found(root)
	if err != nil {
		return "", err
	}
	if err := writePage(root, site, planned); err != nil {
		_ = root.Remove(maintenanceNew)
		return before, err
	}
	switch {
	case before == WasOpen && !ours:
		err = root.RemoveAll(maintenanceAside)
	case before == WasClosed && !ours:
		err = setAside(root)
	}
	if err != nil {
		return before, fmt.Errorf("keep the present %s aside: %w", maintenanceFile, err)
	}
	if err := root.Rename(maintenanceNew, maintenanceFile); err != nil {
		return before, err
	}
	return before, syncDir(root)
}

// LeaveMaintenance puts back what EnterMaintenance found, on disk when it returns: an open site opens, one that was
// closed stays closed by what closed it. Done twice, it changes nothing more.
func LeaveMaintenance(site *moodle.Site, before Before) error {
	root, err := os.OpenRoot(site.Config.DataRoot)
	if err != nil {
		return fmt.Errorf("open site %s: open dataroot: %w", site.Name, err)
	}
	defer func() { _ = root.Close() }()
	if err := leave(root, before); err != nil {
		return fmt.Errorf("open site %s: %w", site.Name, err)
	}
	return nil
}

func leave(root *os.Root, before Before) error {
	_ = root.Remove(maintenanceNew) // of a run that was killed; usually not there
	_, ours, err := found(root)
	if err != nil {
		return err
	}
	there, err := exists(root, maintenanceFile)
	switch {
	case err != nil:
		return err
	case before == WasClosed:
		return reinstate(root, ours || !there)
	case !there:
		return nil
	case !ours:
		return ErrForeignMaintenance
	}
	if err := root.Remove(maintenanceFile); err != nil {
		return err
	}
	return syncDir(root)
}

// FoundMaintenance says whether our page closes the site now, as a killed job leaves it, and what was there before.
func FoundMaintenance(site *moodle.Site) (before Before, ours bool, err error) {
	root, err := os.OpenRoot(site.Config.DataRoot)
	if err != nil {
		return "", false, fmt.Errorf("look for maintenance mode of site %s: open dataroot: %w", site.Name, err)
	}
	defer func() { _ = root.Close() }()
	before, ours, err = found(root)
	if err != nil {
		return "", false, fmt.Errorf("look for maintenance mode of site %s: %w", site.Name, err)
	}
	return before, ours, nil
}

// maintenanceStands says whether something closes the site now, whoever put it there.
func maintenanceStands(site *moodle.Site) (bool, error) {
	root, err := os.OpenRoot(site.Config.DataRoot)
	if err != nil {
		return false, fmt.Errorf("look for maintenance mode of site %s: open dataroot: %w", site.Name, err)
	}
	defer func() { _ = root.Close() }()
	return exists(root, maintenanceFile)
}

// writePage writes our page under its temporary name: owned by the site's user, so that its own tools can remove it.
func writePage(root *os.Root, site *moodle.Site, planned time.Time) error {
	user, err := command.SiteUser(site.User)
	if err != nil {
		return err
	}
	dataroot, err := root.Stat(".")
	if err != nil {
		return err
	}
	template, err := readFile(root, maintenanceTemplate)
	if err != nil {
		template = nil // none, or none that can be shown
	}
	// As Moodle derives filepermissions from directorypermissions, but never writable for everybody.
	mode := dataroot.Mode().Perm()&0o664 | 0o600
	return writeOwned(root, maintenanceNew, page(template, planned), user, groupOf(dataroot, user), mode)
}
