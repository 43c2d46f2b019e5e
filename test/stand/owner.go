package stand

import (
	"io/fs"
	"syscall"
)

// Owner is whom a file belongs to.
func Owner(info fs.FileInfo) Account {
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Account{}
	}
	return Account{UID: int(status.Uid), GID: int(status.Gid)}
}
