// Bench prints how moodle-exporter compares with what it replaces, as ratios measured in one run on one
// machine: single figures of a busy machine mean little, pairs taken in turn mean something.
//
//	go run ./test/bench [-files 4000] [-bytes 400000000] [-rounds 3] [-large]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// options of one run.
type options struct {
	binary  string
	files   int   // content files of the file-heavy site
	bytes   int64 // of them together
	rounds  int   // of each backup measurement
	scrapes int
	large   bool // also a site with a million files and three million rows in its log
}

func main() {
	o := options{binary: os.Getenv("MOODLE_EXPORTER_BINARY")}
	flag.IntVar(&o.files, "files", 4000, "content files of the site")
	flag.Int64Var(&o.bytes, "bytes", 400_000_000, "bytes of content")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of each backup")
	flag.IntVar(&o.scrapes, "scrapes", 100, "scrapes of each exporter")
	flag.BoolVar(&o.large, "large", false, "also scrape a site with 1,000,000 files and 3,000,000 log rows")
	flag.Parse()
	if o.binary == "" {
		o.binary = "bin/moodle-exporter"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if missing := stand.Missing(stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx, stand.Redis); len(missing) > 0 {
		return fmt.Errorf("programs are missing: %s", stand.AptLine(missing...))
	}
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	dir, remove, err := stand.MakeTempDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	h, err := startHost(ctx, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	fmt.Printf("%s, %d processors, %s, %s\n\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), h.describe())
	if err := h.benchBackup(ctx); err != nil {
		return err
	}
	if err := h.benchScrape(ctx); err != nil || !o.large {
		return err
	}
	return h.benchLarge(ctx)
}

// median of some figures.
func median[T ~int64 | ~float64](figures []T) T { return quantile(figures, 0.5) }

// quantile is the figure that the given part of all is not above.
func quantile[T ~int64 | ~float64](figures []T, part float64) T {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}
