package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// CopyOptions say which backups to copy, and where to.
type CopyOptions struct {
	Dir  string // of all backups
	Site string
	To   *Offsite
	// Keep are the rules of retention: what none of them keeps, and is about to be pruned here as there, is
	// not copied. nil copies all.
	Keep   *config.Keep
	Clock  func() time.Time
	Logger *slog.Logger
	At     func(step string) // as in Options
}

// Copied is what a copy has done.
type Copied struct {
	Backups []string // IDs that are there now and were not before, newest first
	Objects int64    // that were sent
	Bytes   int64    // of their contents
	Whole   int      // backups of this host that are there, all of them
}

// CopyError is a copy that came to its end, with backups that could not be copied.
type CopyError struct {
	Site    string
	Backups []string       // IDs
	Damaged int64          // files of this host that are not what they should be
	Taken   []string       // IDs that another backup bears in the bucket
	Lost    map[string]int // objects that went away while the copy was made, by backup
}

func (e *CopyError) Error() string {
	var lines []string
	if e.Damaged > 0 {
		lines = append(lines, fmt.Sprintf("%d files of the backups of %s on this host are damaged or missing, and were not copied.\n"+
			"Make a backup now: `moodle-exporter backup --site=%s`. It mends what the site still has, and copies what was left out. Then see `moodle-exporter backup verify --site=%s --read-data`.",
			e.Damaged, e.Site, e.Site, e.Site))
	}
	if len(e.Taken) > 0 {
		lines = append(lines, fmt.Sprintf("the bucket holds other backups of the same names %v: another host copies to the same place.\n"+
			"Give each host a prefix of its own: backup.offsite.prefix.", e.Taken))
	}
	for id, count := range e.Lost {
		lines = append(lines, fmt.Sprintf("%d objects of backup %s went away while it was copied.\n"+
			"Somebody removes objects from the bucket, or a lifecycle rule does: see its rules, and copy again.", count, id))
	}
	if len(e.Backups) > 0 {
		lines = append(lines, fmt.Sprintf("These backups are not off-site, or not whole: %s. All others are.", strings.Join(e.Backups, ", ")))
	}
	return strings.Join(lines, "\n")
}

// copier is one copy under way.
type copier struct {
	CopyOptions
	run   Run
	local *store.Directory
	dir   string // of lists and temporary files

	backups []*outgoing // good ones, newest first
	there   *listing
	damaged map[string]bool // files of backups in the bucket that a verification found damaged
	state   copiedState
	before  copiedState // what was known at the beginning
	knows   bool        // anything of this place

	compared      bool // total is known
	total         int64
	sent, objects atomic.Int64

	mu     sync.Mutex
	broken map[string]bool // objects that could not be sent: their files here are damaged
	bad    int64
	lost   map[string]int
	taken  []string
	failed []string
	done   []string
}

// outgoing is a backup to be copied, or to be completed.
type outgoing struct {
	*Manifest
	raw     []byte // of the manifest
	pin     *Pin
	lacking bool // it is not in the bucket, or not whole as far as its manifest and lists go
}

// Copy brings to the bucket what it lacks of the good backups of a site, the newest complete one first, and
// mends what was found damaged there. Local files are proven as they are read; one that is damaged is not
// sent, is named, and holds up only the backups that need it: a *CopyError, after all else is done. A backup
// counts as copied when a listing of the bucket has shown all its objects, and its manifest is written.
//
// The caller holds a lock that keeps out other copies of the site. Backups may be made, verified and pruned
// meanwhile: those that are being copied are pinned.
func Copy(ctx context.Context, o CopyOptions, run Run) (*Copied, error) {
	fillIn(&o.Clock, &o.Logger, &o.At)
	c := &copier{CopyOptions: o, run: run, local: store.NewDirectory(SiteDir(o.Dir, o.Site)), broken: map[string]bool{}, lost: map[string]int{}}
	defer c.close()
	err := c.copy(ctx)
	err = errors.Join(err, c.remember(context.WithoutCancel(ctx), err == nil))
	if err != nil {
		return nil, fmt.Errorf("copy the backups of %s: %w", o.Site, err)
	}
	result := &Copied{Backups: c.done, Objects: c.objects.Load(), Bytes: c.sent.Load(), Whole: len(c.state.Copied)}
	if c.bad > 0 || len(c.failed) > 0 {
		return result, &CopyError{Site: o.Site, Backups: c.failed, Damaged: c.bad, Taken: c.taken, Lost: c.lost}
	}
	return result, nil
}

// FindToCopy says whether there is a good backup that is not known to be copied.
func FindToCopy(ctx context.Context, dir, site, place string) (bool, error) {
	s := store.NewDirectory(SiteDir(dir, site))
	state, _, err := loadCopied(ctx, s, place)
	if err != nil {
		return false, err
	}
	backups, err := list(ctx, s)
	for _, b := range backups {
		if b.Good() && !state.knows(b.ID) {
			return true, nil
		}
	}
	return false, err
}

func (c *copier) copy(ctx context.Context) error {
	if err := c.step(ctx, "look", c.look); err != nil {
		return err
	}
	if err := c.step(ctx, "compare", c.compare); err != nil {
		return err
	}
	newest, rest := c.order()
	steps := []struct {
		send, finish string
		backups      []*outgoing
	}{{"send newest", "finish newest", newest}, {"send", "finish", rest}}
	for _, s := range steps {
		if len(s.backups) == 0 {
			continue
		}
		if err := c.step(ctx, s.send, func(ctx context.Context) error { return c.send(ctx, s.backups) }); err != nil {
			return err
		}
		if err := c.step(ctx, s.finish, func(ctx context.Context) error { return c.finish(ctx, s.backups) }); err != nil {
			return err
		}
	}
	return c.step(ctx, "mend", c.mended)
}

func (c *copier) step(ctx context.Context, name string, do func(context.Context) error) error {
	err := c.run.Step(ctx, name, do)
	if err == nil {
		c.At(name)
		err = ctx.Err()
	}
	return err
}

// order puts the newest complete backup before all others if there is more than one to send: when the line
// is cut, the most valuable one is safe. The others are gone through at once, as they share most of their
// content, together with those that are there and may want mending.
func (c *copier) order() (newest, rest []*outgoing) {
	lacking := 0
	for _, b := range c.backups {
		if b.lacking {
			lacking++
		}
	}
	for _, b := range c.backups {
		if lacking > 1 && len(newest) == 0 && b.lacking && b.Complete() {
			newest = []*outgoing{b}
			continue
		}
		rest = append(rest, b)
	}
	return newest, rest
}

// remember writes down what is known of the copies. What was begun and not brought to its end still has to
// be sent.
func (c *copier) remember(ctx context.Context, ended bool) error {
	if !c.compared {
		return nil // what was known before holds
	}
	c.state.Remaining = max(0, c.total-c.sent.Load())
	if ended && len(c.failed) == 0 {
		c.state.Remaining, c.state.Of = 0, nil
	}
	return saveJSON(ctx, c.local, copiedName, c.state)
}

func (c *copier) close() {
	for _, b := range c.backups {
		b.pin.Close()
	}
	c.there.close()
}
