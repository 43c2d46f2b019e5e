package collector

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// rounds reads something of every site in the background, the sites side by side, and keeps each site's last result. A
// result is good for its cadence; a site that failed is tried again in the next round.
type rounds[T any] struct {
	source    string        // in refresh_last_success_timestamp_seconds
	cadence   time.Duration // of one site; rounds are made more often
	sites     func() []*moodle.Site
	clock     func() time.Time
	read      func(context.Context, *moodle.Site) (T, error)
	refresher *Refresher[map[string]Refreshed[T]]
	one       sync.Mutex // held by the round under way
}

// newRounds makes a round every tick and gives each at most timeout.
func newRounds[T any](source string, cadence, tick, timeout time.Duration, sites func() []*moodle.Site, clock func() time.Time,
	read func(context.Context, *moodle.Site) (T, error),
) *rounds[T] {
	r := &rounds[T]{source: source, cadence: cadence, sites: sites, clock: clock, read: read}
	r.refresher = NewRefresher(tick, timeout, clock, r.round)
	return r
}

// round reads the sites that are due. A site that fails is no failure of the round.
func (r *rounds[T]) round(ctx context.Context) (map[string]Refreshed[T], error) {
	r.one.Lock()
	defer r.one.Unlock()
	before := r.refresher.Last().Value
	var (
		all sync.WaitGroup
		mu  sync.Mutex
	)
	now := map[string]Refreshed[T]{}
	for name, last := range before { // a site whose facts cannot be read just now may be back for the next scrape
		if !r.outdated(last) {
			now[name] = last
		}
	}
	for _, site := range r.sites() {
		last := before[site.Name]
		all.Go(func() {
			if r.due(last) {
				last = r.readSite(ctx, site, last)
			}
			mu.Lock()
			defer mu.Unlock()
			now[site.Name] = last
		})
	}
	all.Wait()
	if errors.Is(ctx.Err(), context.Canceled) {
		return before, nil // the program ends, or reads its configuration again; the sites are not to blame
	}
	return now, nil
}

// due says whether a result is as old as its cadence, or will be before the next round.
func (r *rounds[T]) due(last Refreshed[T]) bool {
	age := r.clock().Sub(last.Success)
	return last.Err != nil || last.Success.IsZero() || age < 0 || age > r.cadence-r.refresher.cadence/2
}

// readSite keeps of a read that failed what it got nevertheless, and nothing of an earlier one: an old number looks like
// a healthy one.
func (r *rounds[T]) readSite(ctx context.Context, site *moodle.Site, last Refreshed[T]) Refreshed[T] {
	one := NewRefresher(r.cadence, r.refresher.timeout, r.clock, func(ctx context.Context) (T, error) { return r.read(ctx, site) })
	value, err := one.safely(ctx)
	last.Value, last.Err = value, err
	if err == nil {
		last.Success = r.clock()
	}
	return last
}

// emit tells how old each site's result is, and hands over those that are not too old to be shown. Its error is what
// keeps results from coming.
func (r *rounds[T]) emit(emit Emit, show func(site *moodle.Site, value T)) error {
	failures := []error{r.refresher.Overdue()}
	results := r.refresher.Last().Value
	for _, site := range r.sites() {
		result, read := results[site.Name]
		if !read {
			continue
		}
		failures = append(failures, result.Err)
		emit.when(refreshLastSuccess, result.Success, site.Name, r.source)
		if result.Err != nil || !r.outdated(result) {
			show(site, result.Value)
		}
	}
	return errors.Join(failures...)
}

// outdated says whether a result is too old to be told.
func (r *rounds[T]) outdated(result Refreshed[T]) bool {
	return r.clock().Sub(result.Success).Abs() >= 3*r.cadence
}
