package command

import (
	"bytes"
	"errors"
	"strings"
)

// errTooMuch ends a program whose output is larger than its reader is willing to hold.
var errTooMuch = errors.New("the program wrote more output than is sensible")

// tail keeps the last bytes written to it: a failing database client can echo a whole statement of
// 25 MB before it says why it stopped.
type tail struct {
	limit int
	kept  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.kept) }

// capped is a buffer that refuses to grow past left more bytes.
type capped struct {
	buffer *bytes.Buffer
	left   int
}

func (c *capped) Write(p []byte) (int, error) {
	if len(p) > c.left {
		return 0, errTooMuch
	}
	c.left -= len(p)
	return c.buffer.Write(p)
}

// lastLines is the last n non-empty lines of text on one line, without control characters and at most
// 500 bytes: enough to act on, and safe to print on a terminal.
func lastLines(text string, n int) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	joined := strings.Join(lines, "; ")
	if len(joined) > 500 {
		joined = "…" + joined[len(joined)-500:]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.TrimSpace(strings.ToValidUTF8(joined, "?")))
}
