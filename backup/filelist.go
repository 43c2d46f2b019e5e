package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// A list of content files is text, one line each: SHA-1, a space, the size in bytes; sorted by SHA-1.
// It is what filedir.list.zst holds, and what cut, sort, comm and sha1sum can work with.

// listWriter writes such a list.
type listWriter struct {
	to   *bufio.Writer
	line []byte
}

func newListWriter(to io.Writer) *listWriter { return &listWriter{to: bufio.NewWriterSize(to, 64<<10)} }

func (w *listWriter) add(b blob) error {
	w.line = append(w.line[:0], b.sum.String()...)
	w.line = append(w.line, ' ')
	w.line = strconv.AppendInt(w.line, b.size, 10)
	w.line = append(w.line, '\n')
	_, err := w.to.Write(w.line)
	return err
}

func (w *listWriter) flush() error { return w.to.Flush() }

// listReader reads such a list and refuses one that is torn, unsorted or anything else.
type listReader struct {
	from *bufio.Reader
	line int64
	last blob
}

func newListReader(from io.Reader) *listReader {
	return &listReader{from: bufio.NewReaderSize(from, 64<<10)}
}

// next returns io.EOF after the last line.
func (r *listReader) next() (b blob, err error) {
	text, err := r.from.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(text) == 0 {
		return b, io.EOF
	}
	if err != nil {
		return b, fmt.Errorf("line %d of the list of content files: %w", r.line+1, unexpected(err))
	}
	r.line++
	ok := len(text) > 42 && text[40] == ' '
	if ok {
		b.sum, ok = parseSum(text[:40])
	}
	if ok {
		b.size, err = strconv.ParseInt(string(text[41:len(text)-1]), 10, 64)
		ok = err == nil && b.size >= 0
	}
	if !ok {
		return b, fmt.Errorf("line %d of the list of content files is not a SHA-1 and a size", r.line)
	}
	if r.line > 1 && string(b.sum[:]) <= string(r.last.sum[:]) {
		return b, fmt.Errorf("line %d of the list of content files is out of order", r.line)
	}
	r.last = b
	return b, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
