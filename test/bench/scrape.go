package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"time"
)

// benchScrape measures our exporter, and the two usual ones beside it.
func (h *host) benchScrape(ctx context.Context) error {
	all, err := h.startExporters(ctx)
	defer all.stop()
	if err != nil {
		return err
	}
	ours := all[0]
	for _, source := range []string{"activity", "files"} { // what is read now and then has been read
		if err := ours.await(ctx, `moodle_refresh_last_success_timestamp_seconds{site="bench",source="`+source+`"}`); err != nil {
			return err
		}
	}
	duration, err := h.inTurn(ctx, all)
	if err != nil {
		return err
	}
	cost, err := h.costOf(ctx, ours)
	if err != nil {
		return err
	}
	growth, err := h.growth(ctx, ours)
	if err != nil {
		return err
	}
	now, err := ours.look()
	if err != nil {
		return err
	}
	show("budgets of a scrape", append([]budget{
		{what: "median, ms", measured: duration * 1000, limit: 20},
		{what: "samples of one site (and 13 more per unit under systemd)", measured: float64(ours.samples()), limit: 450},
		{what: "resident memory, MB", measured: float64(now.rss) / 1e6, limit: 40},
	}, append(cost, growth...)...)...)
	return nil
}

// inTurn scrapes all exporters in turn, prints what each took, and returns the median of ours in seconds.
func (h *host) inTurn(ctx context.Context, all exporters) (ours float64, err error) {
	const warmup = 5
	times, before := make([][]float64, len(all)), make([]process, len(all))
	for i := range h.scrapes + warmup {
		for n, e := range all {
			if i == warmup {
				times[n] = nil
				if before[n], err = e.look(); err != nil {
					return 0, err
				}
			}
			took, err := e.scrape(ctx)
			if err != nil {
				return 0, err
			}
			times[n] = append(times[n], took)
		}
	}
	fmt.Printf("%-44s %8s %8s %8s %8s %8s %12s\n", fmt.Sprintf("scrape, median of %d in turn", h.scrapes), "ms", "worst", "bytes", "samples", "rss MB", "cpu ms each")
	theirs, theirSamples := 0.0, 0
	for n, e := range all {
		now, err := e.look()
		if err != nil {
			return 0, err
		}
		fmt.Printf("%-44s %8.2f %8.2f %8d %8d %8.1f %12.2f\n", e.name, median(times[n])*1000, quantile(times[n], 1)*1000, len(e.page), e.samples(),
			float64(now.rss)/1e6, (now.cpu-before[n].cpu)*1000/float64(h.scrapes))
		if n > 0 {
			theirs, theirSamples = theirs+median(times[n]), theirSamples+e.samples()
		}
	}
	if len(all) == 3 {
		fmt.Printf("ours to node_exporter + mysqld_exporter: %.2f of their time, %.2f of their samples\n",
			median(times[0])/theirs, float64(all[0].samples())/float64(theirSamples))
	}
	fmt.Println()
	return median(times[0]), nil
}

// costOf is what scrapes of our exporter alone cost the others: its database server and the kernel.
func (h *host) costOf(ctx context.Context, ours *watched) ([]budget, error) {
	server, err := sql.Open("mysql", h.database.RootDSN(""))
	if err != nil {
		return nil, err
	}
	defer func() { _ = server.Close() }()
	server.SetMaxOpenConns(1)
	before, err := readServer(ctx, server)
	if err != nil {
		return nil, err
	}
	for range h.scrapes {
		if _, err := ours.scrape(ctx); err != nil {
			return nil, err
		}
	}
	after, err := readServer(ctx, server)
	if err != nil {
		return nil, err
	}
	started, err := startedProcesses(ours)
	if err != nil {
		return nil, err
	}
	each := func(delta int64) float64 { return float64(delta) / float64(h.scrapes) }
	fmt.Printf("SQL statements per scrape, by the server's own count: %.1f\n\n", each(after.questions-before.questions-1)) // less our look
	return []budget{
		{what: "new database connections per scrape", measured: each(after.connections - before.connections), limit: 1},
		{what: "processes started since serve began (1: some)", measured: started, limit: 0},
	}, nil
}

// startedProcesses is 0 if the exporter has never started a process: the kernel knows of no living child of it, and has
// never added an ended one's page faults to its account. (One that was not waited for would still be there as a zombie.)
func startedProcesses(ours *watched) (float64, error) {
	self, err := readProcess(os.Getpid())
	if err != nil {
		return 0, err
	}
	if self.childFaults == 0 {
		return 0, errors.New("this kernel does not keep account of ended children")
	}
	now, err := ours.look()
	if err != nil || now.children+now.childFaults == 0 {
		return 0, err
	}
	return 1, nil
}

// growth is what 1,000 scrapes leave behind, from the fiftieth on.
func (h *host) growth(ctx context.Context, ours *watched) ([]budget, error) {
	var before, after process
	var routinesBefore, routinesAfter float64
	for i := range 1000 {
		if _, err := ours.scrape(ctx); err != nil {
			return nil, err
		}
		var err error
		switch i {
		case 49:
			before, err = ours.look()
			routinesBefore = ours.value("go_goroutines")
		case 999:
			after, err = ours.look()
			routinesAfter = ours.value("go_goroutines")
		}
		if err != nil {
			return nil, err
		}
	}
	// The slack is the runtime's own: a goroutine that is just ending, a garbage collection that is due.
	return []budget{
		{what: fmt.Sprintf("goroutines after 1,000 scrapes (after 50: %g)", routinesBefore), measured: routinesAfter, limit: routinesBefore + 4},
		{what: fmt.Sprintf("open files after 1,000 scrapes (after 50: %d)", before.descriptors), measured: float64(after.descriptors), limit: float64(before.descriptors + 2)},
		{what: fmt.Sprintf("resident MB after 1,000 scrapes (after 50: %.1f)", float64(before.rss)/1e6), measured: float64(after.rss) / 1e6, limit: math.Ceil(float64(before.rss)/1e6 + 4)},
	}, nil
}

// serverCount is how much a database server has been asked.
type serverCount struct{ questions, connections int64 }

func readServer(ctx context.Context, server *sql.DB) (count serverCount, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	rows, err := server.QueryContext(ctx, "SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Connections')")
	if err != nil {
		return count, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var value int64
		if err := rows.Scan(&name, &value); err != nil {
			return count, err
		}
		if name == "Questions" {
			count.questions = value
		} else {
			count.connections = value
		}
	}
	return count, rows.Err()
}
