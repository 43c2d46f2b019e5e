package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// MakeStaging makes dir/name, whose name begins with store.Prefix and which must not exist, open to root
// alone, and opens it. The tree itself belongs in a directory within it, so that its own owner and mode
// can be those that it will have, and yet nobody reaches it before it is in place.
func MakeStaging(dir, name string) (*os.Root, error) {
	if err := ours(name); err != nil {
		return nil, err
	}
	at, err := resolved(dir)
	if err != nil {
		return nil, fmt.Errorf("make staging directory: %w", err)
	}
	defer at.close()
	made, err := at.makeOurs(name)
	if err != nil {
		return nil, fmt.Errorf("make staging directory: %w", err)
	}
	defer made.close()
	root, err := os.OpenRoot(made.path)
	if err != nil {
		return nil, fmt.Errorf("make staging directory: %w", err)
	}
	again, err := top(root)
	if err == nil {
		defer again.close()
		err = again.isSame(made)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make staging directory: %w", err), root.Close())
	}
	return root, nil
}

// ours refuses names that are not of staging or kept trees.
func ours(name string) error {
	if !strings.HasPrefix(name, store.Prefix) || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%q is no name of a directory of ours, which begin with %s", name, store.Prefix)
	}
	return nil
}

// resolved opens a directory by a path of the administrator's, which may lead over links.
func resolved(path string) (dir, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return dir{}, err
	}
	if real, err = filepath.Abs(real); err != nil {
		return dir{}, err
	}
	return absolute(real)
}

// makeOurs makes a directory, opens it, and makes sure that it is the one: who owns d may have put another there.
func (d dir) makeOurs(name string) (dir, error) {
	if err := d.mkdir(name, 0o700); err != nil {
		return dir{}, err
	}
	made, err := d.sub(name)
	if err != nil {
		return dir{}, err
	}
	status, err := made.self()
	if err == nil && (int(status.Uid) != os.Geteuid() || status.Mode&0o077 != 0) {
		err = failed("open", made.path, errors.New("somebody has put another directory in the place of the one just made"))
	}
	if err != nil {
		made.close()
	}
	return made, err
}

func (d dir) isSame(other dir) error {
	a, err := d.self()
	b, err2 := other.self()
	if err = errors.Join(err, err2); err == nil && (a.Dev != b.Dev || a.Ino != b.Ino) {
		err = failed("open", d.path, errors.New("is another directory by now"))
	}
	return err
}

// freshStaging makes an empty directory of ours, and first removes what is left of an earlier one.
func freshStaging(ctx context.Context, at dir, name string) (dir, error) {
	if err := removeTree(ctx, at, name); err != nil {
		return dir{}, err
	}
	return at.makeOurs(name)
}

// Discard removes dir/name with all that is in it; name begins with store.Prefix. That it is gone already
// is no error. It refuses if something is mounted in it.
func Discard(ctx context.Context, dir, name string) error {
	if err := ours(name); err != nil {
		return fmt.Errorf("discard: %w", err)
	}
	at, err := resolved(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("discard: %w", err)
	}
	defer at.close()
	if err := removeTree(ctx, at, name); err != nil {
		return fmt.Errorf("discard %s: %w", at.join(name), err)
	}
	return nil
}

// removeTree removes an entry of a directory and all below it.
func removeTree(ctx context.Context, at dir, name string) error {
	mounted, err := Mounts(at.join(name))
	if err != nil {
		return err
	}
	if len(mounted) > 0 {
		return fmt.Errorf("%s is a mount point, and what is mounted there is not ours to remove: unmount it first", mounted[0])
	}
	return at.removeAll(ctx, name)
}

func (d dir) removeAll(ctx context.Context, name string) error {
	err := d.remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// What Linux says of a directory is EISDIR, other systems EPERM; of one that is immutable, too.
	if !errors.Is(err, unix.EISDIR) {
		return immutable(err)
	}
	at, err := d.sub(name)
	if err != nil {
		return err
	}
	defer at.close()
	names, err := at.names()
	if err != nil {
		return err
	}
	for _, child := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := at.removeAll(ctx, child); err != nil {
			return err
		}
	}
	return immutable(d.rmdir(name))
}

// immutable says what is behind a refusal that root gets.
func immutable(err error) error {
	if errors.Is(err, unix.EPERM) && os.Geteuid() == 0 {
		return fmt.Errorf("%w; it, or its directory, may be immutable: see lsattr, and chattr -i", err)
	}
	return err
}
