package moodle

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
)

// owner is the user that a file belongs to; root is refused.
func owner(path string) (*command.User, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("find the owner of %s: %w", path, err)
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("find the owner of %s: not known on this system", path)
	}
	user, err := command.SiteUser(strconv.FormatUint(uint64(status.Uid), 10))
	if err != nil {
		return nil, fmt.Errorf("the owner of %s: %w", path, err)
	}
	return user, nil
}
