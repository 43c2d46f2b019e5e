package stand

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// RedisServer is a Redis server with a password, without persistence.
type RedisServer struct {
	Address  string // host:port
	Password string
	process  *process
}

// StartRedis starts Redis in dir/redis. It ends with ctx or Close. The password may hold any
// printable character; empty means none.
func StartRedis(ctx context.Context, dir, password string) (*RedisServer, error) {
	account, err := accountOf("redis", "nobody")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "redis")
	if err := makeOwned(home, account, 0o750); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsave \"\"\nappendonly no\ndaemonize no\n", port, home)
	if password != "" {
		config += `requirepass "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password) + "\"\n"
	}
	file := filepath.Join(home, "redis.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	if err := chownTree(home, account); err != nil {
		return nil, err
	}
	r := &RedisServer{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Password: password}
	r.process, err = startProcess(ctx, "Redis", filepath.Join(home, "output.log"), account, home, nil, "redis-server", file)
	if err != nil {
		return nil, err
	}
	return r, r.process.await(ctx, r.ping)
}

// ping logs in and asks for a sign of life, in Redis's own protocol.
func (r *RedisServer) ping(ctx context.Context) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	replies := bufio.NewReader(c)
	commands := []string{"*1\r\n$4\r\nPING\r\n"}
	if r.Password != "" {
		commands = append([]string{fmt.Sprintf("*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n", len(r.Password), r.Password)}, commands...)
	}
	for _, command := range commands {
		if _, err := c.Write([]byte(command)); err != nil {
			return err
		}
		line, err := replies.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, "+") {
			return fmt.Errorf("redis says %q", line)
		}
	}
	return nil
}

// Pid is the process id of the server.
func (r *RedisServer) Pid() int { return r.process.pid }

// Close ends the server.
func (r *RedisServer) Close() error { return r.process.stop() }
