package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// set is what a site holds beside the fixture's rows and files.
type set struct {
	name  string
	files int
	bytes int64 // of them together
	sql   int64 // bytes of SQL that the other rows make in a dump, roughly
	// restores is the number of rounds that restore as well.
	restores int
}

type object = map[string]any

// host is an ordinary Moodle host: one site with its database, web server, PHP pool and Redis.
type host struct {
	options
	set
	dir      string
	database *stand.MariaDBServer
	site     *stand.Site
	config   string
	settings object // what stands in it
	backups  string
	state    string
	content  *content
	restic   *restic
	stock    stock // that a restore must bring back
	rows     rows
	away     int                 // number of things put away
	watcher  *syscall.Credential // who the exporter runs as; nil: as this program, which is not root

	closers []func() error
}

func startHost(ctx context.Context, dir string, o options, s set) (h *host, err error) {
	h = &host{options: o, set: s, dir: dir, config: filepath.Join(dir, "config.yml"), backups: filepath.Join(dir, "backups"),
		state: filepath.Join(dir, "state"), content: newContent()}
	h.restic = &restic{host: h, name: "restic"}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.database, err = stand.StartMariaDB(ctx, dir, stand.MariaDBOptions{Settings: []string{"--innodb-buffer-pool-size=2G", "--innodb-log-file-size=256M"}}); err != nil {
		return h, err
	}
	h.closers = append(h.closers, h.database.Close)
	port, err := stand.FreePort()
	if err != nil {
		return h, err
	}
	h.site, err = stand.NewSite(ctx, dir, h.database, stand.SiteOptions{Fixture: true, Socket: true, WWWRoot: "https://localhost:" + strconv.Itoa(port)})
	if err != nil {
		return h, err
	}
	if err := h.takeWatcher(ctx); err != nil {
		return h, err
	}
	if err := h.startServers(ctx, port); err != nil {
		return h, err
	}
	return h, errors.Join(h.addFiles(ctx, s.files, s.bytes), h.addRows(ctx, s.sql))
}

// takeWatcher prepares what the exporter runs with on a real host: an account without any rights on the system, and one
// of its own in the database that may only read.
func (h *host) takeWatcher(ctx context.Context) error {
	if os.Getuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			return err
		}
		uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
		gid, _ := strconv.ParseUint(nobody.Gid, 10, 32)
		h.watcher = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}
	}
	if err := h.database.CreateAccount(ctx, "watcher", "watcher", h.site.Database, "SELECT"); err != nil {
		return err
	}
	return errors.Join(h.database.Exec(ctx, "GRANT SLAVE MONITOR ON *.* TO watcher@localhost"),
		os.WriteFile(filepath.Join(h.dir, "watcher.password"), []byte("watcher\n"), 0o644),
		h.copyBinary())
}

// copyBinary puts the binary where that account can run it.
func (h *host) copyBinary() error {
	content, err := os.ReadFile(h.binary)
	if err != nil {
		return fmt.Errorf("%w; make build makes it", err)
	}
	h.binary = filepath.Join(h.dir, "moodle-exporter")
	return os.WriteFile(h.binary, content, 0o755)
}

// startServers starts what else is watched, and writes the configuration that names it.
func (h *host) startServers(ctx context.Context, port int) error {
	pool, err := stand.StartPHPFPM(ctx, h.dir)
	if err != nil {
		return err
	}
	h.closers = append(h.closers, pool.Close)
	web, err := stand.StartNginx(ctx, h.dir, h.site, pool, stand.NginxOptions{Port: port})
	if err != nil {
		return err
	}
	h.closers = append(h.closers, web.Close)
	cache, err := stand.StartRedis(ctx, h.dir, "")
	if err != nil {
		return err
	}
	h.closers = append(h.closers, cache.Close)
	h.settings = object{
		"sites": []object{{"name": "bench", "dir": h.site.CodeDir, "database": object{
			"admin":   object{"user": h.database.RootUser(), "socket": h.database.Socket},
			"monitor": object{"user": "watcher", "socket": h.database.Socket, "password_file": filepath.Join(h.dir, "watcher.password")},
		}}},
		"backup":       object{"dir": h.backups},
		"services":     []string{"mariadb.service", "nginx.service", "php-fpm.service", "redis-server.service", "cron.service"},
		"phpfpm":       []object{{"listen": pool.StatusListen, "path": pool.StatusPath}},
		"nginx":        []string{web.StubStatusURL},
		"redis":        []object{{"address": cache.Address}},
		"certificates": object{"endpoints": []string{web.Address}},
	}
	return h.writeConfig(h.config)
}

func (h *host) writeConfig(path string) error {
	text, err := json.Marshal(h.settings) // JSON is YAML
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

func (h *host) close() (err error) {
	for _, end := range slices.Backward(h.closers) {
		err = errors.Join(err, end())
	}
	return err
}

func (h *host) describe() string {
	caches := "all that is read has been read before (warm caches)"
	if h.cold {
		caches = "caches emptied before each measurement"
	}
	return fmt.Sprintf("== %s site: %d content files of %d MB beside the fixture's; %s", h.name, h.files, h.bytes/1_000_000, caches)
}

// exporter is a command of the binary under measurement.
func (h *host) exporter(ctx context.Context, args ...string) *exec.Cmd {
	return h.exporterWith(ctx, h.config, args...)
}

func (h *host) exporterWith(ctx context.Context, config string, args ...string) *exec.Cmd {
	global := []string{"--config.file=" + config, "--state.dir=" + h.state, "--path.dbus-socket=" + filepath.Join(h.dir, "no-bus"), "--log.level=error"}
	command := exec.CommandContext(ctx, h.binary, append(global, args...)...)
	command.Stderr = os.Stderr
	return command
}

// serve is the exporter as its unit runs it: the privileged look has been taken by root before, and serve has no rights.
func (h *host) serve(ctx context.Context, args ...string) (*exec.Cmd, error) {
	if err := h.exporter(ctx, "probe").Run(); err != nil {
		return nil, fmt.Errorf("take the privileged look: %w", err)
	}
	// One service, which no bus answers for, is all that fails here; it is said once on the page and needs no line.
	command := h.exporter(ctx, append([]string{"serve"}, args...)...)
	command.Stderr = nil
	if h.watcher == nil {
		return command, nil
	}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: h.watcher}
	return command, filepath.WalkDir(h.state, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 0, int(h.watcher.Gid)))
	})
}
