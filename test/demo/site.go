package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// Passwords of the demo's own servers, which live as long as it does and listen on loopback only.
const (
	monitorUser     = "moodle-exporter"
	monitorPassword = `demo 'monitor' "password"`
	redisPassword   = "demo redis password"
)

// cronInterval is that of a real site's crontab line.
const cronInterval = time.Minute

func (d *demo) startDatabase(ctx context.Context) (err error) {
	if d.database, err = stand.StartMariaDB(ctx, d.dir, stand.MariaDBOptions{}); err != nil {
		return err
	}
	d.atEnd(d.database.Close)
	return nil
}

// startSite builds the site. Its address must be known beforehand: it stands in config.php.
func (d *demo) startSite(ctx context.Context) error {
	port, err := stand.FreePort()
	if err != nil {
		return err
	}
	d.site, err = stand.NewSite(ctx, d.dir, d.database, stand.SiteOptions{
		Name: "demo", Socket: true, WWWRoot: "https://localhost:" + strconv.Itoa(port),
	})
	if err != nil {
		return err
	}
	if err := d.database.CreateAccount(ctx, monitorUser, monitorPassword, d.site.Database, "SELECT"); err != nil {
		return err
	}
	return d.database.Exec(ctx,
		"GRANT SLAVE MONITOR ON *.* TO `"+monitorUser+"`@localhost", "GRANT SLAVE MONITOR ON *.* TO `"+monitorUser+"`@`127.0.0.1`")
}

// startCron runs the site's cron at once and then every minute.
func (d *demo) startCron(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	runCron := func() error {
		out, err := d.site.CLI(ctx, "cron", "--keep-alive=0").CombinedOutput()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("cron.php: %w: %s", err, out)
		}
		return nil
	}
	if err := runCron(); err != nil {
		cancel()
		return err
	}
	var loop sync.WaitGroup
	loop.Go(func() {
		tick := time.NewTicker(cronInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := runCron(); err != nil {
					fmt.Fprintln(os.Stderr, "demo:", err)
				}
			}
		}
	})
	d.atEnd(func() error { cancel(); loop.Wait(); return nil })
	return nil
}

func (d *demo) startWeb(ctx context.Context) (err error) {
	if d.fpm, err = stand.StartPHPFPM(ctx, d.dir); err != nil {
		return err
	}
	d.atEnd(d.fpm.Close)
	var port int
	if _, err := fmt.Sscanf(d.site.WWWRoot, "https://localhost:%d", &port); err != nil {
		return fmt.Errorf("read the port of %s: %w", d.site.WWWRoot, err)
	}
	if d.nginx, err = stand.StartNginx(ctx, d.dir, d.site, d.fpm, stand.NginxOptions{Port: port}); err != nil {
		return err
	}
	d.atEnd(d.nginx.Close)
	return nil
}

func (d *demo) startRedis(ctx context.Context) (err error) {
	if d.redis, err = stand.StartRedis(ctx, d.dir, redisPassword); err != nil {
		return err
	}
	d.atEnd(d.redis.Close)
	return nil
}
