package collector

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/fastcgi"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// startPool starts a real PHP-FPM whose pool has max children and listens at the socket, or at listen if that is given.
func startPool(t *testing.T, listen string, most int) (*stand.PHPFPMServer, phpfpm.Pool) {
	t.Helper()
	stand.Need(t, stand.PHPFPM)
	fpm, err := stand.StartPHPFPM(t.Context(), stand.TempDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fpm.Close() })
	text, err := os.ReadFile(fpm.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	if listen == "" {
		listen = fpm.Socket
	}
	// The pool as the stand starts it needs no reload, which takes PHP-FPM two seconds.
	stays := listen == fpm.Socket && most == 5
	changed := strings.NewReplacer("listen = "+fpm.Socket, "listen = "+listen, "pm.max_children = 5", fmt.Sprintf("pm.max_children = %d", most),
		"pm.max_spare_servers = 2", "pm.max_spare_servers = 1").Replace(string(text))
	if err := os.WriteFile(fpm.ConfigFile, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	if !stays {
		if err := fpm.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	pools, err := phpfpm.ReadPools(fpm.ConfigFile)
	if err != nil || len(pools) != 1 {
		t.Fatal(pools, err)
	}
	// The old status page ends with the old workers.
	eventually(t, func() error {
		status, err := phpfpm.ReadStatus(t.Context(), fpm.StatusListen, fpm.StatusPath)
		if err == nil && (*status.Idle != 1 || *status.Active != 0) {
			err = fmt.Errorf("%v idle, %v active", *status.Idle, *status.Active)
		}
		if err == nil && strings.HasPrefix(listen, "127.") {
			network, address := phpfpm.Dialable(listen)
			var conn net.Conn
			if conn, err = net.Dial(network, address); err == nil {
				_ = conn.Close()
			}
		}
		return err
	})
	return fpm, pools[0]
}

func targetsOf(targets ...phpfpm.Target) func() []phpfpm.Target {
	return func() []phpfpm.Target { return targets }
}

func TestPHPFPM(t *testing.T) {
	_, pool := startPool(t, "", 5)
	old := pool
	pool.Version, old.Version, old.StatusListen, old.File = "8.2", "8.1", "", "/etc/php/8.1/fpm/pool.d/www.conf"
	unnamed := phpfpm.TargetAt(pool.StatusListen, pool.StatusPath, nil)
	unnamed.Server = "by address"
	err := wantSeries(t, NewPHPFPM("/proc", targetsOf(append(phpfpm.Targets([]phpfpm.Pool{pool, old, pool}), unnamed)...)), `
		phpfpm_up{www,8.2} 1
		phpfpm_max_children{www,8.2} 5
		phpfpm_listen_queue{www,8.2} 0
		phpfpm_start_time_seconds{www,8.2} *
		phpfpm_processes{www,8.2,active} 0
		phpfpm_processes{www,8.2,idle} 1
		phpfpm_max_children_reached_total{www,8.2} 0
		phpfpm_slow_requests_total{www,8.2} 0
		phpfpm_accepted_connections_total{www,8.2} 1
		phpfpm_up{www,by address} 1
		phpfpm_start_time_seconds{www,by address} *
		phpfpm_processes{www,by address,active} 0
		phpfpm_processes{www,by address,idle} 1
		phpfpm_max_children_reached_total{www,by address} 0
		phpfpm_slow_requests_total{www,by address} 0
		phpfpm_accepted_connections_total{www,by address} 1
		phpfpm_up{www,8.1} 0
		phpfpm_max_children{www,8.1} 5`)
	wantTrouble(t, err, "PHP-FPM 8.1, pool www: pm.status_listen is not set in /etc/php/8.1/fpm/pool.d/www.conf", "config check")
	if strings.Contains(err.Error(), "8.2") {
		t.Error(err)
	}
}

// A saturated pool tells that it is, and how many wait, over a unix socket as over TCP: nothing else than these numbers
// says why a site hangs.
func TestPHPFPMSaturated(t *testing.T) {
	for name, listen := range map[string]string{"unix": "", "tcp": closedPort(t)} {
		t.Run(name, func(t *testing.T) {
			fpm, pool := startPool(t, listen, 1)
			pool.Version = "8.2"
			home := filepath.Dir(fpm.ConfigFile)
			script, gate := filepath.Join(home, "slow.php"), filepath.Join(home, "gate")
			if err := os.WriteFile(script, []byte("<?php fopen('"+gate+"', 'r'); echo 'done';"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(gate, 0o666); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(gate, 0o666); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var requests sync.WaitGroup
			for range 3 {
				requests.Go(func() {
					network, address := phpfpm.Dialable(pool.Listen)
					_, _ = fastcgi.Do(ctx, network, address, fastcgi.Request{Params: map[string]string{"SCRIPT_FILENAME": script, "REQUEST_METHOD": "GET"}})
				})
			}
			defer func() { cancel(); requests.Wait() }()
			c := NewPHPFPM("/proc", targetsOf(phpfpm.Targets([]phpfpm.Pool{pool})...))
			eventually(t, func() error {
				got, err := seriesOf(t, c)
				if got["phpfpm_listen_queue{www,8.2}"] != 2 || got["phpfpm_max_children_reached_total{www,8.2}"] == 0 {
					err = fmt.Errorf("%v, %w", got, err)
				}
				return err
			})
			err := wantSeries(t, c, `
				phpfpm_up{www,8.2} 1
				phpfpm_max_children{www,8.2} 1
				phpfpm_listen_queue{www,8.2} 2
				phpfpm_start_time_seconds{www,8.2} *
				phpfpm_processes{www,8.2,active} 1
				phpfpm_processes{www,8.2,idle} 0
				phpfpm_max_children_reached_total{www,8.2} *
				phpfpm_slow_requests_total{www,8.2} 0
				phpfpm_accepted_connections_total{www,8.2} *`)
			if err != nil {
				t.Error(err)
			}
			// The pool's own listen has no child to spare for its status.
			got, err := brieflyUpdate(t, NewPHPFPM("/proc", targetsOf(phpfpm.TargetAt(pool.Listen, pool.StatusPath, []phpfpm.Pool{pool}))))
			wantTrouble(t, err, "deadline exceeded")
			wantValues(t, got, map[string]float64{"phpfpm_up{www,8.2}": 0, "phpfpm_max_children{www,8.2}": 1})
		})
	}
}

func TestPHPFPMDown(t *testing.T) {
	fpm, pool := startPool(t, "", 5)
	pool.Version = "8.2"
	other := pool
	other.Name, other.StatusPath = "other", "/not-this"
	hung := phpfpm.Pool{Name: "hung", Listen: "/nowhere.sock", StatusListen: silent(t), StatusPath: "/status"}
	web := phpfpm.Pool{Name: "web", Listen: "9000", StatusPath: "/status",
		StatusListen: stand.AnswerLoopback(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) })}
	unnamed := phpfpm.TargetAt(fpm.StatusListen, fpm.StatusPath, nil)
	c := NewPHPFPM("/proc", targetsOf(append(phpfpm.Targets([]phpfpm.Pool{pool, other, hung, web}), unnamed)...))
	address := fpm.StatusListen
	got, err := brieflyUpdate(t, c)
	wantTrouble(t, err, "PHP-FPM 8.2, pool other: read PHP-FPM status: "+address+" knows no /not-this", "PHP-FPM /nowhere.sock, pool hung: ", "deadline exceeded",
		"PHP-FPM 9000, pool web: ", "does not speak FastCGI")
	wantValues(t, got, map[string]float64{"phpfpm_up{www,8.2}": 1, "phpfpm_up{other,8.2}": 0, "phpfpm_up{hung,/nowhere.sock}": 0, "phpfpm_up{web,9000}": 0,
		"phpfpm_up{www," + address + "}": 1})
	if err := fpm.Close(); err != nil {
		t.Fatal(err)
	}
	got, err = brieflyUpdate(t, c)
	wantTrouble(t, err, "PHP-FPM 8.2, pool www: ", "connection refused")
	wantValues(t, got, map[string]float64{"phpfpm_up{www,8.2}": 0, "phpfpm_max_children{www,8.2}": 5, "phpfpm_up{www," + address + "}": 0})
	if len(got) != 7 {
		t.Errorf("more than what is known: %v", got)
	}
}
