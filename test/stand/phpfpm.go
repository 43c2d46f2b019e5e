package stand

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// PHPFPMServer is a PHP-FPM master with one pool, www, as Debian configures it.
type PHPFPMServer struct {
	Socket       string // unix socket that the web server talks to
	StatusListen string // host:port where the status page is served over FastCGI, also when all workers are busy
	StatusPath   string
	ConfigFile   string
	process      *process
}

// StartPHPFPM starts PHP-FPM in dir/php-fpm, with environment (NAME=value) added to that of the
// workers. It ends with ctx or Close.
func StartPHPFPM(ctx context.Context, dir string, environment ...string) (*PHPFPMServer, error) {
	program, err := find("/usr/sbin/php-fpm[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("start PHP-FPM: %w", err)
	}
	web, err := WebUser()
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "php-fpm")
	// The master, which opens log and socket, stays what this process is; the workers become the web user.
	if err := makeOwned(home, Account{UID: os.Getuid()}, 0o755); err != nil {
		return nil, err
	}
	f := &PHPFPMServer{
		Socket: filepath.Join(home, "www.sock"), StatusPath: "/fpm-status",
		StatusListen: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), ConfigFile: filepath.Join(home, "php-fpm.conf"),
	}
	if err := os.WriteFile(f.ConfigFile, []byte(f.config(home, web)), 0o644); err != nil {
		return nil, fmt.Errorf("start PHP-FPM: %w", err)
	}
	own := Account{UID: os.Getuid()}
	f.process, err = startProcess(ctx, "PHP-FPM", filepath.Join(home, "output.log"), own, home, environment,
		program, "--nodaemonize", "--fpm-config", f.ConfigFile)
	if err != nil {
		return nil, err
	}
	return f, f.process.await(ctx, dials("unix", f.Socket))
}

func (f *PHPFPMServer) config(home string, web Account) string {
	accounts := ""
	if os.Getuid() == 0 {
		accounts = fmt.Sprintf("user = %s\ngroup = %s\nlisten.owner = %s\nlisten.group = %s\n", web.Name, web.Name, web.Name, web.Name)
	}
	return fmt.Sprintf(`[global]
error_log = %s
daemonize = no

[www]
%slisten = %s
listen.mode = 0660
pm = dynamic
pm.max_children = 5
pm.start_servers = 1
pm.min_spare_servers = 1
pm.max_spare_servers = 2
pm.status_path = %s
pm.status_listen = %s
clear_env = no
php_admin_value[max_input_vars] = 5000
php_admin_value[opcache.revalidate_freq] = 0
`, filepath.Join(home, "error.log"), accounts, f.Socket, f.StatusPath, f.StatusListen)
}

// Reload makes the pool read its configuration and all code anew (SIGUSR2, as systemctl reload does).
func (f *PHPFPMServer) Reload() error { return f.process.signal(syscall.SIGUSR2) }

// Pid is the process id of the master.
func (f *PHPFPMServer) Pid() int { return f.process.pid }

// Close ends the pool.
func (f *PHPFPMServer) Close() error { return f.process.stop() }

// dials is ready once something listens at the address.
func dials(network, address string) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return err
		}
		return c.Close()
	}
}
