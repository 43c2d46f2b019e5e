// Bench prints how moodle-exporter compares with what it replaces, as ratios measured in one run on one
// machine: single figures of a busy machine mean little, those taken in turn mean something.
//
//	go run ./test/bench            two small sites, within minutes
//	go run ./test/bench -full      15,000 files of 1.6 GB; 1 GB of SQL
//	go run ./test/bench -million   also a site with 1,000,000 files
//	go run ./test/bench -large     also scrapes of a site with 1,000,000 files and 3,000,000 log rows
//
// -only=file-heavy, -only=database-heavy and -only=scrape do one part, -only=backup the first two, -only=none none. -cold empties the kernel's caches before each measurement, of
// the whole machine; without it everything that is read has been read before.
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
	binary                   string
	fileHeavy, databaseHeavy set

	rounds  int // of each measurement
	scrapes int
	cold    bool
	million bool
	large   bool
	only    string
}

// does says whether a part with one of these names is wanted.
func (o *options) does(names ...string) bool { return o.only == "" || slices.Contains(names, o.only) }

func main() {
	o := options{binary: os.Getenv("MOODLE_EXPORTER_BINARY"), fileHeavy: set{name: "file-heavy"},
		databaseHeavy: set{name: "database-heavy", files: 100, bytes: 10_000_000, restores: 1}}
	full := flag.Bool("full", false, "the sizes for which budgets are promised: -files 15000 -bytes 1600000000 -sql 1000000000 -restores 3")
	flag.IntVar(&o.fileHeavy.files, "files", 4000, "content files of the file-heavy site")
	flag.Int64Var(&o.fileHeavy.bytes, "bytes", 400_000_000, "bytes of content, half of it incompressible")
	flag.Int64Var(&o.databaseHeavy.sql, "sql", 120_000_000, "bytes of SQL of the database-heavy site")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of each measurement")
	flag.IntVar(&o.fileHeavy.restores, "restores", 1, "rounds that restore the file-heavy site as well; the other one, which takes longest, is restored once")
	flag.IntVar(&o.scrapes, "scrapes", 100, "scrapes of each exporter")
	flag.BoolVar(&o.cold, "cold", false, "empty the caches of this machine before each measurement")
	flag.BoolVar(&o.million, "million", false, "also back up a site with 1,000,000 files")
	flag.BoolVar(&o.large, "large", false, "also scrape a site with 1,000,000 files and 3,000,000 log rows")
	flag.StringVar(&o.only, "only", "", "file-heavy, database-heavy, backup (both) or scrape: only that; none: only what -million and -large ask for")
	flag.Parse()
	if *full {
		o.fileHeavy.files, o.fileHeavy.bytes, o.databaseHeavy.sql, o.fileHeavy.restores = 15_000, 1_600_000_000, 1_000_000_000, 3
	}
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
	fmt.Printf("%s, %d processors, %s\n\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version())
	scrape := func(ctx context.Context, h *host) error { return h.benchScrape(ctx) }
	compare := func(ctx context.Context, h *host) error { return h.benchBackup(ctx) }
	for _, part := range []struct {
		wanted bool
		set    set
		bench  func(context.Context, *host) error
	}{
		{o.does("file-heavy", "backup"), o.fileHeavy, compare},
		{o.does("database-heavy", "backup"), o.databaseHeavy, compare},
		{o.does("scrape"), set{name: "scraped", files: 1000, bytes: 50_000_000}, scrape},
		{o.million, set{name: "a million files"}, func(ctx context.Context, h *host) error { return h.benchMillion(ctx) }},
		{o.large, set{name: "large"}, func(ctx context.Context, h *host) error { return h.benchLarge(ctx) }},
	} {
		if part.wanted {
			if err := onHost(ctx, o, part.set, part.bench); err != nil {
				return fmt.Errorf("%s site: %w", part.set.name, err)
			}
		}
	}
	return nil
}

// onHost measures something on a host of its own, which then goes.
func onHost(ctx context.Context, o options, s set, bench func(context.Context, *host) error) (err error) {
	dir, remove, err := stand.MakeTempDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	h, err := startHost(ctx, dir, o, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	fmt.Println(h.describe())
	return bench(ctx, h)
}

// median of some figures.
func median[T ~int64 | ~float64](figures []T) T { return quantile(figures, 0.5) }

// quantile is the figure that the given part of all is not above.
func quantile[T ~int64 | ~float64](figures []T, part float64) T {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}
