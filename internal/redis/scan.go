package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of a scan: each step keeps the server busy for less than a millisecond, and a store of more keys than that is
// not counted.
const (
	scanStep  = 1000
	scanSteps = 2000
)

// errTooManyKeys is a database in which counting by name would take too long.
var errTooManyKeys = fmt.Errorf("there are more than %d keys", scanStep*scanSteps)

// CountKeys counts the keys of a database whose names begin with prefix and do not end in .lock, over a connection of its
// own. It looks at all keys in small steps (SCAN), so that what comes and goes meanwhile may count or not.
func CountKeys(ctx context.Context, login Login, database int, prefix string) (count int, err error) {
	c := NewClient(login)
	defer c.Close()
	if err := c.dial(ctx); err != nil {
		return 0, fmt.Errorf("count Redis keys: %w", err)
	}
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if count, err = c.countKeys(database, prefix); err == nil {
		return count, nil
	}
	if ended := ctx.Err(); ended != nil {
		err = ended
	}
	return 0, fmt.Errorf("count Redis keys: %w", c.explain(err))
}

func (c *Client) countKeys(database int, prefix string) (count int, err error) {
	if err := c.authenticate(); err != nil {
		return 0, err
	}
	if _, err := c.command("SELECT", strconv.Itoa(database)); err != nil {
		return 0, err
	}
	cursor := "0"
	for range scanSteps {
		words := []string{"SCAN", cursor, "MATCH", globLiteral.Replace(prefix) + "*", "COUNT", strconv.Itoa(scanStep)}
		if _, err := c.conn.Write(encode(words)); err != nil {
			return 0, err
		}
		var keys []string
		if cursor, keys, err = readScan(c.reader); err != nil {
			return 0, err
		}
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) && !strings.HasSuffix(key, ".lock") {
				count++
			}
		}
		if cursor == "0" {
			return count, nil
		}
	}
	return 0, errTooManyKeys
}

// globLiteral keeps the characters of a prefix from meaning anything in a pattern.
var globLiteral = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`)

// maxScanKeys bounds one step's answer; a step may give some more keys than were asked for.
const maxScanKeys = 100 * scanStep

// readScan reads the answer to SCAN: an array of the next cursor and an array of keys.
func readScan(from *bufio.Reader) (cursor string, keys []string, err error) {
	if length, err := readLength(from); err != nil {
		return "", nil, err
	} else if length != 2 {
		return "", nil, errNotRedis
	}
	if cursor, err = readReply(from); err != nil {
		return "", nil, err
	}
	length, err := readLength(from)
	if err != nil {
		return "", nil, err
	}
	size := 0
	for range length {
		key, err := readReply(from)
		if err != nil {
			return "", nil, err
		}
		if size += len(key); size > maxReply {
			return "", nil, errors.New("the names of the keys are too long")
		}
		keys = append(keys, key)
	}
	return cursor, keys, nil
}

// readLength reads the head of an array.
func readLength(from *bufio.Reader) (int, error) {
	line, err := readLine(from)
	if err != nil {
		return 0, err
	}
	if strings.HasPrefix(line, "-") {
		return 0, serverError(line[1:])
	}
	length, err := strconv.Atoi(strings.TrimPrefix(line, "*"))
	if err != nil || !strings.HasPrefix(line, "*") || length < 0 || length > maxScanKeys {
		return 0, errNotRedis
	}
	return length, nil
}
