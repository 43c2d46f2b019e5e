package control

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// served is a site behind PHP-FPM and nginx.
type served struct {
	*place
	fpm   *stand.PHPFPMServer
	web   *stand.NginxServer
	known []phpfpm.Pool
	pools []phpfpm.Pool
}

func newServed(t *testing.T, options stand.SiteOptions) *served {
	t.Helper()
	stand.Need(t, stand.PHPFPM, stand.Nginx)
	port, err := stand.FreePort()
	must(t, err)
	options.WWWRoot = "https://localhost:" + strconv.Itoa(port)
	s := &served{place: newPlace(t, options)}
	s.fpm, err = stand.StartPHPFPM(t.Context(), s.dir, s.Environment()...)
	must(t, err)
	t.Cleanup(func() { must(t, s.fpm.Close()) })
	s.web, err = stand.StartNginx(t.Context(), s.dir, s.Site, s.fpm, stand.NginxOptions{Port: port})
	must(t, err)
	t.Cleanup(func() { must(t, s.web.Close()) })
	s.known, err = phpfpm.ReadPools(s.fpm.ConfigFile)
	must(t, err)
	s.pools, err = SitePools(s.site, s.known, filepath.Join(s.dir, "nginx/nginx.conf"))
	must(t, err)
	if len(s.pools) != 1 || s.pools[0].Listen != s.fpm.Socket || s.pools[0].StatusListen == "" {
		t.Fatalf("pools %+v", s.pools)
	}
	return s
}

// configure adds lines to the pool and lets PHP-FPM begin anew.
func (s *served) configure(lines string) {
	s.t.Helper()
	content, err := os.ReadFile(s.fpm.ConfigFile)
	must(s.t, err)
	must(s.t, os.WriteFile(s.fpm.ConfigFile, append(content, []byte(lines)...), 0o644))
	must(s.t, ReloadPool(s.t.Context(), nil, s.pools[0]))
}

func (s *served) check(since time.Time) (PoolAnswer, error) {
	answer, err := CheckPool(s.t.Context(), s.site, PoolCheck{Pools: s.pools, CodeSince: since})
	if _, left := os.Lstat(filepath.Join(s.Dataroot, checkDir)); left == nil {
		s.t.Error("the check's file is still there")
	}
	return answer, err
}

func TestCheckPool(t *testing.T) {
	t.Parallel()
	for _, options := range []stand.SiteOptions{{Version: "4.5", Name: "pool45"}, {Version: "5.1", Name: "pool51", Config: stand.ConfigGetenv}} {
		t.Run(options.Version, func(t *testing.T) {
			s := newServed(t, options)
			_, err := EnterMaintenance(s.site, time.Time{})
			must(t, err)
			if status := s.get("/"); status != http.StatusServiceUnavailable {
				t.Errorf("the site answers %d while it is closed", status)
			}
			answer, err := s.check(time.Time{})
			if err != nil || answer.Dir != s.DocRoot || answer.CodeVersion != s.Version || answer.DatabaseVersion != s.Version ||
				answer.WWWRoot != s.WWWRoot || !answer.Opcache || !answer.Revalidates || answer.OpcacheSince.IsZero() || answer.PHP == "" {
				t.Errorf("%+v, %v", answer, err)
			}
			// All that the pool may read is code and dataroot.
			s.configure("php_admin_value[open_basedir] = " + s.CodeDir + ":" + s.Dataroot + "\n")
			if _, err = s.check(time.Time{}); err != nil {
				t.Errorf("with open_basedir: %v", err)
			}
			s.broken()
		})
	}
}

// broken tries what must fail the check.
func (s *served) broken() {
	t := s.t
	for _, c := range []struct{ what, break_, mend, want string }{
		{"older database", "UPDATE {config} SET value = '2020010100' WHERE name = 'version'", "UPDATE {config} SET value = '" + s.Version + "' WHERE name = 'version'", "the database is of version 2020010100"},
		{"no users", "UPDATE {user} SET deleted = deleted + 2", "UPDATE {user} SET deleted = deleted - 2", "table of users is empty"},
		{"no table of users", "RENAME TABLE {user} TO {user_away}", "RENAME TABLE {user_away} TO {user}", "does not start there"},
		{"an upgrade at work", "INSERT INTO {config} (name, value) VALUES ('upgraderunning', UNIX_TIMESTAMP() + 100)", "DELETE FROM {config} WHERE name = 'upgraderunning'", "Site is being upgraded"},
	} {
		s.exec(c.break_)
		_, err := s.check(time.Time{})
		if err == nil || errors.Is(err, ErrNotChecked) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
		s.exec(c.mend)
	}
	s.edit("config.php", "<?php", "<?php this is no PHP")
	if _, err := s.check(time.Time{}); err == nil || errors.Is(err, ErrNotChecked) || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("broken config.php: %v", err)
	}
	s.edit("config.php", "<?php this is no PHP", "<?php")
	if _, err := s.check(time.Time{}); err != nil {
		t.Errorf("mended: %v", err)
	}
}

// get asks nginx for a page.
func (s *served) get(path string) int {
	s.t.Helper()
	answer, err := s.web.Client().Get(s.web.URL + path)
	must(s.t, err)
	must(s.t, answer.Body.Close())
	return answer.StatusCode
}

// A check that cannot be made is no fault of the site.
func TestCheckPoolNotMade(t *testing.T) {
	t.Parallel()
	s := newServed(t, stand.SiteOptions{})
	notMade := func(what string) {
		t.Helper()
		var why *NotCheckedError
		if _, err := s.check(time.Time{}); !errors.Is(err, ErrNotChecked) || !errors.As(err, &why) {
			t.Errorf("%s: %v", what, err)
		}
	}
	pool := s.pools[0]
	s.pools = nil
	notMade("no pool")
	s.pools = []phpfpm.Pool{{Listen: "/nonexistent.sock"}}
	notMade("no socket")
	s.pools = []phpfpm.Pool{pool}
	s.configure("chroot = " + s.CodeDir + "\n")
	notMade("a chroot")
	must(t, s.fpm.Close())
	notMade("no PHP-FPM")
	if err := ReloadPool(t.Context(), nil, pool); !errors.Is(err, ErrNoMaster) {
		t.Errorf("reload: %v", err)
	}
	if err := Drain(t.Context(), s.site, s.pools, time.Now(), time.Second); !errors.Is(err, ErrNotChecked) {
		t.Errorf("drain: %v", err)
	}
}

// Where opcache never looks at files again, old code is served until the pool is reloaded, and the check knows.
func TestOldCode(t *testing.T) {
	t.Parallel()
	s := newServed(t, stand.SiteOptions{})
	// Without the second line files of the last two seconds would not be kept.
	s.configure("php_admin_value[opcache.validate_timestamps] = 0\nphp_admin_value[opcache.file_update_protection] = 0\n")
	if _, err := s.check(time.Time{}); err != nil {
		t.Fatal(err)
	}
	login := func() string {
		answer, err := s.web.Client().Get(s.web.URL + "/login/index.php")
		must(t, err)
		defer answer.Body.Close()
		body := make([]byte, 4096)
		n, _ := answer.Body.Read(body)
		return string(body[:n])
	}
	if !strings.Contains(login(), "Log in to the site") {
		t.Fatal("no login page")
	}
	// The clock of opcache has seconds, and the code changes in a later one than that in which the pool began.
	began := time.Now()
	await(t, "the next second", func() bool { return time.Now().Unix() > began.Unix()+1 })
	switched := time.Now()
	s.edit("login/index.php", "Log in to the site", "Log in to the new site")
	if strings.Contains(login(), "Log in to the new site") {
		t.Error("the pool looks for changes, so that this test shows nothing")
	}
	if _, err := s.check(switched); err == nil || errors.Is(err, ErrNotChecked) || !strings.Contains(err.Error(), "validate_timestamps=0") {
		t.Errorf("old code, same version: %v", err)
	}
	s.update("2024100799.00")
	s.exec("UPDATE {config} SET value = '2024100799.00' WHERE name = 'version'")
	if _, err := s.check(time.Time{}); err == nil || !strings.Contains(err.Error(), "PHP-FPM runs code of version 2024100705.01, and 2024100799.00 is on disk") {
		t.Errorf("old code, old version: %v", err)
	}
	must(t, ReloadPool(t.Context(), nil, s.pools[0]))
	if _, err := s.check(switched); err != nil {
		t.Errorf("after the reload: %v", err)
	}
	if !strings.Contains(login(), "Log in to the new site") {
		t.Error("old code after the reload")
	}
}

// A pool without children at rest has nobody to wait for, and is reloaded all the same.
func TestReloadOnDemand(t *testing.T) {
	t.Parallel()
	s := newServed(t, stand.SiteOptions{})
	content, err := os.ReadFile(s.fpm.ConfigFile)
	must(t, err)
	// Its status has a child of its own.
	must(t, os.WriteFile(s.fpm.ConfigFile, regexp.MustCompile(`(?m)^pm.status_listen.*$`).ReplaceAll(content, nil), 0o644))
	s.configure("pm = ondemand\npm.process_idle_timeout = 1s\nphp_admin_value[opcache.validate_timestamps] = 0\n")
	if _, err := s.check(time.Time{}); err != nil {
		t.Fatal(err)
	}
	await(t, "an idle pool", func() bool {
		master, err := lookAt(procRoot, s.fpm.Pid())
		return err == nil && len(master.children) == 0
	})
	began := time.Now()
	await(t, "the next second", func() bool { return time.Now().Unix() > began.Unix()+1 })
	since := time.Now()
	must(t, ReloadPool(t.Context(), nil, s.pools[0]))
	if _, err := s.check(since); err != nil {
		t.Error(err)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	s := newServed(t, stand.SiteOptions{})
	release := filepath.Join(s.Dataroot, "release")
	slow := "<?php while (!is_file('" + release + "')) { usleep(10000); clearstatcache(); } echo 'done';"
	must(t, os.WriteFile(filepath.Join(s.DocRoot, "slow.php"), []byte(slow), 0o644))
	answered := make(chan int, 1)
	go func() { answered <- s.get("/slow.php") }()
	await(t, "the request", func() bool {
		times, err := phpfpm.ReadRequests(t.Context(), s.pools[0].StatusListen, s.pools[0].StatusPath)
		return err == nil && len(times) == 1 && times[0] > 20*time.Millisecond
	})
	closed := time.Now()
	_, err := EnterMaintenance(s.site, time.Time{})
	must(t, err)
	drain := func(limit time.Duration) error { return Drain(t.Context(), s.site, s.pools, closed, limit) }
	if err := drain(300 * time.Millisecond); !errors.Is(err, ErrStillBusy) || !strings.Contains(err.Error(), "1, at work for") {
		t.Errorf("%v", err)
	}
	must(t, os.WriteFile(release, nil, 0o644))
	must(t, drain(20*time.Second))
	if status := <-answered; status != http.StatusOK {
		t.Errorf("the request that was waited for got %d", status)
	}
	must(t, os.Remove(release))
	// Requests that come while the site is closed are not waited for.
	go func() { answered <- s.get("/slow.php") }()
	must(t, drain(5*time.Second))
	must(t, os.WriteFile(release, nil, 0o644))
	<-answered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Drain(ctx, s.site, s.pools, closed, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("a job that ends: %v", err)
	}
	pool := s.pools[0]
	pool.StatusListen = ""
	must(t, Drain(t.Context(), s.site, []phpfpm.Pool{pool}, closed, 5*time.Second)) // by the pool's own socket
	pool.StatusPath = ""
	if err := Drain(t.Context(), s.site, []phpfpm.Pool{pool}, closed, time.Second); !errors.Is(err, ErrNotChecked) {
		t.Errorf("a pool without status: %v", err)
	}
}
