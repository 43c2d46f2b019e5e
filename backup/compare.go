package backup

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// manyAtOnce is how many content files or directories are in hand at a time: disks and file servers answer
// several questions sooner together than one after the other.
func manyAtOnce() int { return max(2, min(8, 2*runtime.GOMAXPROCS(0))) }

// compared is a content file of the site, and whether the pool lacks it: a file of that name and size is
// there or it is not.
type compared struct {
	blob
	lacking bool
}

// compare calls each for every content file of the site, in order. The directories of the first level, of
// which there are 256, are read several at a time; so much of the site is in memory.
func (p *pool) compare(ctx context.Context, each func(b blob, lacking bool) error) error {
	top, err := p.site.hexDirs(".")
	if err != nil {
		return err
	}
	return sideBySide(ctx, top, p.compareBelow, func(found []compared) error {
		for _, f := range found {
			if err := each(f.blob, f.lacking); err != nil {
				return err
			}
		}
		return nil
	})
}

// compareBelow compares one directory of the first level. One that cannot be read goes to broken, and the walk
// goes on.
func (p *pool) compareBelow(ctx context.Context, first string) (found []compared, err error) {
	site, own := p.site.fork(), p.own.fork()
	defer site.release()
	defer own.release()
	second, err := site.hexDirs(first)
	if err != nil {
		p.broken(err)
		return nil, nil
	}
	for _, name := range second {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		leaf := first + "/" + name
		there, err := site.leaf(leaf, p.broken)
		if err != nil {
			p.broken(err)
			continue
		}
		here, err := own.leaf(leaf, p.broken)
		if err != nil {
			return nil, fmt.Errorf("read the pool: %w", err)
		}
		for _, b := range there {
			for len(here) > 0 && compareSums(here[0].sum, b.sum) < 0 {
				here = here[1:]
			}
			lacking := len(here) == 0 || here[0] != b
			if lacking && len(here) > 0 && here[0].sum == b.sum {
				p.replaced.Store(true)
			}
			found = append(found, compared{b, lacking})
		}
	}
	return found, nil
}

// sideBySide does the items several at a time, and takes what comes of them one by one in their order. It ends
// with the first error.
func sideBySide[I, R any](ctx context.Context, items []I, do func(context.Context, I) (R, error), take func(R) error) error {
	type outcome struct {
		result R
		err    error
	}
	group, inner := errgroup.WithContext(ctx)
	begun := make(chan chan outcome, manyAtOnce()-1) // one more is waited for
	group.Go(func() error {
		defer close(begun)
		for _, item := range items {
			done := make(chan outcome, 1)
			select {
			case begun <- done:
			case <-inner.Done():
				return inner.Err()
			}
			group.Go(func() error {
				result, err := do(inner, item)
				done <- outcome{result, err}
				return nil // told in its turn
			})
		}
		return nil
	})
	group.Go(func() error {
		for done := range begun {
			next := <-done
			if next.err != nil {
				return next.err
			}
			if err := take(next.result); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}
