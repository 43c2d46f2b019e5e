package database

import (
	"context"
	"errors"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// ConnectSite logs in to a site's server with the account for backups and restores. Where none is configured and root is
// not let in over the socket, the site's own account is tried. A server that is too old comes with an *UnsupportedError.
func ConnectSite(ctx context.Context, site *moodle.Site) (*Server, error) {
	login, err := site.AdminLogin()
	if err != nil {
		return nil, err
	}
	server, err := Connect(ctx, login)
	var old *UnsupportedError
	if err == nil || errors.As(err, &old) || site.Admin != (config.Account{}) || site.Config.DBUser == "" {
		return server, err
	}
	own, second := Connect(ctx, site.ConfigLogin())
	if second != nil {
		return nil, errors.Join(err, second)
	}
	return own, nil
}
