package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// benchBackup takes the old scripts' pipelines, restic and ours in turn: a first backup, a repeat with one
// percent of new content, reading all back, restoring, and copying to other storage.
func (h *host) benchBackup(ctx context.Context) error {
	old := func() *contender {
		return &contender{name: "mysqldump | gzip, tar -czf of code and data", run: h.oldBackup}
	}
	first := &contest{title: "first backup", rounds: h.rounds, prepare: h.empty, others: []*contender{old()},
		ours: &contender{name: "moodle-exporter backup", run: h.ours("backup")}}
	repeat := &contest{title: "repeat with 1 % new", rounds: h.rounds, prepare: h.grow, others: []*contender{old()},
		ours: &contender{name: "moodle-exporter backup", run: h.ours("backup")}}
	verify := &contest{title: "verify, reading all", rounds: h.rounds, others: []*contender{{name: "gzip -t", run: h.oldVerify}},
		ours: &contender{name: "moodle-exporter backup verify all --read-data", run: h.ours("backup", "verify", "all", "--read-data")}}
	restore := h.restoreContest()
	if h.restic.present() {
		first.others = append(first.others, &contender{name: "restic backup, with the dump on its standard input", run: h.restic.backup})
		repeat.others = append(repeat.others, &contender{name: "restic backup, with the dump on its standard input", run: h.restic.backup})
		verify.others = append(verify.others, &contender{name: "restic check --read-data", run: h.restic.check})
		restore.others = append(restore.others, &contender{name: "restic restore, restic dump | mariadb", run: h.restic.restore})
	}
	// Everybody waits for this one, whatever he does with what it says: nobody can be much faster.
	repeat.others = append(repeat.others, &contender{name: "mariadb-dump alone, thrown away (no backup)", run: h.dumpAlone})
	contests := []*contest{first, repeat, verify, restore}
	if !h.restic.present() {
		fmt.Println("(restic is not installed and is left out)")
	}
	copied, err := h.copyContests(ctx, first, repeat)
	if err != nil {
		return err
	}
	if len(copied) == 2 { // each after the backup that it copies
		contests = []*contest{first, copied[0], repeat, copied[1], verify, restore}
	}
	if err := h.compete(ctx, contests); err != nil {
		return err
	}
	if err := h.tellSize(); err != nil {
		return err
	}
	for _, c := range contests {
		c.tell()
	}
	h.judge(first, repeat, verify, restore)
	return nil
}

// judge holds the figures against what is promised.
func (h *host) judge(first, repeat, verify, restore *contest) {
	var budgets []budget
	faster := func(c *contest, other int, limit float64) {
		if other == 1 && !h.restic.present() {
			return
		}
		budgets = append(budgets, budget{what: c.title + ", times as fast as " + []string{"the old pipelines", "restic"}[other],
			measured: c.ours.times(c.others[other]), limit: limit, atLeast: true})
	}
	if h.name == "file-heavy" {
		faster(first, 0, 5)
		faster(repeat, 0, 30)
	}
	faster(repeat, 1, 2)
	faster(restore, 0, 2)
	faster(restore, 1, 2)
	for _, c := range []*contest{first, repeat, verify, restore} {
		if c.ours != nil && len(c.ours.figures) > 0 {
			budgets = append(budgets, budget{what: c.title + ", most memory, MB", measured: float64(c.ours.median().rss) / 1e6, limit: 120})
		}
	}
	show("budgets, promised for the sizes of -full", budgets...)
}

// empty removes all backups.
func (h *host) empty(ctx context.Context) error {
	repository := filepath.Join(h.dir, "restic")
	if err := errors.Join(h.putAway(h.backups), h.putAway(repository)); err != nil {
		return err
	}
	return h.restic.init(ctx, repository)
}

// ours runs our exporter.
func (h *host) ours(words ...string) func(context.Context) (usage, error) {
	return func(ctx context.Context) (usage, error) { return measure(h.exporter(ctx, words...)) }
}

// tellSize says how much SQL there was in the last backup, by its manifest.
func (h *host) tellSize() error {
	manifests, err := filepath.Glob(filepath.Join(h.backups, "bench", "*", "manifest.json"))
	if err != nil || len(manifests) == 0 {
		return errors.Join(err, errors.New("there is no backup"))
	}
	text, err := os.ReadFile(slices.Max(manifests))
	if err != nil {
		return err
	}
	var manifest struct {
		Files []struct {
			Name        string
			ContentSize int64 `json:"content_size"`
		}
		Filedir struct{ Blobs, Size int64 }
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return err
	}
	for _, file := range manifest.Files {
		if file.Name == "database.sql.zst" {
			fmt.Printf("in the last backup: %d MB of SQL, %d content files of %d MB; each time ends when all that was written is on the disk\n\n",
				file.ContentSize/1_000_000, manifest.Filedir.Blobs, manifest.Filedir.Size/1_000_000)
		}
	}
	return nil
}
