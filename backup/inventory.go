package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path"
	"slices"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// Inventory is what monitoring wants to know about the backups of a site. Times are Unix seconds, sizes bytes.
type Inventory struct {
	Backups        int                           `json:"backups"` // good and complete
	Problems       []string                      `json:"problems,omitempty"`
	Components     map[string]ComponentInventory `json:"components"` // with All; only those that were ever backed up
	StoredBytes    int64                         `json:"stored_bytes"`
	SameFilesystem *bool                         `json:"same_filesystem,omitempty"`  // of the newest backup
	Missing        *int64                        `json:"missing,omitempty"`          // in the newest one with files and database
	Accepted       int64                         `json:"accepted"`                   // missing files that somebody has accepted
	Damaged        *int64                        `json:"damaged,omitempty"`          // files that verify found damaged and no backup has healed
	Verify         *VerifyInventory              `json:"verify,omitempty"`           // nothing before the first verification; so is Damaged
	Duration       float64                       `json:"duration_seconds,omitempty"` // of the newest complete backup
	BaselineTime   float64                       `json:"baseline_seconds,omitempty"` // median of the last complete ones
	Latest         string                        `json:"latest,omitempty"`           // ID of the newest good and complete backup
	Warnings       []string                      `json:"warnings,omitempty"`         // of the newest backup
	Offsite        OffsiteInventory              `json:"offsite"`
}

// ComponentInventory is the newest good backup of one component.
type ComponentInventory struct {
	LastSuccess float64 `json:"last_success"` // end of the backup
	Size        int64   `json:"size"`         // what it restores to
	Written     int64   `json:"written"`      // what was newly stored
	Baseline    int64   `json:"baseline"`     // median size of the last good ones
}

// VerifyInventory is how the backups were last verified.
type VerifyInventory struct {
	Intact      bool    `json:"intact"`                 // the last verification found nothing
	LastSuccess float64 `json:"last_success,omitempty"` // end of the last one that did; 0 for none
}

// All stands for a complete backup among the components.
const All = "all"

// baselineRuns is how many of the last good backups make the baseline.
const baselineRuns = 7

// clockSkew is how far in the future a backup may lie before it counts as made with a wrong clock.
const clockSkew = 5 * time.Minute

// TakeInventory looks at the backups of a site in dir. It reads manifests and file sizes, no content. A
// backup from after now is a problem, not the newest one: until its time came it would keep every alert
// about old backups silent.
func TakeInventory(ctx context.Context, dir, site string, now time.Time) (Inventory, error) {
	s := store.NewDirectory(SiteDir(dir, site))
	inventory := Inventory{Components: map[string]ComponentInventory{}}
	backups, err := list(ctx, s)
	if err != nil {
		return inventory, err
	}
	if inventory.StoredBytes, err = storedBytes(ctx, s, backups); err != nil {
		return inventory, err
	}
	if inventory.Accepted, err = accepted(ctx, s); err != nil {
		return inventory, err
	}
	if err := inventory.addVerify(ctx, s); err != nil {
		return inventory, err
	}
	if err := inventory.addOffsite(ctx, s, backups); err != nil {
		return inventory, err
	}
	var good []*Manifest // newest first
	for _, b := range slices.Backward(backups) {
		switch {
		case b.Good() && b.Manifest.Ended.After(now.Add(clockSkew)):
			inventory.Problems = append(inventory.Problems, b.ID+": it is dated in the future; was the clock wrong when it was made?")
		case b.Good():
			good = append(good, b.Manifest)
		default:
			inventory.Problems = append(inventory.Problems, b.ID+": "+b.Problem.Error())
		}
	}
	if len(good) > 0 {
		inventory.SameFilesystem, inventory.Warnings = &good[0].SameFilesystem, good[0].Warnings
	}
	for _, component := range Components {
		inventory.add(component, with(good, func(m *Manifest) bool { return m.Has(component) }),
			func(m *Manifest) int64 { return m.Size(component) }, func(m *Manifest) int64 { return m.Written(component) })
	}
	complete := with(good, (*Manifest).Complete)
	inventory.add(All, complete, total((*Manifest).Size), total((*Manifest).Written))
	inventory.Backups = len(complete)
	if len(complete) > 0 {
		inventory.Latest, inventory.Duration = complete[0].ID, seconds(complete[0])
		inventory.BaselineTime = median(complete, seconds)
	}
	if audited := with(good, (*Manifest).audited); len(audited) > 0 {
		inventory.Missing = &audited[0].Filedir.Missing
	}
	return inventory, nil
}

func (i *Inventory) add(component string, of []*Manifest, size, written func(*Manifest) int64) {
	if len(of) == 0 {
		return
	}
	i.Components[component] = ComponentInventory{
		LastSuccess: float64(of[0].Ended.UnixMilli()) / 1000, Size: size(of[0]), Written: written(of[0]), Baseline: median(of, size),
	}
}

func with(manifests []*Manifest, wanted func(*Manifest) bool) (found []*Manifest) {
	for _, m := range manifests {
		if wanted(m) {
			found = append(found, m)
		}
	}
	return found
}

func total(of func(*Manifest, string) int64) func(*Manifest) int64 {
	return func(m *Manifest) (sum int64) {
		for _, component := range m.Components {
			sum += of(m, component)
		}
		return sum
	}
}

func seconds(m *Manifest) float64 { return m.Ended.Sub(m.Started).Round(time.Millisecond).Seconds() }

// median of the newest few; the lower one of two in the middle.
func median[T int64 | float64](manifests []*Manifest, value func(*Manifest) T) T {
	var values []T
	for _, m := range manifests[:min(len(manifests), baselineRuns)] {
		values = append(values, value(m))
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// storedBytes is the pool, and the files of all backups with those that are shared counted once.
func storedBytes(ctx context.Context, s store.Store, backups []Listed) (stored int64, err error) {
	var pool usage
	if err := loadJSON(ctx, s, usageName, &pool); err != nil {
		return 0, err
	}
	stored = pool.Bytes
	seen := map[string]bool{}
	for _, b := range backups {
		if b.Manifest == nil {
			continue
		}
		for _, file := range b.Manifest.Files {
			if key := file.Name + file.SHA256; !seen[key] {
				seen[key] = true
				stored += file.Size
			}
		}
	}
	return stored, nil
}

func saveJSON(ctx context.Context, s store.Store, name string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = s.Save(ctx, path.Clean(name), int64(len(content)), bytes.NewReader(content))
	return err
}

// loadJSON leaves value as it is if there is no such file.
func loadJSON(ctx context.Context, s store.Store, name string, value any) error {
	file, err := s.Open(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	return json.NewDecoder(io.LimitReader(file, 1<<20)).Decode(value)
}
