package restore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

const (
	// drainAtMost is how long requests that are running may take to end once the site is closed.
	drainAtMost = 5 * time.Second
	// workerAtMost is how long a process of cron may take to end its task after SIGTERM.
	workerAtMost = 2 * time.Second
	quietPoll    = 50 * time.Millisecond
)

// quiet ends what still works on a site that was closed at that moment: requests, and processes of cron, for whom the
// maintenance page does not count once they have begun. They know users and courses by numbers that mean others soon.
func quiet(ctx context.Context, o *Options, site *moodle.Site, closed time.Time) error {
	if err := endWorkers(ctx, site, o.Logger); err != nil {
		return err
	}
	pools := poolsOf(o, site)
	if len(pools) == 0 {
		return nil
	}
	err := control.Drain(ctx, site, pools, closed, drainAtMost)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	// Nobody can tell whether they have ended, or they have not: a reload ends them.
	o.Logger.Info("requests from before the site was closed are broken off", "why", err)
	return control.ReloadPools(ctx, o.Bus, pools, o.Logger)
}

const procRoot = "/proc"

// endWorkers ends the processes that run tasks of the site: first as Moodle itself asks them to, then by force.
func endWorkers(ctx context.Context, site *moodle.Site, log *slog.Logger) error {
	began := time.Now()
	told := map[int]syscall.Signal{}
	for {
		workers, err := control.Workers(procRoot, site)
		if err != nil || len(workers) == 0 {
			return err
		}
		sent := syscall.SIGTERM
		switch waited := time.Since(began); {
		case waited > 2*workerAtMost:
			return fmt.Errorf("%s (process %d) cannot be ended: it would write into the tables of the other site", workers[0].Script, workers[0].PID)
		case waited > workerAtMost:
			sent = syscall.SIGKILL
		}
		for _, worker := range workers {
			if told[worker.PID] == sent {
				continue
			}
			told[worker.PID] = sent
			log.Info("ending a process of the site", "script", worker.Script, "pid", worker.PID, "signal", sent.String())
			if err := signalWorker(site, worker.PID, sent); err != nil {
				return fmt.Errorf("end %s (process %d): %w", worker.Script, worker.PID, err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quietPoll):
		}
	}
}

// signalWorker gets hold of a process before it looks again whether that is the one: its number may be another's by now.
func signalWorker(site *moodle.Site, pid int, signal syscall.Signal) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer func() { _ = process.Release() }()
	now, err := control.Workers(procRoot, site)
	if err != nil {
		return err
	}
	for _, worker := range now {
		if worker.PID != pid {
			continue
		}
		if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	return nil
}

// noSuchThread is ER_NO_SUCH_THREAD: the connection has ended by itself.
const noSuchThread = 1094

// endConnections ends the connections of the site's own account to its schema, and returns when none is left: one that is
// idle now, or in a transaction, would go on in the tables that come.
func endConnections(ctx context.Context, login moodle.Login, account, schema string, log *slog.Logger) error {
	if account == "" {
		return nil
	}
	admin, err := administer(login)
	if err != nil {
		return err
	}
	defer admin.Close()
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	for ended := 0; ; {
		ids, err := connections(ctx, admin, account, schema)
		if err != nil {
			return fmt.Errorf("list the site's connections to the database: %w", err)
		}
		if len(ids) == 0 {
			if ended > 0 {
				log.Info("connections of the site to its database were ended", "connections", ended)
			}
			return nil
		}
		for _, id := range ids {
			var refused *mysql.MySQLError
			if _, err := admin.ExecContext(ctx, fmt.Sprintf("KILL %d", id)); err == nil {
				ended++
			} else if !errors.As(err, &refused) || refused.Number != noSuchThread {
				return fmt.Errorf("end a connection of the site to the database: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("end the site's connections to the database: %w", ctx.Err())
		case <-time.After(quietPoll):
		}
	}
}

func connections(ctx context.Context, admin *sql.DB, account, schema string) (ids []int64, err error) {
	rows, err := admin.QueryContext(ctx, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = ? AND DB = ? AND ID <> CONNECTION_ID()", account, schema)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
