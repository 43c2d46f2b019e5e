package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/database"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// privateServer is a database server for the drill alone: its own data, a socket, no network, no binary log.
type privateServer struct {
	dir  string
	end  context.CancelFunc
	done chan error
}

// serverSettings make a server that is thrown away: nothing it writes must survive a crash.
var serverSettings = []string{
	"--skip-networking", "--skip-log-bin", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
	"--innodb-buffer-pool-size=256M", "--max-allowed-packet=1G", "--performance-schema=OFF", "--innodb-log-file-size=256M",
}

const (
	serverNice  = 10
	serverGrace = 30 * time.Second
	// startTime bounds the start of a server with nothing in it.
	startTime = 2 * time.Minute
)

// startServer makes and starts the server, as the user of the packages.
func (d *drill) startServer(ctx context.Context) error {
	program, err := command.Look("mariadbd", "mysqld")
	if err != nil {
		return &backup.RefusedError{
			Happened: "there is no database server program on this host", Err: err, Means: "the drill starts one of its own, beside any that runs",
			Do: "install it, without starting it (Debian: mariadb-server), or run the drill on another host with --from=offsite",
		}
	}
	owner, err := d.serverUser()
	if err != nil {
		return err
	}
	s := &privateServer{dir: d.path("server"), done: make(chan error, 1)}
	// The site's code gets through it to the socket, and sees nothing else.
	// Not left to the umask: the restored code must get through to the socket.
	if err := errors.Join(os.Mkdir(s.dir, 0o711), os.Chmod(s.dir, 0o711), give(s.dir, owner)); err != nil { //nolint:gosec // listing it is for its owner alone
		return err
	}
	if err := d.install(ctx, s.dir, owner); err != nil {
		return fmt.Errorf("make a database server for the drill: %w", err)
	}
	arguments := append([]string{"--no-defaults", "--datadir=" + filepath.Join(s.dir, "data"), "--socket=" + s.socket(), "--pid-file=" + filepath.Join(s.dir, "pid"),
		"--tmpdir=" + s.dir, "--log-error=" + filepath.Join(s.dir, "log")}, serverSettings...)
	// The server outlives this step; it ends with remove, and with the lock file that it inherits others see that it has not.
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	s.end = end
	d.server = s
	go func() {
		s.done <- command.Run(running, command.Command{
			Name: program, Args: arguments, Dir: "/", User: owner, Nice: serverNice, Grace: serverGrace,
			Files: d.run.LockFiles(), Started: d.run.ChildStarted,
		})
	}()
	return s.await(ctx)
}

// install makes an empty data directory, with root let in without a password: the socket lies where only root and the
// drill's programs get to.
func (d *drill) install(ctx context.Context, dir string, owner *command.User) error {
	installer, err := command.Look("mariadb-install-db", "mysql_install_db")
	if err != nil {
		return err
	}
	return command.Run(ctx, command.Command{
		Name: installer, Dir: "/", User: owner, Nice: serverNice, Files: d.run.LockFiles(), Started: d.run.ChildStarted,
		Args: []string{"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--auth-root-authentication-method=normal", "--skip-test-db"},
	})
}

// serverUser is the account that Debian and Red Hat make for the server. Who is not root is that account himself.
func (d *drill) serverUser() (*command.User, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is the user that we are
	}
	return command.SiteUser("mysql")
}

func give(path string, to *command.User) error {
	if to == nil {
		return nil
	}
	return os.Lchown(path, int(to.UID), int(to.GID))
}

func (s *privateServer) socket() string { return filepath.Join(s.dir, "socket") }

func (s *privateServer) login() moodle.Login {
	return moodle.Login{User: "root", Network: "unix", Address: s.socket()}
}

// await returns when the server answers, or has ended.
func (s *privateServer) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		server, err := database.Connect(ctx, s.login())
		if err == nil {
			return server.Close()
		}
		select {
		case ended := <-s.done:
			s.done <- ended
			return fmt.Errorf("the drill's database server did not start: %w", errors.Join(ended, s.said()))
		case <-ctx.Done():
			return fmt.Errorf("the drill's database server did not start: %w", errors.Join(err, s.said()))
		case <-tick.C:
		}
	}
}

// said is the end of the server's log.
func (s *privateServer) said() error {
	content, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil || len(content) == 0 {
		return nil //nolint:nilerr // it had nothing to say
	}
	return errors.New(string(content[max(0, len(content)-1000):]))
}

// stop ends the server.
func (s *privateServer) stop() error {
	if s == nil {
		return nil
	}
	s.end()
	err := <-s.done
	s.done <- err
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
