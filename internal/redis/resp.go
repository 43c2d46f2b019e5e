package redis

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// maxReply is how long an answer may be, in bytes.
	maxReply = 1 << 20
	// maxLine is how long one line of the protocol may be, in bytes.
	maxLine = 4 << 10
)

var errNotRedis = errors.New("it does not speak the protocol of Redis")

// ServerError is a refusal by the server.
type ServerError struct {
	Code string // its first word: NOAUTH, WRONGPASS, LOADING, ERR, …
	Text string // the rest, cut
}

// Error implements error.
func (e *ServerError) Error() string {
	return "the server says " + strings.TrimSpace(e.Code+" "+e.Text)
}

// errFull is a server that takes no more connections.
var errFull = errors.New("the server has as many clients as it may have (maxclients)")

// full says whether the server refuses whoever comes.
func (e *ServerError) full() bool { return strings.Contains(e.Text, "max number of clients") }

// encode writes a command as an array of bulk strings (RESP 2).
func encode(words []string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&out, "$%d\r\n%s\r\n", len(word), word)
	}
	return out.Bytes()
}

// readReply reads a simple string, an error, a number or a bulk string: the answers to AUTH and INFO.
func readReply(from *bufio.Reader) (string, error) {
	line, err := readLine(from)
	if err != nil {
		return "", err
	}
	if line == "" {
		return "", errNotRedis
	}
	switch rest := line[1:]; line[0] {
	case '+', ':':
		return rest, nil
	case '-':
		return "", serverError(rest)
	case '$':
		length, err := strconv.Atoi(rest)
		if err != nil || length < 0 {
			return "", errNotRedis
		}
		if length > maxReply {
			return "", fmt.Errorf("the answer has more than %d bytes", maxReply)
		}
		content := make([]byte, length+2)
		if _, err := io.ReadFull(from, content); err != nil {
			return "", brokenOff(err)
		}
		if !bytes.HasSuffix(content, []byte("\r\n")) {
			return "", errNotRedis
		}
		return string(content[:length]), nil
	}
	return "", errNotRedis
}

// readLine reads up to the end of a line, without it.
func readLine(from *bufio.Reader) (string, error) {
	var line []byte
	for {
		c, err := from.ReadByte()
		switch {
		case err != nil:
			return "", brokenOff(err)
		case c == '\n' && bytes.HasSuffix(line, []byte("\r")):
			return string(line[:len(line)-1]), nil
		case len(line) >= maxLine:
			return "", errNotRedis
		}
		line = append(line, c)
	}
}

// brokenOff is what the end of the stream means before the end of the answer.
func brokenOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// serverError takes the code off a refusal. It is foreign text: what is no code is not called one.
func serverError(line string) *ServerError {
	code, text, _ := strings.Cut(line, " ")
	if code == "" || len(code) > 20 || strings.ContainsFunc(code, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return &ServerError{Code: "ERR"}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), 200)], "?"))
	return &ServerError{Code: code, Text: text}
}
