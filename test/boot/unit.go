package boot

import (
	"context"
	"fmt"
	"strings"
)

// Property is one property of a unit, as systemctl show prints it.
func (m *Machine) Property(ctx context.Context, unit, property string) (string, error) {
	value, err := m.Must(ctx, "systemctl", "show", unit, "--property="+property, "--value")
	return strings.TrimSpace(value), err
}

// WaitActive waits until a unit is active. The error holds the end of its journal.
func (m *Machine) WaitActive(ctx context.Context, unit string) error {
	err := m.Poll(ctx, func(ctx context.Context) error {
		state, err := m.Property(ctx, unit, "ActiveState")
		if err == nil && state != "active" {
			err = fmt.Errorf("unit %s is %s", unit, state)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%w; its journal: %s", err, m.Journal(context.WithoutCancel(ctx), unit))
	}
	return nil
}

// Journal is the end of a unit's journal, for messages.
func (m *Machine) Journal(ctx context.Context, unit string) string {
	result, err := m.Run(ctx, "journalctl", "--no-pager", "--lines=30", "--output=cat", "--unit="+unit)
	if err != nil {
		return err.Error()
	}
	return result.Stdout
}
