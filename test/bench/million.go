package main

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// smallFileRows are the rows of small content files, as smallFile makes them.
const smallFileRows = `SELECT SHA1(REPEAT(CONCAT('content file ', seq, '\n'), 1 + seq MOD 40)), SHA1(CONCAT('/', seq)), seq MOD 50000, 'mod_resource', 'content', 0, '/',
	CONCAT('file-', seq, '.pdf'), seq MOD 20000, (1 + seq MOD 40) * LENGTH(CONCAT('content file ', seq, '\n')), 'application/pdf', 1700000000 + seq, 1700000000 + seq FROM seq_%d_to_%d`

func smallFile(number int) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("content file %d\n", number), 1+number%40))
}

// benchMillion backs a site up when it has 100,000 files, and when it has 1,000,000: what takes memory by the file shows.
func (h *host) benchMillion(ctx context.Context) error {
	var memory [2]int64
	total := 0
	for i, count := range []int{100_000, 1_000_000} {
		if err := h.addSmallFiles(ctx, total+1, count); err != nil {
			return err
		}
		total = count
		fmt.Printf("%-58s %9s %9s %8s\n", fmt.Sprintf("%d files", count), "wall s", "cpu s", "rss MB")
		for _, job := range []struct {
			name    string
			prepare func(context.Context) error
			words   []string
		}{
			{"moodle-exporter backup, of all that is new", nil, []string{"backup"}},
			{"moodle-exporter backup, with 1 % new", func(ctx context.Context) error {
				total += count / 100
				return h.addSmallFiles(ctx, count+1, total)
			}, []string{"backup"}},
			{"moodle-exporter backup verify all --read-data", nil, []string{"backup", "verify", "all", "--read-data"}},
			{"moodle-exporter backup prune", nil, []string{"backup", "prune"}},
		} {
			if err := errors.Join(optional(ctx, job.prepare), h.settle()); err != nil {
				return err
			}
			figure, err := h.ours(job.words...)(ctx)
			if err != nil {
				return err
			}
			memory[i] = max(memory[i], figure.rss)
			(&contender{name: job.name, figures: []usage{figure}}).tell("")
		}
		fmt.Println()
	}
	show("budgets at 1,000,000 files",
		budget{what: "most memory of all jobs, with the programs they start, MB", measured: float64(memory[1]) / 1e6, limit: 120},
		budget{what: "flat: times the memory at 100,000 files", measured: float64(memory[1]) / float64(memory[0]), limit: 1.5})
	return nil
}

// addSmallFiles stores content files of these numbers, with their rows.
func (h *host) addSmallFiles(ctx context.Context, from, to int) error {
	began := time.Now()
	workers, inner := errgroup.WithContext(ctx)
	const share = 4
	for worker := range share {
		workers.Go(func() error {
			for number := from + worker; number <= to; number += share {
				if err := errors.Join(inner.Err(), h.storeSmall(smallFile(number))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return err
	}
	if err := h.bulk(ctx, "files", fileColumns, fmt.Sprintf(smallFileRows, from, to)); err != nil {
		return err
	}
	fmt.Printf("(made %d files in %.0f s)\n", to-from+1, time.Since(began).Seconds())
	return nil
}

func (h *host) storeSmall(content []byte) error {
	sum := sha1.Sum(content)
	name := hex.EncodeToString(sum[:])
	path := filepath.Join(h.site.Dataroot, "filedir", name[:2], name[2:4], name)
	err := os.WriteFile(path, content, 0o660)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o770); err == nil {
			err = os.WriteFile(path, content, 0o660)
		}
	}
	return err
}
