package backup

import (
	"context"
	"errors"
	"io"
	"path"

	"github.com/klauspost/compress/zstd"
)

// opener is what of a store reading takes.
type opener interface {
	Open(ctx context.Context, name string) (io.ReadCloser, error)
}

// listCursor moves through the list of one backup.
type listCursor struct {
	file    io.Closer
	decoder *zstd.Decoder
	content *meter
	want    File
	list    *listReader
	head    blob
	ended   bool
}

func openList(ctx context.Context, s opener, m *Manifest) (*listCursor, error) {
	want, found := m.File(listName)
	if !found {
		return nil, errors.New("it has no list of content files")
	}
	file, err := s.Open(ctx, path.Join(m.ID, listName))
	if err != nil {
		return nil, err
	}
	decoder, err := newDecoder(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	c := &listCursor{file: file, decoder: decoder, content: newMeter(), want: want}
	c.list = newListReader(io.TeeReader(decoder, c.content))
	if err := c.advance(); err != nil {
		closeAll([]*listCursor{c})
		return nil, err
	}
	return c, nil
}

func (c *listCursor) advance() (err error) {
	if c.head, err = c.list.next(); errors.Is(err, io.EOF) {
		c.ended, err = true, nil
		if c.content.sum() != c.want.ContentSHA256 {
			err = errors.New("the list of content files is not the one that was written")
		}
	}
	return err
}

// namedBy says whether any list names the file. Files are asked for in order.
func namedBy(lists []*listCursor, s sum) (found bool, err error) {
	for _, c := range lists {
		for !c.ended && compareSums(c.head.sum, s) < 0 {
			if err := c.advance(); err != nil {
				return false, err
			}
		}
		found = found || !c.ended && c.head.sum == s
	}
	return found, nil
}

// finish reads the lists to their ends, so that all of each is proven.
func finish(lists []*listCursor) error {
	for _, c := range lists {
		for !c.ended {
			if err := c.advance(); err != nil {
				return err
			}
		}
	}
	return nil
}

func closeAll(lists []*listCursor) {
	for _, c := range lists {
		c.decoder.Close()
		leaveCache(c.file)
		_ = c.file.Close()
	}
}
