package collector

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/redis"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestSessionsInRedis: since 4.5 they have no rows; those of another site in the same server, users and locks are none.
func TestSessionsInRedis(t *testing.T) {
	_, sites := theFleet(t)
	stand.Need(t, stand.Redis)
	dir := stand.TempDir(t)
	server, err := stand.StartRedis(t.Context(), dir, watcherPassword)
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	login := redis.Login{Address: server.Address, PasswordFile: sites[0].Monitor.PasswordFile}
	site := sites[0]
	site.Config.SessionHandler, site.Config.RedisPrefix, site.Config.RedisDatabase = `\core\session\redis`, "lms_", "2"
	fillRedis(t, server, "SELECT 2", "SET lms_session_a x", "SET lms_session_b x", "SET lms_user_1 x", "SET lms_session_a.lock x", "SET session_c x", "SELECT 0", "SET lms_session_d x")
	a, _ := activityCollector(t, sites[:1])
	known := true
	a.Redis = func(*moodle.Site) (redis.Login, bool) { return login, known }
	for _, step := range []struct {
		what  string
		make  func()
		there bool
	}{
		{"asked", func() {}, true},
		{"without its password", func() { login.PasswordFile = "" }, false},
		{"a strange database", func() { login.PasswordFile, site.Config.RedisDatabase = sites[0].Monitor.PasswordFile, "x" }, false},
		{"asked again", func() { site.Config.RedisDatabase = "2" }, true},
		{"not known", func() { known = false }, false},
		{"gone", func() { known = true; must(t, server.Close()) }, false},
	} {
		step.make()
		got, err := refreshed(t, a)
		must(t, err)
		if sessions, there := got["sessions{lms}"]; there != step.there || there && sessions != 2 {
			t.Errorf("%s: %v sessions (there: %v)", step.what, sessions, there)
		}
	}
}

// fillRedis gives commands to a server, as words with spaces between them.
func fillRedis(t *testing.T, server *stand.RedisServer, commands ...string) {
	t.Helper()
	_, port, err := net.SplitHostPort(server.Address)
	must(t, err)
	command := exec.CommandContext(t.Context(), "redis-cli", "-p", port)
	command.Env = append(os.Environ(), "REDISCLI_AUTH="+server.Password)
	command.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if answer, err := command.CombinedOutput(); err != nil || strings.Count(string(answer), "OK") != len(commands) {
		t.Fatalf("redis-cli: %v: %s", err, answer)
	}
}
