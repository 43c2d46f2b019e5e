package collector

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// targetPatience is how long one server beside the site may take. They are near and answer in milliseconds.
const targetPatience = 5 * time.Second

// sideBySide reads all targets at the same time, each for at most targetPatience, so that one that hangs costs no other
// its series. The errors are joined in the order of the targets: the same trouble has the same text at each scrape.
func sideBySide[T any](ctx context.Context, targets []T, read func(context.Context, T) error) error {
	ctx, cancel := context.WithTimeout(ctx, targetPatience)
	defer cancel()
	failures := make([]error, len(targets))
	var all sync.WaitGroup
	for i, target := range targets {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					failures[i] = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
				}
			}()
			failures[i] = read(ctx, target)
		})
	}
	all.Wait()
	return errors.Join(failures...)
}
