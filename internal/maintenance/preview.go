package maintenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Preview says for each task when it comes next and what it would do now. It changes nothing.
func Preview(ctx context.Context, o Options, to io.Writer) error {
	var memory state
	if _, _, err := o.look(&memory); err != nil {
		return err
	}
	now := o.Runner.Clock()
	list, _, err := memory.chores(o.Settings, o.Tasks, now)
	if err != nil {
		return err
	}
	var failures []error
	for _, one := range list {
		if o.Now != "" && len(ready([]chore{one}, now, o.Zone, o.Settings.Window, o.Now)) == 0 {
			continue
		}
		var text strings.Builder
		table := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
		if err := errors.Join(one.Preview(ctx, table), table.Flush()); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", one.Name, err))
			_, _ = fmt.Fprintf(&text, "not known: %v\n", err)
		}
		_, err := fmt.Fprintf(to, "%s: %s\n%s", one.Name, one.when(now, o), indent(text.String()))
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// when says in words when the task comes next, and how it went.
func (c *chore) when(now time.Time, o Options) string {
	at, schedule := c.next(now, o.Zone, o.Settings.Window)
	text := fmt.Sprintf("%s, next %s", schedule, at.In(o.Zone).Format("Mon 2006-01-02 15:04 MST"))
	if !at.After(now) {
		text = schedule + ", due now"
	}
	if c.Disruptive {
		text += ", only within " + o.Settings.Window.String()
	}
	for _, t := range c.turns {
		if t.entry.Error != "" {
			text += fmt.Sprintf("; the last attempt (%s) failed: %s", t.schedule, strings.ReplaceAll(t.entry.Error, "\n", "; "))
		}
	}
	return text
}

func indent(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		lines.WriteString("    " + line)
	}
	return lines.String()
}
