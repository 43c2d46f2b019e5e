package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// quarantine moves a damaged content file out of the pool, which then lacks it, so that the next backup
// takes it from the site. It is never deleted: half a video may be worth having.
func (v *verifier) quarantine(name string) (string, error) {
	if err := v.store.MakeDir(quarantine); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make the quarantine: %w", err)
	}
	target := path.Join(quarantine, path.Base(name)+"-"+v.stamp())
	for n := 1; ; n++ {
		if _, err := os.Lstat(v.store.Path(target)); errors.Is(err, os.ErrNotExist) {
			break
		}
		target = path.Join(quarantine, fmt.Sprintf("%s-%s-%d", path.Base(name), v.stamp(), n))
	}
	if err := v.store.Rename(name, target); err != nil {
		return "", fmt.Errorf("move %s to quarantine: %w", name, err)
	}
	v.At("quarantined")
	return target, nil
}

// listDamage writes down all content files that lists name and the pool lacks, by a second walk over both.
func (v *verifier) listDamage(ctx context.Context) error {
	own, err := openPool(v.store)
	if err != nil {
		return err
	}
	defer own.close()
	list, err := v.openNeeds(ctx)
	if err != nil {
		return err
	}
	defer list.close()
	v.hurt = map[string]int64{}
	from, to := io.Pipe()
	done := make(chan error, 1)
	go func() {
		out := newListWriter(to)
		last := sum{}
		err := list.meet(ctx, own, func(error) {}, func(have *blob, wanted []need) error {
			for _, n := range wanted {
				if have != nil && have.size == n.size {
					continue
				}
				for _, s := range n.of {
					v.hurt[s.id]++
				}
				if n.sum == last {
					continue
				}
				last = n.sum
				if err := out.add(n.blob); err != nil {
					return err
				}
			}
			return nil
		})
		err = errors.Join(err, out.flush())
		_ = to.CloseWithError(err)
		done <- err
	}()
	_, err = v.store.Save(ctx, damagedName, store.Unknown, from)
	_ = from.CloseWithError(err)
	if walked := <-done; err == nil {
		err = walked
	}
	return err
}

// isRemains says whether a name is that of unfinished work.
func isRemains(name string) bool { return strings.HasPrefix(name, store.Prefix) }
