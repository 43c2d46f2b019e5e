package database

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// statementLimit is the largest max_allowed_packet of both products, 1 GiB: no server takes a longer statement.
const statementLimit = 1 << 30

// readSize is how much is read at a time; keptBuffer how large the buffer may stay after a long statement.
const (
	readSize   = 256 << 10
	keptBuffer = 4 << 20
)

var (
	errTruncated = errors.New("the dump ends before its last line")
	errLong      = errors.New("the dump holds a statement of more than 1 GiB, which no server takes")
)

// splitter cuts a dump into statements as the clients of both products do: at the delimiter, wherever it
// stands outside of strings, quoted names and comments. Comments between statements are left out.
type splitter struct {
	from      io.Reader
	limit     int
	delimiter []byte
	// literal: a backslash is a character like any other (sql_mode NO_BACKSLASH_ESCAPES).
	literal bool
	// completed: the last line was read with which a whole dump ends.
	completed bool

	buffer  []byte
	start   int   // of the statement
	at      int   // how far it has been looked at
	err     error // of the reader
	started bool
}

func newSplitter(from io.Reader) *splitter {
	return &splitter{from: from, limit: statementLimit, delimiter: []byte(";")}
}

// sandboxLines are the first line of dumps since 2024, which forbids client commands to the client that reads
// it. There are none in what this package accepts.
var sandboxLines = [][]byte{[]byte(`/*M!999999\- enable the sandbox mode */`), []byte(`/*!999999\- enable the sandbox mode */`)}

// next is the next statement, without its delimiter; io.EOF after the last.
func (s *splitter) next() (string, error) {
	if !s.started {
		s.started = true
		for _, line := range sandboxLines {
			if s.peek(len(line)) && bytes.HasPrefix(s.buffer[s.at:], line) {
				s.at += len(line)
			}
		}
	}
	if err := s.skip(); err != nil {
		return "", err
	}
	s.start = s.at
	for {
		if !s.peek(1) {
			return "", s.failed(errTruncated)
		}
		switch c := s.buffer[s.at]; {
		case c == s.delimiter[0] && s.peek(len(s.delimiter)) && bytes.HasPrefix(s.buffer[s.at:], s.delimiter):
			text := string(s.buffer[s.start:s.at])
			s.at += len(s.delimiter)
			s.start = s.at
			return text, nil
		case c == '\\':
			return "", refusedError("client command")
		default:
			if err := s.step(c); err != nil {
				return "", err
			}
		}
	}
}

// step passes over one character, or over the whole of a string, name or comment that begins with it.
func (s *splitter) step(c byte) error {
	var end bool
	switch {
	case c == '\'' || c == '"' || c == '`':
		end = s.quoted(c)
	case s.comment():
		end = s.passComment()
	default:
		s.at++
		return nil
	}
	if !end {
		return s.failed(errTruncated)
	}
	return nil
}

// quoted passes over a string or name in quotes. A doubled quote is a string that ends and one that begins.
func (s *splitter) quoted(quote byte) bool {
	for s.at++; s.peek(1); {
		rest := s.buffer[s.at:]
		i := 0
		for i < len(rest) && rest[i] != quote && rest[i] != '\\' {
			i++
		}
		s.at += i
		if i == len(rest) {
			continue
		}
		if rest[i] == quote {
			s.at++
			return true
		}
		s.at++
		if quote != '`' && !s.literal {
			if !s.peek(1) {
				return false
			}
			s.at++
		}
	}
	return false
}

// comment says whether a comment begins here. One that the server may execute is no comment.
func (s *splitter) comment() bool {
	switch s.buffer[s.at] {
	case '#':
		return true
	case '-':
		return s.peek(2) && s.buffer[s.at+1] == '-' && (!s.peek(3) || s.buffer[s.at+2] <= ' ')
	case '/':
		if !s.peek(2) || s.buffer[s.at+1] != '*' {
			return false
		}
		return !s.peek(3) || s.buffer[s.at+2] != '!' && (s.buffer[s.at+2] != 'M' || !s.peek(4) || s.buffer[s.at+3] != '!')
	}
	return false
}

// passComment passes over a comment; false if it does not end.
func (s *splitter) passComment() bool {
	if s.buffer[s.at] != '/' {
		line := s.line()
		s.completed = bytes.HasPrefix(line, []byte("-- Dump completed"))
		return true
	}
	for s.at += 2; s.peek(2); s.at++ {
		if s.buffer[s.at] == '*' && s.buffer[s.at+1] == '/' {
			s.at += 2
			return true
		}
	}
	return false
}

// line passes over the rest of the line.
func (s *splitter) line() []byte {
	length := 0 // places change while it is read
	for ; s.peek(1) && s.buffer[s.at] != '\n'; s.at++ {
		length++
	}
	return s.buffer[s.at-length : s.at]
}

// skip passes over blanks, comments and DELIMITER lines between statements; io.EOF at the end of the dump.
func (s *splitter) skip() error {
	for {
		s.start = s.at
		switch {
		case !s.peek(1):
			return s.failed(io.EOF)
		case s.buffer[s.at] <= ' ':
			s.at++
		case s.comment():
			if !s.passComment() {
				return s.failed(errTruncated)
			}
		case s.peek(10) && bytes.EqualFold(s.buffer[s.at:s.at+10], []byte("DELIMITER ")):
			s.at += 10
			word := bytes.TrimSpace(s.line())
			if len(word) == 0 || len(word) > 16 || bytes.ContainsAny(word, "'\"`\\ \t/#-") {
				return refusedError("client command")
			}
			s.delimiter = bytes.Clone(word)
		default:
			s.completed = false
			return nil
		}
	}
}

// failed is what went wrong where more was wanted than there is: the reader's error before any other.
func (s *splitter) failed(otherwise error) error {
	if s.err != nil && !errors.Is(s.err, io.EOF) {
		return fmt.Errorf("read the dump: %w", s.err)
	}
	return otherwise
}

// peek makes sure that n characters stand in the buffer from where we are; false at the end of the dump.
func (s *splitter) peek(n int) bool {
	for len(s.buffer)-s.at < n {
		if s.err != nil {
			return false
		}
		s.fill()
	}
	return true
}

// fill reads on. What lies before the statement makes room.
func (s *splitter) fill() {
	if s.at-s.start > s.limit {
		s.err = errLong
		return
	}
	if s.start > 0 && cap(s.buffer)-len(s.buffer) < readSize || cap(s.buffer) > keptBuffer && len(s.buffer)-s.start < readSize {
		kept := s.buffer[:0]
		if cap(s.buffer) > keptBuffer && len(s.buffer)-s.start < keptBuffer/2 {
			kept = make([]byte, 0, keptBuffer)
		}
		s.buffer = append(kept, s.buffer[s.start:]...)
		s.at -= s.start
		s.start = 0
	}
	s.buffer = slices.Grow(s.buffer, readSize)
	n, err := s.from.Read(s.buffer[len(s.buffer) : len(s.buffer)+readSize])
	s.buffer = s.buffer[:len(s.buffer)+n]
	s.err = err
}
