package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// grace is how long a content file that no backup names stays in the pool: it may belong to a backup that
// was broken off, and the next one then need not copy it again.
const grace = 24 * time.Hour

// ErrUnreadable is a backup whose needs nobody knows, so that nothing may be removed from the pool.
var ErrUnreadable = errors.New("a backup cannot be read, so nobody knows which content files it needs; nothing was removed from the pool")

// usage is how much the pool holds, as of the last walk over it.
type usage struct {
	Blobs int64 `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

const usageName = "pool/usage.json"

// pruner removes backups that no rule keeps, and then content files that no backup names.
type pruner struct {
	store store.Local
	keep  config.Keep
	now   time.Time
	at    func(string)

	done    func(bytes int64) // told how much of the pool has been looked at; nil if nobody asks
	dry     bool              // only find out what would go
	leaving map[string]bool   // backups that go
	claims  []*Pin            // on them: nobody begins to read what is about to go
	swept   usage             // what has gone from the pool
}

func (c *creation) prune(ctx context.Context) error {
	p := &pruner{store: c.Store, keep: c.Config.Keep, now: c.Clock(), at: c.At}
	gone, err := p.removeBackups(ctx)
	for _, id := range gone {
		c.Logger.Info("removed an old backup", "backup", id)
	}
	if err != nil {
		return err
	}
	if !c.has(Files) && len(gone) == 0 {
		return nil
	}
	if c.held != nil {
		c.held.Blobs += c.pool.newBlobs.Load()
		c.held.Bytes += c.pool.newSize.Load()
	}
	if len(gone) == 0 && c.held != nil && !c.replaces && !c.pool.replaced.Load() {
		return saveJSON(ctx, c.Store, usageName, *c.held)
	}
	return p.sweep(ctx, len(gone) > 0)
}

// takeUsage remembers how much the pool holds, and forgets it on disk: should this run not come to its
// end, the next one walks over the pool instead of believing a number that is out of date.
func (c *creation) takeUsage(ctx context.Context) error {
	var held usage
	if err := loadJSON(ctx, c.Store, usageName, &held); err != nil {
		return fmt.Errorf("read %s: %w", usageName, err)
	}
	if held.Blobs > 0 {
		c.held = &held
	}
	return c.Store.Remove(ctx, usageName)
}

// removeBackups takes each backup that is to go out of the list by one rename before its files are deleted.
func (p *pruner) removeBackups(ctx context.Context) (gone []string, err error) {
	decisions, err := p.decide(ctx)
	if err != nil {
		return nil, err
	}
	return p.delist(decisions)
}

func (p *pruner) decide(ctx context.Context) ([]Decision, error) {
	backups, err := list(ctx, p.store)
	if err != nil {
		return nil, err
	}
	decisions := Retain(candidates(backups), p.keep, p.now)
	for i := range decisions {
		if d := &decisions[i]; !d.Keep() {
			if err := p.claim(d); err != nil {
				return nil, err
			}
		}
	}
	return decisions, nil
}

// claim makes sure that nobody reads a backup that is to go, or lets it stay.
func (p *pruner) claim(d *Decision) error {
	pin, err := claim(p.store, d.ID)
	switch {
	case errors.Is(err, errPinned):
		d.Reasons = append(d.Reasons, errPinned.Error())
	case err != nil:
		return fmt.Errorf("remove backup %s: %w", d.ID, err)
	case p.dry:
		pin.Close()
	default:
		p.claims = append(p.claims, pin)
	}
	return nil
}

func (p *pruner) delist(decisions []Decision) (gone []string, err error) {
	defer func() {
		for _, pin := range p.claims {
			pin.Close()
		}
		p.claims = nil
	}()
	for _, decision := range decisions {
		if decision.Keep() {
			continue
		}
		leaving := leavingName + decision.ID
		if err := p.store.Rename(decision.ID, leaving); err != nil {
			return gone, fmt.Errorf("remove backup %s: %w", decision.ID, err)
		}
		p.at("backup delisted")
		if err := p.store.RemoveTree(leaving); err != nil {
			return gone, fmt.Errorf("remove backup %s: %w", decision.ID, err)
		}
		gone = append(gone, decision.ID)
	}
	return gone, nil
}

func candidates(backups []Listed) []Candidate {
	found := make([]Candidate, 0, len(backups))
	for _, b := range backups {
		started, _ := time.Parse(job.IDLayout, b.ID) // isID has seen it
		found = append(found, Candidate{
			ID: b.ID, Time: started, Good: b.Good(), Readable: b.Manifest != nil, Complete: b.Manifest != nil && b.Manifest.Complete(),
			Full:     b.Manifest != nil && b.Manifest.full(),
			Verified: b.Verified,
		})
	}
	return found
}
