package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// auditor finds out which content files the backup has, and which of those that the database names are
// nowhere. All it reads is sorted, so it holds one directory of the pool in memory.
type auditor struct {
	pool  *pool
	trash *tree // nil if the site has no trashdir
	list  *listWriter
	away  *external // content files that the site itself keeps elsewhere

	leaf    string // of the pool that is in hand
	content []blob

	result FiledirContent
	lost   []sum // the first few missing ones
}

// audit merges the site's files (as the delta copy saw them) with the snapshot's references (nil for a
// backup without a database) and writes the list of what the backup holds.
func (a *auditor) audit(ctx context.Context, site *run, named *references) error {
	more, err := site.next()
	if err != nil {
		return err
	}
	if named != nil {
		err := named.each(func(r reference) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			for more && compareSums(site.head.sum, r.sum) < 0 {
				if err := a.take(site.head); err != nil {
					return err
				}
				if more, err = site.next(); err != nil {
					return err
				}
			}
			if !more || site.head.sum != r.sum {
				return a.settle(ctx, r)
			}
			here := site.head
			if more, err = site.next(); err != nil {
				return err
			}
			if inPool := !here.alias; inPool {
				return a.add(here.blob)
			}
			return a.settle(ctx, r)
		})
		if err != nil {
			return err
		}
	}
	for more {
		if err := a.take(site.head); err != nil {
			return err
		}
		if more, err = site.next(); err != nil {
			return err
		}
	}
	return a.list.flush()
}

// take lists a file of the site that no row names. If it never reached the pool it was deleted meanwhile
// or is damaged; nobody misses it.
func (a *auditor) take(here reference) error {
	if inPool := !here.alias; inPool {
		return a.add(here.blob)
	}
	size, found, err := a.find(here.sum)
	if err != nil || !found {
		return err
	}
	return a.add(blob{here.sum, size})
}

// settle finds the file that the snapshot names: in the pool, else in filedir, to which a plugin may have
// brought it back a moment ago, else in trashdir, where Moodle moves the file of the last row that is
// deleted; else it lies in external storage, or is missing.
func (a *auditor) settle(ctx context.Context, r reference) error {
	size, found, err := a.find(r.sum)
	if err != nil {
		return err
	}
	if !found {
		if size, found, err = a.rescue(ctx, r); err != nil {
			return err
		}
	}
	if found {
		return a.add(blob{r.sum, size})
	}
	elsewhere, err := a.away.has(r.sum)
	if err != nil {
		return err
	}
	switch {
	case elsewhere:
		a.result.External++
		a.result.ExternalSize += r.size
	case r.alias:
		a.result.Aliases++
	default:
		a.result.Missing++
		if len(a.lost) < fewNames {
			a.lost = append(a.lost, r.sum)
		}
	}
	return nil
}

func (a *auditor) rescue(ctx context.Context, r reference) (int64, bool, error) {
	size, found, err := a.takeFrom(ctx, a.pool.site, r.sum)
	if found || err != nil || a.trash == nil {
		return size, found, err
	}
	if size, found, err = a.takeFrom(ctx, a.trash, r.sum); found {
		a.result.Rescued++
	}
	return size, found, err
}

// takeFrom copies a content file from where it might be. One that is not there, or cannot be read, or is
// damaged is not found.
func (a *auditor) takeFrom(ctx context.Context, from *tree, s sum) (int64, bool, error) {
	file, err := from.open(s)
	if err != nil {
		return 0, false, nil //nolint:nilerr // not there, or not to be had
	}
	info, err := file.Stat()
	if err := errors.Join(err, file.Close()); err != nil {
		return 0, false, nil //nolint:nilerr // as above
	}
	before := a.pool.newBlobs.Load()
	if err := a.pool.fetch(ctx, from, blob{s, info.Size()}); err != nil {
		return 0, false, fmt.Errorf("take a content file that the delta copy has not seen: %w", err)
	}
	return info.Size(), a.pool.newBlobs.Load() > before, nil
}

func (a *auditor) add(b blob) error {
	a.result.Blobs++
	a.result.Size += b.size
	return a.list.add(b)
}

// find looks a file up in the pool. Files are asked for in order.
func (a *auditor) find(s sum) (size int64, found bool, err error) {
	leaf := s.path()[:5]
	if leaf != a.leaf {
		if a.content, err = a.pool.own.leaf(leaf, a.pool.broken); err != nil {
			return 0, false, fmt.Errorf("read the pool: %w", err)
		}
		a.leaf = leaf
	}
	i, found := slices.BinarySearchFunc(a.content, s, func(b blob, s sum) int { return compareSums(b.sum, s) })
	if !found {
		return 0, false, nil
	}
	return a.content[i].size, true, nil
}

// siteList keeps what the delta copy saw, in order, in a file of the staging directory. Where a reference
// says alias, it says here that the pool lacked the file at that moment.
type siteList struct {
	file *os.File
	to   *bufio.Writer
}

func newSiteList(dir string) (*siteList, error) {
	file, err := os.CreateTemp(dir, "filedir-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &siteList{file, bufio.NewWriterSize(file, 64<<10)}, nil
}

func (l *siteList) add(b blob, lacking bool) error {
	var record [recordSize]byte
	reference{b, lacking}.encode(record[:])
	_, err := l.to.Write(record[:])
	return err
}

func (l *siteList) close() { _ = l.file.Close() }

// reader reads the list from its beginning.
func (l *siteList) reader() (*run, error) {
	if err := l.to.Flush(); err != nil {
		return nil, err
	}
	if _, err := l.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return &run{from: bufio.NewReaderSize(l.file, 64<<10)}, nil
}
