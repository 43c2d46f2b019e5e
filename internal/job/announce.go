package job

import "time"

// Announce says until when the site is going to be closed; the zero time takes it back. Alerts about a closed
// site keep silent until then.
func (run *Run) Announce(until time.Time) {
	run.change(func(r *Record) {
		r.PlannedUntil = nil
		if !until.IsZero() {
			until = until.UTC()
			r.PlannedUntil = &until
		}
	})
}
