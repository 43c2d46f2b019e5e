package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/redis"
)

// Dropped is what DropSessions has done.
type Dropped struct {
	Files int // in dataroot/sessions
	Keys  int // in Redis: sessions, their locks, lists of a user's sessions
}

// ErrSessionsLeft are sessions that may live on: user ids in them may mean other people in another database.
var ErrSessionsLeft = errors.New("sessions may live on")

// RedisPatience bounds the work in one Redis server.
const RedisPatience = 2 * time.Minute

// DropSessions ends all sessions of the site that do not lie in its database: files below dataroot, and keys in the
// Redis server of its session handler. Keys of other sites in the same server stay; others are the sites that may share
// it, and where nothing tells their keys from this one's, nothing is deleted. What cannot be reached is an
// ErrSessionsLeft that says what to do. Sessions in the database are those of ResetFlags.
func DropSessions(ctx context.Context, site *moodle.Site, others []*moodle.Site) (Dropped, error) {
	var dropped Dropped
	files, err := dropFiles(site)
	dropped.Files = files
	if err != nil {
		return dropped, fmt.Errorf("drop the sessions of site %s: %w", site.Name, err)
	}
	handler := strings.ToLower(site.Config.SessionHandler)
	switch {
	case strings.HasSuffix(handler, "redis"):
		dropped.Keys, err = dropKeys(ctx, site, others)
	case handler != "" && !strings.HasSuffix(handler, `\file`) && !strings.HasSuffix(handler, `\database`):
		err = fmt.Errorf("%w: the session handler is %s, whose store is not known here; restart that store, or run admin/cli/kill_all_sessions.php", ErrSessionsLeft, site.Config.SessionHandler)
	}
	if err != nil {
		return dropped, fmt.Errorf("drop the sessions of site %s: %w", site.Name, err)
	}
	return dropped, nil
}

// dropFiles removes the files of PHP's own handler. Elsewhere than in dataroot/sessions Moodle puts them only where
// config.php sets session_file_save_path.
func dropFiles(site *moodle.Site) (removed int, err error) {
	root, err := os.OpenRoot(site.Config.DataRoot)
	if err != nil {
		return 0, fmt.Errorf("open dataroot: %w", err)
	}
	defer func() { _ = root.Close() }()
	dir, err := root.Open("sessions")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = dir.Close() }()
	for {
		entries, err := dir.ReadDir(1000)
		if errors.Is(err, io.EOF) {
			return removed, nil
		}
		if err != nil {
			return removed, err
		}
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), "sess_") || entry.IsDir() {
				continue
			}
			if err := root.Remove(filepath.Join("sessions", entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return removed, err
			}
			removed++
		}
	}
}

// Key names of \core\session\redis: since 4.5 <prefix>session_<id> and <prefix>user_<number>, before that <prefix><id>;
// locks end in .lock. An id is PHP's, or what an administrator made of its length and alphabet.
var (
	sessionKey    = regexp.MustCompile(`^(?:session_[A-Za-z0-9,-]{22,256}(?:\.lock)?|user_[0-9]+)$`)
	oldSessionKey = regexp.MustCompile(`^[A-Za-z0-9,-]{22,256}(?:\.lock)?$`)
)

const branchOfNewKeys = 405

func dropKeys(ctx context.Context, site *moodle.Site, others []*moodle.Site) (int, error) {
	c := site.Config
	address, usable := redis.Address(c.RedisSession)
	if !usable || c.RedisTLS || strings.Contains(c.RedisSession, ",") {
		return 0, fmt.Errorf("%w: their Redis server (%s) is a cluster, or wants TLS, or has no address that is understood; run admin/cli/kill_all_sessions.php", ErrSessionsLeft, c.RedisSession)
	}
	database, err := databaseNumber(c.RedisDatabase)
	if err != nil {
		return 0, fmt.Errorf("%w: session_redis_database is no number", ErrSessionsLeft)
	}
	for _, other := range others {
		if sharesKeys(site, other) {
			return 0, fmt.Errorf("%w: site %s keeps its sessions in the same Redis database with the same prefix %q, so that they cannot be told apart; "+
				"give each site its own $CFG->session_redis_prefix, or end the sessions of both with redis-cli", ErrSessionsLeft, other.Name, c.RedisPrefix)
		}
	}
	branch, _ := strconv.Atoi(site.Version.Branch)
	key := sessionKey
	if branch < branchOfNewKeys {
		key = oldSessionKey
	}
	if branch < branchOfNewKeys && c.RedisPrefix == "" {
		return 0, fmt.Errorf("%w: they are in Redis without a prefix, where nothing tells them from other keys; run admin/cli/kill_all_sessions.php", ErrSessionsLeft)
	}
	ctx, cancel := context.WithTimeout(ctx, RedisPatience)
	defer cancel()
	login := redis.Login{Address: address, User: c.RedisUser}
	deleted, err := redis.DeleteKeys(ctx, login, c.RedisPassword, database, c.RedisPrefix, func(name string) bool {
		return key.MatchString(strings.TrimPrefix(name, c.RedisPrefix))
	})
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrSessionsLeft, err)
	}
	return deleted, err
}

func databaseNumber(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.Atoi(text)
}

// sharesKeys says whether the keys of two sites have the same names. A prefix that begins with the other's is told apart
// by what follows it.
func sharesKeys(site, other *moodle.Site) bool {
	a, b := site.Config, other.Config
	if site.Name == other.Name || !strings.HasSuffix(strings.ToLower(b.SessionHandler), "redis") || a.RedisPrefix != b.RedisPrefix {
		return false
	}
	addressA, _ := redis.Address(a.RedisSession)
	addressB, _ := redis.Address(b.RedisSession)
	numberA, _ := databaseNumber(a.RedisDatabase)
	numberB, _ := databaseNumber(b.RedisDatabase)
	return addressA == addressB && numberA == numberB
}
