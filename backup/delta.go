package backup

import (
	"context"
	"fmt"
)

// delta is the delta copy while it goes on beside the dump.
type delta struct {
	end   context.CancelFunc
	ended chan struct{}
	err   error // once it has ended
}

// beginDelta starts the delta copy, as soon as the dump's snapshot exists: what the snapshot names was in
// filedir before, so nothing is gained by waiting for the end of the dump, and less is deleted meanwhile. A
// dump that is begun anew has a new snapshot, and the copy begins anew with it.
func (c *creation) beginDelta(ctx context.Context) {
	c.endDelta()
	ctx, end := context.WithCancel(ctx)
	begun := &delta{end: end, ended: make(chan struct{})}
	c.delta = begun
	go func() {
		defer close(begun.ended)
		begun.err = c.findDelta(ctx)
	}()
}

// endDelta ends a delta copy whose outcome nobody wants, and returns when it is no longer at work.
func (c *creation) endDelta() {
	if c.delta == nil {
		return
	}
	c.delta.end()
	<-c.delta.ended
	c.delta = nil
}

// copyDelta waits for the delta copy that began with the dump, or without a dump does it now.
func (c *creation) copyDelta(ctx context.Context) error {
	if c.delta == nil {
		return c.findDelta(ctx)
	}
	<-c.delta.ended
	err := c.delta.err
	c.endDelta()
	return err
}

// findDelta fetches what has come since the first copy, and notes everything that is in the site now: each
// file that the snapshot names was there before its row was, and has been copied unless it was deleted in
// between.
func (c *creation) findDelta(ctx context.Context) (err error) {
	if c.site != nil {
		c.site.close()
	}
	if c.site, err = newSiteList(c.Store.Path(stagingName)); err != nil {
		return fmt.Errorf("keep a list of content files: %w", err)
	}
	c.pool.forget()
	return c.pool.copy(ctx, c.site.add)
}
