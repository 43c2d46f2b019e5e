package main

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// Rows of the large site: a university's, after some years.
const (
	largeFiles = 1_000_000
	largeLog   = 3_000_000
)

// fillLarge makes them.
func (h *host) fillLarge(ctx context.Context) error {
	began := time.Now()
	if err := h.bulk(ctx, "files", fileColumns, fmt.Sprintf(smallFileRows, 1, largeFiles)); err != nil {
		return err
	}
	if err := h.bulk(ctx, "logstore_standard_log", logColumns, fmt.Sprintf(logRow, 1, largeLog)); err != nil {
		return err
	}
	fmt.Printf("%d more rows in files, %d in the log, made in %.0f s\n\n", largeFiles, largeLog, time.Since(began).Seconds())
	return nil
}

// benchLarge scrapes while the background reading goes through the large tables, and then as on the small site.
func (h *host) benchLarge(ctx context.Context) error {
	if err := h.fillLarge(ctx); err != nil {
		return err
	}
	all, err := h.startExporters(ctx)
	defer all.stop()
	if err != nil {
		return err
	}
	ours := all[0]
	began := time.Now()
	var times []float64
	for !bytes.Contains(ours.page, []byte(`moodle_refresh_last_success_timestamp_seconds{site="bench",source="files"}`)) {
		took, err := ours.scrape(ctx)
		if err != nil {
			return err
		}
		times = append(times, took)
		if time.Since(began) > 5*time.Minute {
			return fmt.Errorf("the files of the large site were not counted in %v", time.Since(began))
		}
	}
	fmt.Printf("counting a million files in the background took %.1f s; meanwhile %d scrapes\n", time.Since(began).Seconds(), len(times))
	show("budgets while it is counted", budget{what: "median, ms", measured: median(times) * 1000, limit: 20},
		budget{what: "95 of 100, ms (each waits for a statement of the count)", measured: quantile(times, 0.95) * 1000, limit: 200})
	all.stop()
	return h.benchScrape(ctx)
}
