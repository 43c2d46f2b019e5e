package main

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
)

// restoreContest brings the site back after everything of it is gone. Each way has to bring back as many
// rows and files as there were.
func (h *host) restoreContest() *contest {
	c := &contest{title: "restore all", rounds: h.restores, prepare: h.count, before: h.destroy, after: h.cameBack,
		others: []*contender{{name: "gunzip | mariadb, tar -xzf of code and data", run: h.oldRestore}}}
	words := []string{"restore", "latest", "--site=bench", "--yes"}
	if h.can("restore") {
		c.ours = &contender{name: "moodle-exporter restore latest --yes", run: h.ours(words...)}
	} else {
		c.note = "This moodle-exporter has no command restore: left out."
	}
	return c
}

// can says whether our exporter has a command.
func (h *host) can(words ...string) bool {
	command := h.exporter(context.Background(), append(words, "--help")...)
	command.Stderr = nil
	return command.Run() == nil
}

// stock is how much there is of a site.
type stock struct{ rows, log, files, code int64 }

func (h *host) count(ctx context.Context) (err error) {
	h.stock, err = h.look(ctx)
	return err
}

func (h *host) cameBack(ctx context.Context) error {
	now, err := h.look(ctx)
	if err == nil && now != h.stock {
		err = fmt.Errorf("there were %+v, and came back %+v", h.stock, now)
	}
	return err
}

func (h *host) look(ctx context.Context) (s stock, err error) {
	pool, err := sql.Open("mysql", h.database.RootDSN(h.site.Database))
	if err != nil {
		return s, err
	}
	defer func() { _ = pool.Close() }()
	for table, count := range map[string]*int64{"files": &s.rows, "logstore_standard_log": &s.log} {
		if err := pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM `"+h.site.Prefix+table+"`").Scan(count); err != nil {
			return s, fmt.Errorf("count the rows of %s: %w", table, err)
		}
	}
	for dir, count := range map[string]*int64{filepath.Join(h.site.Dataroot, "filedir"): &s.files, h.site.CodeDir: &s.code} {
		if err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				*count++
			}
			return err
		}); err != nil {
			return s, err
		}
	}
	return s, nil
}

// destroy takes database, code and data away.
func (h *host) destroy(ctx context.Context) error {
	if err := h.database.Exec(ctx, "DROP DATABASE `"+h.site.Database+"`"); err != nil {
		return err
	}
	for _, dir := range []string{h.site.CodeDir, h.site.Dataroot} {
		if err := h.putAway(dir); err != nil {
			return err
		}
	}
	return nil
}
