package main

import (
	"os"
	"os/user"
	"strconv"
)

// account is the user and group that serve runs as; facts and records are for the group to read.
const account = "moodle-exporter"

// group is the gid of that group where root can hand files to it, else -1: they stay with who wrote them.
func group() int {
	if os.Geteuid() != 0 {
		return -1
	}
	found, err := user.LookupGroup(account)
	if err != nil {
		return -1
	}
	gid, err := strconv.Atoi(found.Gid)
	if err != nil {
		return -1
	}
	return gid
}
