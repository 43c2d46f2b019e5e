package collector

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/redis"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func startRedis(t *testing.T, password string) *stand.RedisServer {
	t.Helper()
	stand.Need(t, stand.Redis)
	server, err := stand.StartRedis(t.Context(), stand.TempDir(t), password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// redisTarget is a server with its password in a file.
func redisTarget(t *testing.T, address, role, password string) redis.Target {
	t.Helper()
	target := redis.Target{Login: redis.Login{Address: address}, Role: role}
	if password != "" {
		target.PasswordFile = filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(target.PasswordFile, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return target
}

func newRedis(t *testing.T, targets ...redis.Target) *Redis {
	t.Helper()
	c := NewRedis(func() []redis.Target { return targets }, time.Now)
	t.Cleanup(c.Close)
	return c
}

func TestRedis(t *testing.T) {
	server := startRedis(t, watcherPassword)
	err := wantSeries(t, newRedis(t, redisTarget(t, server.Address, redis.RoleBoth, watcherPassword)), strings.ReplaceAll(`
		redis_up{both,S} 1
		redis_memory_used_bytes{both,S} *
		redis_memory_max_bytes{both,S} 0
		redis_connected_clients{both,S} *
		redis_start_time_seconds{both,S} *
		redis_evicted_keys_total{both,S} 0
		redis_rejected_connections_total{both,S} 0
		redis_keyspace_hits_total{both,S} 0
		redis_keyspace_misses_total{both,S} 0`, "S", server.Address))
	if err != nil {
		t.Error(err)
	}
}

// A server that is down, silent or does not let us in costs its own series and no other's.
func TestRedisDown(t *testing.T) {
	server, other := startRedis(t, watcherPassword), startRedis(t, "secret word")
	hung, gone := silent(t), closedPort(t)
	loading := stand.AnswerLoopback(t, func(c net.Conn) {
		const info = "uptime_in_seconds:5\r\nloading:1\r\nused_memory:7\r\n"
		_, _ = fmt.Fprintf(c, "$%d\r\n%s\r\n", len(info), info)
		_, _ = c.Read(make([]byte, 100))
	})
	c := newRedis(t, redisTarget(t, server.Address, "session", watcherPassword), redisTarget(t, other.Address, "cache", "wrong word"),
		redisTarget(t, hung, "other", ""), redisTarget(t, gone, "other", ""), redisTarget(t, loading, "cache", ""))
	got, err := brieflyUpdate(t, c)
	wantTrouble(t, err, "Redis "+other.Address+": read Redis status: the server refuses the login", "Redis "+hung+": read Redis status: context deadline exceeded",
		"Redis "+gone+": ", "connection refused", "Redis "+loading+": the server is still loading")
	for _, secret := range []string{"word\"", "wrong word", watcherPassword} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the password is told: %v", err)
		}
	}
	wantValues(t, got, map[string]float64{
		"redis_up{session," + server.Address + "}": 1, "redis_up{cache," + other.Address + "}": 0, "redis_up{other," + hung + "}": 0, "redis_up{other," + gone + "}": 0,
		"redis_up{cache," + loading + "}": 0, "redis_memory_used_bytes{cache," + loading + "}": 7,
	})
	if len(got) != 9+3+3 {
		t.Errorf("more than what is known: %v", got)
	}
	got, err = brieflyUpdate(t, newRedis(t, redisTarget(t, server.Address, "session", "")))
	wantTrouble(t, err, "NOAUTH", "password_file")
	wantValues(t, got, map[string]float64{"redis_up{session," + server.Address + "}": 0})
	_ = server.Close()
	got, err = brieflyUpdate(t, c)
	wantTrouble(t, err, "Redis "+server.Address+": ")
	wantValues(t, got, map[string]float64{"redis_up{session," + server.Address + "}": 0})
}

// The start of a server that does not tell its own time does not waver with ours, which a rule would take for restarts.
func TestRedisStartIsSteady(t *testing.T) {
	var up atomic.Int64
	address := stand.AnswerLoopback(t, func(c net.Conn) {
		for _, err := c.Read(make([]byte, 100)); err == nil; _, err = c.Read(make([]byte, 100)) {
			info := fmt.Sprintf("uptime_in_seconds:%d\r\n", up.Load())
			_, _ = fmt.Fprintf(c, "$%d\r\n%s\r\n", len(info), info)
		}
	})
	now := noon
	c := NewRedis(func() []redis.Target { return []redis.Target{{Login: redis.Login{Address: address}, Role: "other"}} }, func() time.Time { return now })
	t.Cleanup(c.Close)
	for _, step := range []struct {
		up      int64
		now     time.Time
		started time.Time
	}{
		{100, noon, noon.Add(-100 * time.Second)}, {115, noon.Add(16 * time.Second), noon.Add(-100 * time.Second)}, {129, noon.Add(31 * time.Second), noon.Add(-100 * time.Second)},
		{3, noon.Add(45 * time.Second), noon.Add(42 * time.Second)},
	} {
		up.Store(step.up)
		now = step.now
		got, err := seriesOf(t, c)
		if err != nil || got["redis_start_time_seconds{other,"+address+"}"] != float64(step.started.Unix()) {
			t.Errorf("up for %d s: %v, %v", step.up, got, err)
		}
	}
}

func TestRedisLetsConnectionsGo(t *testing.T) {
	server := startRedis(t, "secret")
	target := redisTarget(t, server.Address, "other", "secret")
	targets := []redis.Target{target}
	c := NewRedis(func() []redis.Target { return targets }, time.Now)
	other := newRedis(t, target)
	connections := func() float64 {
		got, err := seriesOf(t, other)
		if err != nil {
			t.Error(err)
		}
		return got["redis_connected_clients{other,"+server.Address+"}"]
	}
	if _, err := seriesOf(t, c); err != nil {
		t.Fatal(err)
	}
	// Held here, so that no collection of garbage closes it.
	kept := c.servers[server.Address]
	defer runtime.KeepAlive(kept)
	with := connections()
	targets = []redis.Target{redisTarget(t, server.Address, "other", "secret")}
	targets[0].PasswordFile = "/nowhere"
	got, err := seriesOf(t, c)
	wantTrouble(t, err, "/nowhere")
	wantValues(t, got, map[string]float64{"redis_up{other," + server.Address + "}": 0})
	eventually(t, func() error {
		if now := connections(); now != with-1 {
			return fmt.Errorf("%v connections, before %v", now, with)
		}
		return nil
	})
	targets = nil
	if got, err := seriesOf(t, c); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}
