package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

// adviseBlocks prints what the exporter cannot arrange for itself, ready to paste. Nothing of it is needed
// for backups.
func (e *environment) adviseBlocks(ctx context.Context, found []*moodle.Site) {
	if len(found) > 0 {
		flavor := e.flavor(ctx, found)
		_, _ = fmt.Fprintf(e.stdout, "\nDatabase account of the exporter (run as root: mariadb), if it is not there yet:\n\n%s", moodle.Grants(found, flavor))
	}
	pools, err := phpfpm.ReadPools(phpfpm.DefaultGlobs...)
	if err != nil {
		_, _ = fmt.Fprintf(e.stdout, "\nPHP-FPM pools cannot be read: %v\n", err)
	}
	port := 9001
	for _, pool := range pools {
		if pool.StatusListen == "" {
			_, _ = fmt.Fprintf(e.stdout, "\nStatus of the PHP-FPM pool %s: add to %s and reload PHP-FPM:\n\n    pm.status_path = /status\n    pm.status_listen = 127.0.0.1:%d\n",
				pool.Name, pool.File, port)
			port++
		}
	}
}

// flavor is MariaDB or MySQL, as the first server that answers says; MariaDB where none does.
func (e *environment) flavor(ctx context.Context, found []*moodle.Site) string {
	for _, site := range found {
		version, err := serverVersion(ctx, site)
		if err == nil {
			return string(dbserver.FlavorOf(version))
		}
		e.logger.Debug("the server's version is not known", "site", site.Name, "err", err)
	}
	return string(dbserver.MariaDB)
}

func serverVersion(ctx context.Context, site *moodle.Site) (string, error) {
	connector, err := mysql.NewConnector(site.ConfigLogin().Driver("", 5*time.Second))
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	var version string
	err = db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	return version, err
}
