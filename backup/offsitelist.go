package backup

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// A list of objects is text, one line each: name below the place of the site, size in bytes and, where it is
// known, the SHA-256 of the object as it lies there, separated by single spaces; sorted by name, byte by byte.
// ciphertext.list.zst is one. cut, sort, comm, awk and sha256sum can work with it.

// object is one object of a bucket.
type object struct {
	name   string
	size   int64
	sha256 string // in lower-case hexadecimal; empty if it is not known
}

// errNoObject is a name that no list can hold, and that this program never gives to an object.
var errNoObject = errors.New("it has a name with spaces or control characters")

func checkObjectName(name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }) {
		return errNoObject
	}
	return nil
}

// objectWriter writes a list.
type objectWriter struct {
	to   *bufio.Writer
	line []byte
}

func newObjectWriter(to io.Writer) *objectWriter {
	return &objectWriter{to: bufio.NewWriterSize(to, 64<<10)}
}

func (w *objectWriter) add(o object) error {
	w.line = append(append(w.line[:0], o.name...), ' ')
	w.line = strconv.AppendInt(w.line, o.size, 10)
	if o.sha256 != "" {
		w.line = append(append(w.line, ' '), o.sha256...)
	}
	_, err := w.to.Write(append(w.line, '\n'))
	return err
}

// objectReader reads a list and refuses one that is torn, unsorted or anything else.
type objectReader struct {
	from *bufio.Reader
	line int64
	last string
}

func newObjectReader(from io.Reader) *objectReader {
	return &objectReader{from: bufio.NewReaderSize(from, 64<<10)}
}

// next returns io.EOF after the last line.
func (r *objectReader) next() (object, error) {
	text, err := r.from.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(text) == 0 {
		return object{}, io.EOF
	}
	if err != nil {
		return object{}, fmt.Errorf("line %d of the list of objects: %w", r.line+1, unexpected(err))
	}
	r.line++
	o, ok := parseObject(string(text[:len(text)-1]))
	if !ok {
		return object{}, fmt.Errorf("line %d of the list of objects is not a name, a size and a SHA-256", r.line)
	}
	if r.line > 1 && o.name <= r.last {
		return object{}, fmt.Errorf("line %d of the list of objects is out of order", r.line)
	}
	r.last = o.name
	return o, nil
}

func parseObject(line string) (o object, ok bool) {
	fields := strings.Split(line, " ")
	if len(fields) < 2 || len(fields) > 3 || checkObjectName(fields[0]) != nil {
		return o, false
	}
	o.name = fields[0]
	size, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != fields[1] {
		return o, false
	}
	o.size = size
	if len(fields) == 3 {
		o.sha256 = fields[2]
		_, err = hex.DecodeString(o.sha256)
		ok = err == nil && len(o.sha256) == 64 && strings.ToLower(o.sha256) == o.sha256
		return o, ok
	}
	return o, true
}

// objectCursor moves through sorted objects.
type objectCursor struct {
	next  func() (object, error) // io.EOF after the last one
	head  object
	ended bool
}

func newObjectCursor(next func() (object, error)) (*objectCursor, error) {
	c := &objectCursor{next: next}
	return c, c.advance()
}

func (c *objectCursor) advance() (err error) {
	if c.head, err = c.next(); errors.Is(err, io.EOF) {
		c.ended, err = true, nil
	}
	return err
}

// meetObjects goes over several sorted sequences at once: each is called for every name with what each of
// them has under it, nil for nothing. One object of each is in memory.
func meetObjects(ctx context.Context, each func(name string, found []*object) error, nexts ...func() (object, error)) error {
	cursors := make([]*objectCursor, len(nexts))
	for i, next := range nexts {
		var err error
		if cursors[i], err = newObjectCursor(next); err != nil {
			return err
		}
	}
	found, heads := make([]*object, len(cursors)), make([]object, len(cursors))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, any := "", false
		for _, c := range cursors {
			if !c.ended && (!any || c.head.name < name) {
				name, any = c.head.name, true
			}
		}
		if !any {
			return nil
		}
		for i, c := range cursors {
			found[i] = nil
			if c.ended || c.head.name != name {
				continue
			}
			heads[i] = c.head
			found[i] = &heads[i]
			if err := c.advance(); err != nil {
				return err
			}
		}
		if err := each(name, found); err != nil {
			return err
		}
	}
}

// inOrder are sequences one behind the other.
func inOrder(nexts ...func() (object, error)) func() (object, error) {
	return func() (object, error) {
		for len(nexts) > 0 {
			o, err := nexts[0]()
			if !errors.Is(err, io.EOF) {
				return o, err
			}
			nexts = nexts[1:]
		}
		return object{}, io.EOF
	}
}

// ofSlice is the sequence of some sorted objects.
func ofSlice(objects []object) func() (object, error) {
	return func() (object, error) {
		if len(objects) == 0 {
			return object{}, io.EOF
		}
		first := objects[0]
		objects = objects[1:]
		return first, nil
	}
}

// objectSpill is a list of objects in a temporary file, which is gone with its descriptor.
type objectSpill struct{ file *os.File }

// spillObjects writes down what produce adds, in order.
func spillObjects(dir string, produce func(add func(object) error) error) (*objectSpill, error) {
	file, err := os.CreateTemp(dir, store.Prefix+"objects-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	w := newObjectWriter(file)
	err = produce(w.add)
	if err == nil {
		err = w.to.Flush()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &objectSpill{file}, nil
}

// read begins anew at the first object. Several readers do not disturb each other. A nil spill is empty.
func (s *objectSpill) read() func() (object, error) {
	if s == nil {
		return ofSlice(nil)
	}
	return newObjectReader(io.NewSectionReader(s.file, 0, 1<<62)).next
}

func (s *objectSpill) close() {
	if s != nil {
		_ = s.file.Close()
	}
}
