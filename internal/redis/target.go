package redis

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// Roles of a server for the sites of this host. One that holds sessions must not evict any.
const (
	RoleSession = "session"
	RoleCache   = "cache"
	RoleBoth    = "both"
	RoleOther   = "other"
)

// Target is a server to watch.
type Target struct {
	Login
	Role string
}

// Targets are the configured servers and those that the sites keep sessions or caches in, each once. An empty list that
// is configured means none at all. Addresses that mean nothing here, such as those of TLS, are left out.
func Targets(configured []config.Redis, sessions, caches []string) []Target {
	if configured != nil && len(configured) == 0 {
		return nil
	}
	var targets []Target
	place := func(address string) *Target {
		address, usable := Address(address)
		if !usable {
			return nil
		}
		i := slices.IndexFunc(targets, func(t Target) bool { return t.Address == address })
		if i < 0 {
			i, targets = len(targets), append(targets, Target{Login: Login{Address: address}, Role: RoleOther})
		}
		return &targets[i]
	}
	for _, entry := range configured {
		if target := place(entry.Address); target != nil {
			target.User, target.PasswordFile = entry.User, entry.PasswordFile
		}
	}
	for _, address := range sessions {
		if target := place(address); target != nil {
			target.Role = RoleSession
		}
	}
	for _, address := range caches {
		switch target := place(address); {
		case target == nil:
		case target.Role == RoleSession || target.Role == RoleBoth:
			target.Role = RoleBoth
		default:
			target.Role = RoleCache
		}
	}
	return targets
}

const (
	defaultPort = "6379"
	maxAddress  = 255
)

// Address is an address as Moodle writes them, a socket or host:port with or without its port, in the one way that all
// of them are compared and shown in. It may come from a hostile file.
func Address(written string) (address string, usable bool) {
	written = strings.TrimPrefix(strings.TrimSpace(written), "unix://")
	if len(written) > maxAddress || strings.ContainsFunc(written, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", false
	}
	if strings.HasPrefix(written, "/") {
		return written, true
	}
	host, port, err := net.SplitHostPort(written)
	if err != nil {
		host, port = strings.Trim(written, "[]"), defaultPort
	}
	if host == "localhost" {
		host = "127.0.0.1" // PHP's and our own choice of address family must not make two servers of one
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 || host == "" {
		return "", false
	}
	if strings.ContainsAny(host, "/,@?#\"'") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}
