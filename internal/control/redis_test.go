package control

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

const redisPassword = `it's "hard" \ $x`

func startRedis(t *testing.T) *stand.RedisServer {
	t.Helper()
	stand.Need(t, stand.Redis)
	server, err := stand.StartRedis(t.Context(), stand.TempDir(t), redisPassword)
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	return server
}

// tell sends commands and returns the lines of the last answer, sorted.
func tell(t *testing.T, server *stand.RedisServer, commands ...[]string) []string {
	t.Helper()
	conn, err := net.Dial("tcp", server.Address)
	must(t, err)
	defer conn.Close()
	from := bufio.NewScanner(conn)
	for _, words := range append([][]string{{"AUTH", redisPassword}}, commands...) {
		fmt.Fprintf(conn, "*%d\r\n", len(words))
		for _, word := range words {
			fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(word), word)
		}
		from.Scan()
		if strings.HasPrefix(from.Text(), "-") {
			t.Fatalf("%q: %s", words, from.Text())
		}
	}
	var lines []string
	if count, found := strings.CutPrefix(from.Text(), "*"); found {
		var n int
		_, err := fmt.Sscan(count, &n)
		must(t, err)
		for range n {
			from.Scan()
			from.Scan()
			lines = append(lines, from.Text())
		}
	}
	slices.Sort(lines)
	return lines
}

func fill(t *testing.T, server *stand.RedisServer, database string, keys []string) {
	t.Helper()
	words := []string{"MSET"}
	for _, key := range keys {
		words = append(words, key, "x")
	}
	tell(t, server, []string{"SELECT", database}, []string{"FLUSHDB"}, words)
}

// Only this site's sessions go, whoever else keeps keys in the same database.
func TestDropSessionsInRedis(t *testing.T) {
	server := startRedis(t)
	const id = "abcdefghij0123456789abcdef"
	site := func(name, branch, prefix string) *moodle.Site {
		return &moodle.Site{Name: name, Version: moodle.Version{Branch: branch}, Config: moodle.PHPConfig{DataRoot: t.TempDir(),
			SessionHandler: `\core\session\redis`, RedisSession: server.Address, RedisDatabase: "2", RedisPrefix: prefix, RedisPassword: redisPassword}}
	}
	keys := []string{"m_session_" + id, "m_session_" + id + ".lock", "m_user_7", "m_other", "m_2_session_" + id, "m_2_user_7", "session_" + id, "user_7",
		"m_" + id, "m_" + id + ".lock", "m_2_" + id, id}
	for _, c := range []struct {
		site   *moodle.Site
		others []*moodle.Site
		gone   []string // nil: refused
	}{
		{site("lms", "501", "m_"), []*moodle.Site{site("second", "501", "m_2_"), site("lms", "501", "m_")}, keys[:3]},
		{site("lms", "405", "m_"), nil, keys[:3]},
		{site("lms", "405", ""), []*moodle.Site{site("second", "501", "m_2_")}, keys[6:8]},
		{site("lms", "401", "m_"), nil, []string{"m_" + id, "m_" + id + ".lock"}},
		{site("lms", "401", ""), nil, nil},
		{site("lms", "501", ""), []*moodle.Site{site("second", "405", "")}, nil},
	} {
		fill(t, server, "0", keys)
		fill(t, server, "2", keys)
		dropped, err := DropSessions(t.Context(), c.site, c.others)
		if c.gone == nil != errors.Is(err, ErrSessionsLeft) || dropped.Keys != len(c.gone) {
			t.Errorf("%s prefix %q: %+v, %v", c.site.Version.Branch, c.site.Config.RedisPrefix, dropped, err)
		}
		want := slices.DeleteFunc(slices.Sorted(slices.Values(keys)), func(key string) bool { return slices.Contains(c.gone, key) })
		if got := tell(t, server, []string{"SELECT", "2"}, []string{"KEYS", "*"}); !slices.Equal(got, want) {
			t.Errorf("%s prefix %q: left %q, want %q", c.site.Version.Branch, c.site.Config.RedisPrefix, got, want)
		}
		if got := tell(t, server, []string{"KEYS", "*"}); len(got) != len(keys) {
			t.Errorf("keys of another database went: %q", got)
		}
	}
	for name, change := range map[string]func(*moodle.PHPConfig){
		"wrong password": func(c *moodle.PHPConfig) { c.RedisPassword = "hunter2-wrong" },
		"TLS":            func(c *moodle.PHPConfig) { c.RedisTLS = true },
		"cluster":        func(c *moodle.PHPConfig) { c.RedisSession = "a:1,b:2" },
		"nobody there":   func(c *moodle.PHPConfig) { c.RedisSession = "127.0.0.1:1" },
		"memcached":      func(c *moodle.PHPConfig) { c.SessionHandler = `\core\session\memcached` },
	} {
		s := site("lms", "501", "m_")
		change(&s.Config)
		if _, err := DropSessions(t.Context(), s, nil); !errors.Is(err, ErrSessionsLeft) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDropSessionFiles(t *testing.T) {
	site := &moodle.Site{Name: "lms", Config: moodle.PHPConfig{DataRoot: t.TempDir(), SessionHandler: `\core\session\file`}}
	dir := filepath.Join(site.Config.DataRoot, "sessions")
	must(t, os.Mkdir(dir, 0o700))
	for _, name := range []string{"sess_a", "sess_b", "other"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	for _, want := range []int{2, 0} {
		if dropped, err := DropSessions(t.Context(), site, nil); err != nil || dropped.Files != want {
			t.Errorf("%+v, %v", dropped, err)
		}
	}
	onlyIn(t, dir, "other")
	site.Config.DataRoot = t.TempDir()
	must(t, os.Symlink(dir, filepath.Join(site.Config.DataRoot, "sessions")))
	if _, err := DropSessions(t.Context(), site, nil); err == nil {
		t.Error("a link out of dataroot is followed")
	}
}

func TestPurgeStores(t *testing.T) {
	server := startRedis(t)
	const ours, theirs = "5f4dcc3b5aa765d61d8327deb882cf99", "0123456789abcdef0123456789abcdef"
	configuration := func(prefix, password string) *moodle.Site {
		site := &moodle.Site{Name: "lms", Config: moodle.PHPConfig{DataRoot: t.TempDir()}}
		must(t, os.Mkdir(filepath.Join(site.Config.DataRoot, "muc"), 0o700))
		text := `<?php defined('MOODLE_INTERNAL') || die();
 $configuration = array (
  'siteidentifier' => 'x',
  'stores' => array (
    'default_application' => array ('name' => 'default_application', 'plugin' => 'file', 'configuration' => array (), 'features' => 30, 'modes' => 3, 'default' => true, 'class' => 'cachestore_file'),
    'Fast' => array ('name' => 'Fast', 'plugin' => 'redis', 'configuration' => array ('server' => '` + server.Address + `', 'prefix' => '` + prefix + `', 'password' => ` + stand.PHPString(password) + `, 'serializer' => 1)),
  ),
  'definitions' => array (
    'core/string' => array ('mode' => 1, 'component' => 'core', 'area' => 'string', 'simplekeys' => true, 'requireidentifiers' => array (0 => 'lang')),
  ),
);
`
		must(t, os.WriteFile(filepath.Join(site.Config.DataRoot, "muc/config.php"), []byte(text), 0o600))
		return site
	}
	caches := func(site *moodle.Site) string {
		_, found, err := moodle.CacheStores(site.Config.DataRoot)
		if err != nil || len(found) != 1 {
			t.Fatalf("%q, %v", found, err)
		}
		return found[0]
	}(configuration("", ""))
	keys := []string{"m_" + ours, "m_" + ours + "_ttl", "m_x", "m_2" + theirs, caches, caches + "_ttl", theirs, "session_abc"}
	for _, c := range []struct {
		prefix string
		gone   []string
	}{{"m_", keys[:2]}, {"", keys[4:6]}, {"none_", nil}} {
		fill(t, server, "0", keys)
		deleted, err := PurgeStores(t.Context(), configuration(c.prefix, redisPassword))
		if err != nil || deleted != len(c.gone) {
			t.Errorf("prefix %q: %d, %v", c.prefix, deleted, err)
		}
		want := slices.DeleteFunc(slices.Sorted(slices.Values(keys)), func(key string) bool { return slices.Contains(c.gone, key) })
		if got := tell(t, server, []string{"KEYS", "*"}); !slices.Equal(got, want) {
			t.Errorf("prefix %q: left %q, want %q", c.prefix, got, want)
		}
	}
	if _, err := PurgeStores(t.Context(), configuration("m_", "hunter2-wrong")); !errors.Is(err, ErrStoreLeft) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("wrong password: %v", err)
	}
	if deleted, err := PurgeStores(t.Context(), &moodle.Site{Config: moodle.PHPConfig{DataRoot: t.TempDir()}}); err != nil || deleted != 0 {
		t.Errorf("no configuration of caches: %d, %v", deleted, err)
	}
}
