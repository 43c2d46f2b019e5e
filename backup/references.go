package backup

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
)

// reference is one content file that the database names.
type reference struct {
	blob
	// alias: only rows that point elsewhere (referencefileid) name it, so it may rightly be absent.
	alias bool
}

const (
	recordSize = 20 + 8 + 1
	// runLength records are sorted in memory before they go to disk: 8 MB.
	runLength = 8 << 20 / 40
)

// references collects the content files that a dump names, in any order and any number, and gives them
// back sorted and once each. What does not fit into a small buffer lies in a temporary file.
type references struct {
	spill  *os.File
	buffer []reference
	runs   []int64 // end of each sorted run in spill
	limit  int
}

// newReferences spills into a file in dir that is gone with its descriptor.
func newReferences(dir string) (*references, error) {
	spill, err := os.CreateTemp(dir, "references-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(spill.Name()); err != nil {
		return nil, err
	}
	return &references{spill: spill, limit: runLength}, nil
}

func (r *references) close() { _ = r.spill.Close() }

// reset forgets everything: the dump is begun anew.
func (r *references) reset() error {
	r.buffer, r.runs = r.buffer[:0], nil
	if err := r.spill.Truncate(0); err != nil {
		return err
	}
	_, err := r.spill.Seek(0, io.SeekStart)
	return err
}

func (r *references) add(named reference) error {
	r.buffer = append(r.buffer, named)
	if len(r.buffer) < r.limit {
		return nil
	}
	return r.flush()
}

// flush sorts the buffer and writes it out as one run.
func (r *references) flush() error {
	if len(r.buffer) == 0 {
		return nil
	}
	slices.SortFunc(r.buffer, compareReferences)
	out := bufio.NewWriterSize(r.spill, 256<<10)
	var record [recordSize]byte
	written := int64(0)
	if len(r.runs) > 0 {
		written = r.runs[len(r.runs)-1]
	}
	for i, named := range r.buffer {
		if i+1 < len(r.buffer) && r.buffer[i+1].sum == named.sum {
			merge(&r.buffer[i+1], named)
			continue
		}
		named.encode(record[:])
		if _, err := out.Write(record[:]); err != nil {
			return fmt.Errorf("keep the list of content files: %w", err)
		}
		written += recordSize
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("keep the list of content files: %w", err)
	}
	r.runs = append(r.runs, written)
	r.buffer = r.buffer[:0]
	return nil
}

// each gives every content file once, in order.
func (r *references) each(yield func(reference) error) error {
	if err := r.flush(); err != nil {
		return err
	}
	var open runs
	start := int64(0)
	for _, end := range r.runs {
		run := &run{from: bufio.NewReaderSize(io.NewSectionReader(r.spill, start, end-start), 32<<10)}
		more, err := run.next()
		if err != nil {
			return err
		}
		if more {
			open = append(open, run)
		}
		start = end
	}
	heap.Init(&open)
	var last reference
	have := false
	for len(open) > 0 {
		head := open[0].head
		if have && head.sum != last.sum {
			if err := yield(last); err != nil {
				return err
			}
			have = false
		}
		if have {
			merge(&last, head)
		} else {
			last, have = head, true
		}
		more, err := open[0].next()
		if err != nil {
			return err
		}
		if more {
			heap.Fix(&open, 0)
		} else {
			heap.Pop(&open)
		}
	}
	if have {
		return yield(last)
	}
	return nil
}

// merge adds another row that names the same content.
func merge(into *reference, other reference) {
	into.size = max(into.size, other.size)
	into.alias = into.alias && other.alias
}

func compareSums(a, b sum) int { return bytes.Compare(a[:], b[:]) }

func compareReferences(a, b reference) int { return compareSums(a.sum, b.sum) }

func (r reference) encode(record []byte) {
	copy(record, r.sum[:])
	binary.BigEndian.PutUint64(record[20:], uint64(r.size)) //nolint:gosec // read back as it was
	record[28] = 0
	if r.alias {
		record[28] = 1
	}
}

func decode(record []byte) (r reference) {
	copy(r.sum[:], record)
	r.size = int64(binary.BigEndian.Uint64(record[20:])) //nolint:gosec // written by encode
	r.alias = record[28] == 1
	return r
}

// run is one sorted part of the spill file.
type run struct {
	from *bufio.Reader
	head reference
}

func (r *run) next() (bool, error) {
	var record [recordSize]byte
	if _, err := io.ReadFull(r.from, record[:]); err == io.EOF {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read the list of content files: %w", err)
	}
	r.head = decode(record[:])
	return true, nil
}

// runs is a heap by the first record of each run.
type runs []*run

func (r runs) Len() int           { return len(r) }
func (r runs) Less(i, j int) bool { return compareReferences(r[i].head, r[j].head) < 0 }
func (r runs) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *runs) Push(x any)        { *r = append(*r, x.(*run)) }
func (r *runs) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}
