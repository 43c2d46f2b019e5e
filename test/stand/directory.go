package stand

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// MakeTempDir makes a directory with a short path (unix sockets allow 107 bytes) that every
// account may pass through, and returns it with the function that removes it.
func MakeTempDir() (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp("", "stand")
	if err != nil {
		return "", nil, fmt.Errorf("make a directory for the stand: %w", err)
	}
	remove = func() error { return os.RemoveAll(dir) }
	if err := os.Chmod(dir, 0o755); err != nil {
		_ = remove()
		return "", nil, fmt.Errorf("open the stand's directory to others: %w", err)
	}
	return dir, remove, nil
}

// TempDir is MakeTempDir for a test: the directory goes when the test ends.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, remove, err := MakeTempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(); err != nil {
			t.Errorf("remove the stand's directory: %v", err)
		}
	})
	return dir
}

// FreePort returns a loopback TCP port that was free a moment ago.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Account is the system account a program runs under.
type Account struct {
	Name     string
	UID, GID int
}

// WebUser is the account that the site's PHP runs as and that owns its files: www-data when
// the stand runs as root, else the current user.
func WebUser() (Account, error) { return accountOf("www-data") }

// accountOf returns the first of the named accounts that exists, or the current user when
// this process is not root and so cannot become anyone else.
func accountOf(names ...string) (Account, error) {
	if os.Getuid() != 0 {
		current, err := user.Current()
		if err != nil {
			return Account{}, fmt.Errorf("look up the current user: %w", err)
		}
		return Account{current.Username, os.Getuid(), os.Getgid()}, nil
	}
	for _, name := range names {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(found.Uid)
		gid, gidErr := strconv.Atoi(found.Gid)
		if uidErr != nil || gidErr != nil {
			return Account{}, fmt.Errorf("account %s has no numeric ids", name)
		}
		return Account{name, uid, gid}, nil
	}
	return Account{}, fmt.Errorf("none of the accounts %q exists", names)
}

// credential is nil where nothing has to change.
func (a Account) credential() *syscall.Credential {
	if a.UID == os.Getuid() {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)}
}

// makeOwned makes dir for account and checks that the account can reach it.
func makeOwned(dir string, account Account, mode fs.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	if account.credential() == nil {
		return nil
	}
	if err := os.Chown(dir, account.UID, account.GID); err != nil {
		return fmt.Errorf("give %s to %s: %w", dir, account.Name, err)
	}
	for parent := filepath.Dir(dir); parent != "/" && parent != "."; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return fmt.Errorf("look at %s: %w", parent, err)
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s cannot pass through %s (mode %v): use stand.TempDir or stand.MakeTempDir",
				account.Name, parent, info.Mode().Perm())
		}
	}
	return nil
}

// chownTree gives dir and all below it to account.
func chownTree(dir string, account Account) error {
	if account.credential() == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, account.UID, account.GID)
	})
}
