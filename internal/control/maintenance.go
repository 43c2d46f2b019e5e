package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
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

// setAside gives what closes the site a second name, so that it is closed at every moment. Only a directory, which
// nobody but an accident puts there, has to be moved away first.
func setAside(root *os.Root) error {
	if err := root.RemoveAll(maintenanceAside); err != nil {
		return err
	}
	info, err := root.Lstat(maintenanceFile)
	if err != nil {
		return err
	}
	if !info.IsDir() && root.Link(maintenanceFile, maintenanceAside) == nil {
		return nil
	}
	return root.Rename(maintenanceFile, maintenanceAside)
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

// reinstate puts back what was kept aside, where our own page stands or none.
func reinstate(root *os.Root, vacant bool) error {
	aside, err := exists(root, maintenanceAside)
	switch {
	case err != nil:
		return err
	case !aside && !vacant:
		return nil // it is back already
	case !aside:
		return fmt.Errorf("%s, which closed the site before, is no longer kept in dataroot as %s; the site stays closed by our own page. "+
			"If it may open, remove that page", maintenanceFile, maintenanceAside)
	case !vacant:
		// Whoever closed it anew while we had it closed has the last word; nothing opens by that.
		return root.RemoveAll(maintenanceAside)
	}
	info, err := root.Lstat(maintenanceAside)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if err := root.Remove(maintenanceFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := root.Rename(maintenanceAside, maintenanceFile); err != nil {
		return err
	}
	// A rename between two names of one file does nothing: both would stay.
	if err := root.RemoveAll(maintenanceAside); err != nil {
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

func found(root *os.Root) (before Before, ours bool, err error) {
	info, err := root.Lstat(maintenanceFile)
	if errors.Is(err, fs.ErrNotExist) {
		// A directory aside without our page is the rest of a move that a kill has broken off. A file aside is one that
		// nobody needs any more: the administrator has opened the site by hand.
		if info, err = root.Lstat(maintenanceAside); err == nil && info.IsDir() {
			return WasClosed, true, nil
		}
		return WasOpen, false, nil
	}
	if err != nil {
		return "", false, err
	}
	if !info.Mode().IsRegular() {
		return WasClosed, false, nil
	}
	content, err := readFile(root, maintenanceFile)
	if err != nil || !bytes.Contains(content, []byte(pageMark)) {
		return WasClosed, false, nil //nolint:nilerr // what we cannot read is not what we wrote
	}
	aside, err := exists(root, maintenanceAside)
	if aside {
		return WasClosed, true, err
	}
	return WasOpen, true, err
}

func exists(root *os.Root, name string) (bool, error) {
	_, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

const pageLimit = 1 << 20

// readFile reads a small regular file of a tree that belongs to others.
func readFile(root *os.Root, name string) ([]byte, error) {
	// Without O_NONBLOCK the opening of a FIFO would wait for a writer who never comes.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > pageLimit {
		return nil, fmt.Errorf("%s is no regular file of less than %d bytes", name, pageLimit)
	}
	return io.ReadAll(io.LimitReader(file, pageLimit))
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

// groupOf is the group of a directory with the set-group-id bit, else that of the user.
func groupOf(dir fs.FileInfo, user *command.User) uint32 {
	if status, ok := dir.Sys().(*syscall.Stat_t); ok && dir.Mode()&fs.ModeSetgid != 0 {
		return status.Gid
	}
	return user.GID
}

// writeOwned writes a file anew, gives it away and flushes it to disk.
func writeOwned(root *os.Root, name string, content []byte, user *command.User, group uint32, mode fs.FileMode) error {
	if err := root.RemoveAll(name); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil && os.Geteuid() == 0 {
		err = file.Chown(int(user.UID), int(group))
	}
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write %s (owner %s, mode %s): %w", name, user.Name, strconv.FormatUint(uint64(mode), 8), err)
	}
	return nil
}

// syncDir flushes what was renamed or removed in the root itself.
func syncDir(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return dir.Sync()
}
