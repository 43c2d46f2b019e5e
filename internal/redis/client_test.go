package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// hardPassword holds every printable ASCII character.
var hardPassword = func() string {
	var all strings.Builder
	for c := byte(' '); c <= '~'; c++ {
		all.WriteByte(c)
	}
	return all.String()
}()

func start(t *testing.T, password string) *stand.RedisServer {
	t.Helper()
	stand.Need(t, stand.Redis)
	server, err := stand.StartRedis(t.Context(), stand.TempDir(t), password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// client is one with the password in a file.
func client(t *testing.T, address, user, password string) *Client {
	t.Helper()
	login := Login{Address: address, User: user}
	if password != "" {
		login.PasswordFile = filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(login.PasswordFile, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := NewClient(login)
	t.Cleanup(c.Close)
	return c
}

// tell gives a command to the server.
func tell(t *testing.T, c *Client, words ...string) {
	t.Helper()
	if _, err := c.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.command(words...); err != nil {
		t.Fatalf("%s: %v", words, err)
	}
}

func wantInfo(t *testing.T, c *Client) Info {
	t.Helper()
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func wantNoInfo(t *testing.T, c *Client, words ...string) {
	t.Helper()
	info, err := c.Info(t.Context())
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %q: %v", err, word, info)
		}
	}
	if err != nil && (strings.Contains(err.Error(), "wrong word") || strings.Contains(err.Error(), hardPassword)) {
		t.Errorf("the password is told: %v", err)
	}
}

func TestInfo(t *testing.T) {
	server := start(t, hardPassword)
	c := client(t, server.Address, "", hardPassword)
	before := time.Now()
	first := wantInfo(t, c).Start(time.Time{})
	if first.After(before) || before.Sub(first) > time.Minute {
		t.Errorf("started %v, it is %v", first, before)
	}
	info := wantInfo(t, c)
	for name, least := range map[string]float64{"used_memory": 100000, "maxmemory": 0, "connected_clients": 1, "evicted_keys": 0, "rejected_connections": 0, "keyspace_hits": 0, "keyspace_misses": 0} {
		if n, known := info.Number(name); !known || n < least {
			t.Errorf("%s is %v (known: %v)", name, n, known)
		}
	}
	if n, _ := info.Number("total_connections_received"); n != 2 || !info.Start(time.Now()).Equal(first) {
		t.Errorf("%v connections (one is the stand's), started %v and %v", n, first, info.Start(time.Now()))
	}
	wantNoInfo(t, client(t, server.Address, "", ""), "NOAUTH", "password_file", server.Address)
	wantNoInfo(t, client(t, server.Address, "", "wrong word"), "refuses the login", "is wrong")
	wantNoInfo(t, client(t, server.Address, "nobody", "wrong word"), "refuses the login")
	none := client(t, server.Address, "", "x")
	if err := os.Remove(none.login.PasswordFile); err != nil {
		t.Fatal(err)
	}
	wantNoInfo(t, none, "read password file")

	tell(t, c, "ACL", "SETUSER", "watcher", "on", ">pass", "+info")
	tell(t, c, "ACL", "SETUSER", "blind", "on", ">pass", "+ping")
	wantInfo(t, client(t, server.Address, "watcher", "pass"))
	wantNoInfo(t, client(t, server.Address, "blind", "pass"), "NOPERM", "+info")
}

func TestServerWithoutPassword(t *testing.T) {
	server := start(t, "")
	wantInfo(t, client(t, server.Address, "", ""))
	wantNoInfo(t, client(t, server.Address, "", "wrong word"), "refuses the login", "does it know passwords")
}

// A kept connection goes on where the server takes no new ones, and is made anew where it has gone.
func TestKeptConnection(t *testing.T) {
	server := start(t, "")
	c := client(t, server.Address, "", "")
	tell(t, c, "CONFIG", "SET", "maxclients", "1")
	wantNoInfo(t, client(t, server.Address, "", ""), "maxclients")
	wantNoInfo(t, client(t, server.Address, "", "wrong word"), "maxclients")
	if n, _ := wantInfo(t, c).Number("rejected_connections"); n < 1 {
		t.Errorf("%v rejected connections", n)
	}
	if _, err := c.command("CLIENT", "KILL", "SKIPME", "no", "TYPE", "normal"); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	wantInfo(t, c)
	_ = server.Close()
	wantNoInfo(t, c, "connection refused")
}

func TestUnixSocket(t *testing.T) {
	c := client(t, filepath.Join(stand.TempDir(t), "redis.sock"), "", "")
	wantNoInfo(t, c, "no such file")
	listener, err := net.Listen("unix", c.login.Address)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener, "$21\r\nuptime_in_seconds:7\r\n\r\n")
	wantInfo(t, c)
}

// serve answers each connection at once with a text and keeps it open.
func serve(t *testing.T, listener net.Listener, text string) {
	stand.Answer(t, listener, func(c net.Conn) {
		_, _ = c.Write([]byte(text))
		_, _ = io.Copy(io.Discard, c)
	})
}

func TestLoading(t *testing.T) {
	full, empty := start(t, ""), start(t, "")
	source, copied := client(t, full.Address, "", ""), client(t, empty.Address, "", "")
	for i := range 500 {
		tell(t, source, "SET", fmt.Sprint(i), strings.Repeat("x", 100))
	}
	tell(t, source, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
	tell(t, copied, "CONFIG", "SET", "key-load-delay", "2000")
	tell(t, copied, "CONFIG", "SET", "loading-process-events-interval-bytes", "1024")
	host, port, _ := net.SplitHostPort(full.Address)
	tell(t, copied, "REPLICAOF", host, port)
	deadline := time.Now().Add(20 * time.Second)
	for !wantInfo(t, copied).Loading() {
		if time.Now().After(deadline) {
			t.Fatal("it never loads")
		}
	}
	for wantInfo(t, copied).Loading() && time.Now().Before(deadline) {
	}
	wantInfo(t, copied)
}

func TestHostileServer(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "deadline exceeded",
		"$5\r\nab":                         "deadline exceeded",
		"HTTP/1.1 400 Bad Request\r\n\r\n": "does not speak",
		"\r\n":                             "does not speak",
		"*1\r\n$4\r\nPING\r\n":             "does not speak",
		"$-1\r\n":                          "does not speak",
		"$99999999999999999999\r\n":        "does not speak",
		"$2000000\r\n":                     "more than 1048576 bytes",
		"$2\r\nabcd":                       "does not speak",
		"$2\r\nab\r\n":                     "how long the server has been up",
		"+OK\r\n":                          "how long the server has been up",
		"-LOADING Redis is loading\r\n":    "LOADING Redis is loading",
		"-lower case\r\n":                  "the server says ERR",
		"-ERR \x1b[31m" + strings.Repeat("y", 3000) + "\r\n": "ERR  [31my",
		strings.Repeat("x", 5000):                            "does not speak",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		serve(t, listener, text)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err = client(t, listener.Addr().String(), "", "").Info(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 400 {
			t.Errorf("%.30q: %v, want %q", text, err, want)
		}
	}
}

// Old servers repeat the arguments of a command that they do not know.
func TestRefusalDoesNotRepeatThePassword(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener, "-ERR unknown command 'AUTH', with args beginning with: 'wrong word'\r\n")
	wantNoInfo(t, client(t, listener.Addr().String(), "", "wrong word"), "refuses the login")
}

func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"$2\r\nab\r\n", "+OK\r\n", "-NOAUTH x\r\n", ":5\r\n", "$-1\r\n", "$1048577\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		reply, err := readReply(bufio.NewReader(strings.NewReader(sent)))
		if len(reply) > maxReply || errors.Is(err, io.EOF) || err != nil && len(err.Error()) > 400 {
			t.Fatal(len(reply), err)
		}
	})
}

func FuzzParseInfo(f *testing.F) {
	f.Add("# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:5\r\nserver_time_usec:1795363402000000\r\n", int64(5))
	f.Fuzz(func(t *testing.T, text string, now int64) {
		info, err := parseInfo(text)
		if start := info.Start(time.Unix(now, 0)); err == nil && !start.IsZero() && start.Unix() <= 0 {
			t.Fatal(start)
		}
	})
}
