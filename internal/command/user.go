package command

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// User is an account of this host that a program can run as.
type User struct {
	Name     string
	UID, GID uint32
	Groups   []uint32
	Home     string
}

// ErrRoot refuses root for programs of the site: its code belongs to the web user, who could plant anything in it.
var ErrRoot = errors.New("the code of a site is never run as root")

// LookupUser finds an account by name or numeric id.
func LookupUser(name string) (*User, error) {
	found, err := user.Lookup(name)
	if err != nil {
		if _, number := strconv.Atoi(name); number != nil {
			return nil, fmt.Errorf("look up user %q: %w", name, err)
		}
		if found, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("look up user %q: %w", name, err)
		}
	}
	uid, gid, err := ids(found.Uid, found.Gid)
	if err != nil {
		return nil, fmt.Errorf("look up user %q: %w", name, err)
	}
	account := &User{Name: found.Username, UID: uid, GID: gid, Home: found.HomeDir}
	groups, err := found.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("look up groups of user %q: %w", name, err)
	}
	for _, group := range groups {
		id, err := strconv.ParseUint(group, 10, 32)
		if err == nil {
			account.Groups = append(account.Groups, uint32(id))
		}
	}
	return account, nil
}

// SiteUser is LookupUser for running a site's code: it refuses root.
func SiteUser(name string) (*User, error) {
	account, err := LookupUser(name)
	if err != nil {
		return nil, err
	}
	if account.UID == 0 {
		return nil, ErrRoot
	}
	return account, nil
}

// credential is what the kernel wants; nil (keep our own rights) for no user and for the user we already are.
func (u *User) credential() *syscall.Credential {
	if u == nil || (os.Geteuid() != 0 && int(u.UID) == os.Geteuid()) {
		return nil
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
}

func ids(uid, gid string) (uint32, uint32, error) {
	u, err := strconv.ParseUint(uid, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	g, err := strconv.ParseUint(gid, 10, 32)
	return uint32(u), uint32(g), err
}
