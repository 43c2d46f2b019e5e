package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// DeleteKeys removes the keys of a database whose names begin with prefix and match, over a connection of its own, and
// says how many went. It goes through all keys in small steps (SCAN): those of others stay, and so may a few that come
// meanwhile. The password counts before that of the login's file.
func DeleteKeys(ctx context.Context, login Login, password config.Secret, database int, prefix string, match func(key string) bool) (deleted int, err error) {
	c := NewClient(login)
	defer c.Close()
	if err := c.dial(ctx); err != nil {
		return 0, fmt.Errorf("delete Redis keys: %w", err)
	}
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err = c.open(password, database); err == nil {
		deleted, err = c.deleteKeys(prefix, match)
	}
	if err == nil {
		return deleted, nil
	}
	if ended := ctx.Err(); ended != nil {
		err = ended
	}
	return deleted, fmt.Errorf("delete Redis keys: %w", c.explain(err))
}

// open logs in and chooses the database.
func (c *Client) open(password config.Secret, database int) error {
	if password == "" {
		if err := c.authenticate(); err != nil {
			return err
		}
	} else {
		words := []string{"AUTH", password.Reveal()}
		if c.login.User != "" {
			words = []string{"AUTH", c.login.User, password.Reveal()}
		}
		if _, err := c.command(words...); err != nil {
			// The server's own words may repeat the password.
			return fmt.Errorf("the server at %s refuses the login that the site uses", c.login.Address)
		}
	}
	_, err := c.command("SELECT", strconv.Itoa(database))
	return err
}

func (c *Client) deleteKeys(prefix string, match func(key string) bool) (deleted int, err error) {
	for cursor := "0"; ; {
		words := []string{"SCAN", cursor, "MATCH", globLiteral.Replace(prefix) + "*", "COUNT", strconv.Itoa(scanStep)}
		if _, err := c.conn.Write(encode(words)); err != nil {
			return deleted, err
		}
		var keys []string
		if cursor, keys, err = readScan(c.reader); err != nil {
			return deleted, err
		}
		unlink := []string{"UNLINK"}
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) && match(key) {
				unlink = append(unlink, key)
			}
		}
		if len(unlink) > 1 {
			count, err := c.command(unlink...)
			if err != nil {
				return deleted, err
			}
			number, err := strconv.Atoi(count)
			if err != nil {
				return deleted, errNotRedis
			}
			deleted += number
		}
		if cursor == "0" {
			return deleted, nil
		}
	}
}
