package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/coreos/go-systemd/v22/dbus"
)

// ErrJobFailed is a unit that systemd could not reload or restart.
var ErrJobFailed = errors.New("systemd could not do it; journalctl -u says why")

// ReloadOrRestart makes a unit read its configuration anew, as systemctl reload-or-restart does, and waits for systemd to
// be done with it. That a reload signal was delivered is all that most services let systemd know. It needs root.
func (b *Bus) ReloadOrRestart(ctx context.Context, name string) error {
	name = Name(name)
	err := b.ask(ctx, func(ctx context.Context, systemd *dbus.Conn) error {
		// Room for one result: systemd's answer must find a place even where nobody waits for it any more.
		done := make(chan string, 1)
		if _, err := systemd.ReloadOrRestartUnitContext(ctx, name, "replace", done); err != nil {
			return err //nolint:wrapcheck // wrapped with the unit
		}
		select {
		case result := <-done:
			if result != "done" {
				return fmt.Errorf("%w (%s)", ErrJobFailed, result)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // wrapped with the unit
		}
	})
	if err != nil {
		return fmt.Errorf("reload %s: %w", name, err)
	}
	return nil
}
