package control

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

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
