package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// verdict is how a content file was found.
type verdict int

// look tells whether a content file is there and sound.
func (f *filling) look(ctx context.Context, at dir, b Blob) (verdict, error) {
	status, err := at.stat(b.name())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lacking, nil
	case err != nil:
		return lacking, err
	case status.Mode&unix.S_IFMT == unix.S_IFDIR:
		return lacking, fmt.Errorf("%s is a directory, where a content file belongs: move it away", at.join(b.name()))
	case status.Mode&unix.S_IFMT != unix.S_IFREG || status.Size != b.Size:
		return f.bad(at, b, nil), nil
	case f.TrustLive:
		return good, nil
	}
	file, err := at.open(b.name())
	if err != nil {
		return f.bad(at, b, err), nil
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return f.bad(at, b, err), nil
	}
	if err := f.transfer(ctx, file, io.Discard, b); ctx.Err() != nil {
		return lacking, ctx.Err()
	} else if err != nil {
		return f.bad(at, b, err), nil
	}
	return good, nil
}

func (f *filling) bad(at dir, b Blob, err error) verdict {
	f.Logger.Warn("a content file of the site is damaged and gets a good copy from the backup", "file", at.join(b.name()), "err", err)
	return damaged
}
