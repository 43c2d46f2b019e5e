package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// contender is one way to do a job.
type contender struct {
	name    string
	run     func(context.Context) (usage, error)
	figures []usage
}

// contest is one job, done in several ways in turn.
type contest struct {
	title  string
	rounds int
	// prepare and before are not measured: the one comes once in a round, the other before each contender.
	prepare, before func(context.Context) error
	after           func(context.Context) error // the same, after each
	others          []*contender
	ours            *contender // nil: this binary cannot do it yet
	note            string
}

func (c *contender) median() usage {
	var wall, cpu []time.Duration
	var rss []int64
	for _, f := range c.figures {
		wall, cpu, rss = append(wall, f.wall), append(cpu, f.cpu), append(rss, f.rss)
	}
	return usage{median(wall), median(cpu), slices.Max(rss)}
}

// times says how many times as long the other one takes.
func (c *contender) times(other *contender) float64 {
	return float64(other.median().wall) / float64(c.median().wall)
}

// compete holds the contests one after the other, and all of them again in each round, which another contender begins: the
// machine is not the same for those who come later.
func (h *host) compete(ctx context.Context, contests []*contest) error {
	for round := range h.rounds {
		for _, c := range contests {
			if round >= c.rounds {
				continue
			}
			if err := optional(ctx, c.prepare); err != nil {
				return err
			}
			all := c.others
			if c.ours != nil {
				all = append(slices.Clip(all), c.ours)
			}
			first := round % len(all)
			for _, one := range slices.Concat(all[first:], all[:first]) {
				if err := h.take(ctx, c, one); err != nil {
					return fmt.Errorf("%s: %s: %w", c.title, one.name, err)
				}
				fmt.Fprintf(os.Stderr, "round %d, %s, %s: %.2f s\n", round+1, c.title, one.name, one.figures[len(one.figures)-1].wall.Seconds())
			}
		}
	}
	return nil
}

// take measures one contender once.
func (h *host) take(ctx context.Context, c *contest, one *contender) error {
	if err := optional(ctx, c.before); err != nil {
		return err
	}
	if err := h.settle(); err != nil {
		return err
	}
	figure, err := one.run(ctx)
	if err != nil {
		return err
	}
	// What lies in memory alone is neither a backup nor a restored site: everybody's time ends on the disk.
	started := time.Now()
	if err := h.flush(); err != nil {
		return err
	}
	figure.wall += time.Since(started)
	one.figures = append(one.figures, figure)
	return optional(ctx, c.after)
}

func optional(ctx context.Context, do func(context.Context) error) error {
	if do == nil {
		return nil
	}
	return do(ctx)
}

// settle flushes what the one before has written, so that the next one does not pay for it, and treats the
// caches alike.
func (h *host) settle() error {
	if err := h.flush(); err != nil || !h.cold {
		return err
	}
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// flush writes all that was written to the host's file system to its disk.
func (h *host) flush() error {
	dir, err := os.Open(h.dir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("flush the disk: %w", err)
	}
	return nil
}

// tell prints what each took, and how much longer than ours.
func (c *contest) tell() {
	fmt.Printf("%-58s %9s %9s %8s %12s\n", c.title+fmt.Sprintf(" (median of %d)", len(c.others[0].figures)), "wall s", "cpu s", "rss MB", "ours is")
	for _, one := range c.others {
		faster := ""
		if c.ours != nil {
			faster = fmt.Sprintf("%.1f x as fast", c.ours.times(one))
		}
		one.tell(faster)
	}
	if c.ours != nil {
		c.ours.tell("")
	}
	if c.note != "" {
		fmt.Println("  " + c.note)
	}
	fmt.Println()
}

func (c *contender) tell(note string) {
	m := c.median()
	fmt.Printf("  %-56s %9.2f %9.2f %8d %16s\n", c.name, m.wall.Seconds(), m.cpu.Seconds(), m.rss/1_000_000, note)
}
