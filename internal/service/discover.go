package service

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
)

// siteServices are the units that a Moodle site may stand on, under the names of Debian, Ubuntu and Red Hat.
var siteServices = []string{
	"nginx.service", "apache2.service", "httpd.service", "caddy.service", "lighttpd.service", "haproxy.service", "varnish.service",
	"php*-fpm.service",
	"mariadb.service", "mariadb@*.service", "mysql.service", "mysqld.service", "postgresql@*.service", "postgresql.service",
	"redis-server.service", "redis-server@*.service", "redis.service", "redis@*.service", "valkey-server.service", "valkey.service",
	"memcached.service",
	"cron.service", "crond.service",
}

// Discover names the units of siteServices that this host uses: enabled ones, and others that run or have failed.
func (b *Bus) Discover(ctx context.Context) ([]string, error) {
	var found []string
	err := b.ask(ctx, func(ctx context.Context, systemd *dbus.Conn) error {
		// The last attempt's names must not stay if this is the second one.
		names, err := used(ctx, systemd)
		found = names
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for the site's services: %w", err)
	}
	return found, nil
}

func used(ctx context.Context, systemd *dbus.Conn) ([]string, error) {
	// Another name of the same unit has the state alias, and is left out by that.
	files, err := systemd.ListUnitFilesByPatternsContext(ctx, []string{"enabled", "enabled-runtime"}, siteServices)
	if err != nil {
		return nil, fmt.Errorf("list unit files: %w", err)
	}
	units, err := systemd.ListUnitsByPatternsContext(ctx, []string{"active", "reloading", "activating", "deactivating", "failed"}, siteServices)
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	var names []string
	for _, file := range files {
		names = append(names, path.Base(file.Path))
	}
	for _, unit := range units {
		names = append(names, unit.Name)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "@.service") })
	slices.Sort(names)
	return slices.Compact(names), nil
}
