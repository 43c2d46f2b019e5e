package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
	"github.com/moodle-exporter/moodle-exporter/internal/redis"
)

// adviseBlocks prints what the exporter cannot arrange for itself, ready to paste. Nothing of it is needed
// for backups.
func (e *environment) adviseBlocks(ctx context.Context, settings *config.Config, found []*moodle.Site) {
	if len(found) > 0 {
		flavor := e.flavor(ctx, found)
		_, _ = fmt.Fprintf(e.stdout, "\nDatabase account of the exporter (run as root: mariadb), if it is not there yet:\n\n%s", moodle.Grants(found, flavor))
	}
	if settings.PHPFPM == nil {
		e.advisePools()
	}
	if settings.Nginx == nil {
		e.adviseNginx()
	}
	e.adviseRedis(ctx, settings, found)
}

// advisePools prints what pools lack that tell their status nowhere. Loopback ports, not sockets: the exporter is in no
// group that may open the sockets of PHP.
func (e *environment) advisePools() {
	pools, err := phpfpm.ReadPools(phpfpm.DefaultGlobs...)
	if err != nil {
		_, _ = fmt.Fprintf(e.stdout, "\nPHP-FPM pools cannot be read: %v\n", err)
	}
	taken := map[string]bool{}
	for _, pool := range pools {
		_, address := phpfpm.Dialable(pool.StatusListen)
		taken[address] = true
	}
	port := 9001
	for _, target := range phpfpm.Targets(pools) {
		if target.Missing == "" {
			continue
		}
		pool := target.Known
		_, _ = fmt.Fprintf(e.stdout, "\nStatus of the PHP-FPM pool %s: add to %s, reload PHP-FPM and %s:\n\n", pool.Name, pool.File, lookAgain)
		if pool.StatusPath == "" {
			_, _ = fmt.Fprintf(e.stdout, "    pm.status_path = %s\n", phpfpm.DefaultStatusPath)
		}
		if pool.StatusListen == "" {
			for taken[fmt.Sprintf("127.0.0.1:%d", port)] {
				port++
			}
			_, _ = fmt.Fprintf(e.stdout, "    pm.status_listen = 127.0.0.1:%d\n", port)
			port++
		}
	}
}

// lookAgain ends what is to be done where serve learns of it by the probe alone.
const lookAgain = "run moodle-exporter probe (its timer does so every 5 minutes)"

// stubStatus is a server of its own: it works whatever the sites' own servers look like.
const stubStatus = `server {
    listen 127.0.0.1:8089;
    location = /nginx_status { stub_status; access_log off; }
    location / { return 404; }
}
`

// adviseNginx prints the server that tells nginx's status, where nginx is there and none does.
func (e *environment) adviseNginx() {
	pages, err := nginx.StatusPages(nginx.DefaultFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) || len(pages) > 0:
	case err != nil:
		_, _ = fmt.Fprintf(e.stdout, "\nThe configuration of nginx cannot be read: %v\n", err)
	default:
		_, _ = fmt.Fprintf(e.stdout, "\nStatus of nginx: write to /etc/nginx/conf.d/moodle-exporter.conf, reload nginx and %s:\n\n%s", lookAgain, indent(stubStatus))
	}
}

// adviseRedis says which servers do not answer and what they want.
func (e *environment) adviseRedis(ctx context.Context, settings *config.Config, found []*moodle.Site) {
	var sessions, caches []string
	for _, site := range found {
		sessions = append(sessions, redisSessions(site.Config)...)
		servers, err := moodle.CacheServers(site.Config.DataRoot)
		if err != nil {
			_, _ = fmt.Fprintf(e.stdout, "\nThe caches of site %s are not known: %v\n", site.Name, err)
		}
		caches = append(caches, servers...)
	}
	for _, target := range redis.Targets(settings.Redis, sessions, caches) {
		client := redis.NewClient(target.Login)
		if _, err := client.Info(ctx); err != nil {
			_, _ = fmt.Fprintf(e.stdout, "\nRedis %s (%s): %v\n", target.Address, target.Role, err)
		}
		client.Close()
	}
}

// indent sets a block off from the text around it.
func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
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
