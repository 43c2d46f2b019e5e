package collector

import (
	"context"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
)

// SiteFacts answers what the exporter may not see for itself from the facts of the privileged look.
type SiteFacts struct {
	view  *probe.View
	files *MaintenanceFiles
	clock func() time.Time
}

// NewSiteFacts reads the facts through view.
func NewSiteFacts(view *probe.View, clock func() time.Time) *SiteFacts {
	return &SiteFacts{view: view, files: NewMaintenanceFiles(), clock: clock}
}

// CLIMaintenance looks for the maintenance file itself, and asks the facts, which may be some minutes old,
// where the dataroot is closed to the exporter's account or hangs.
func (f *SiteFacts) CLIMaintenance(ctx context.Context, site *moodle.Site) (on, known bool) {
	if on, known = f.files.On(ctx, site); known {
		return on, true
	}
	return f.answer(site, func(facts *probe.SiteFacts) *bool { return facts.CLIMaintenance })
}

// UpgradePending is what the site's own upgrade.php said when the look was taken.
func (f *SiteFacts) UpgradePending(site *moodle.Site) (pending, known bool) {
	return f.answer(site, func(facts *probe.SiteFacts) *bool { return facts.UpgradePending })
}

// answer is unknown where the look was not taken, saw nothing, or is too old to tell the state of now.
func (f *SiteFacts) answer(site *moodle.Site, of func(*probe.SiteFacts) *bool) (yes, known bool) {
	facts := f.view.Snapshot().Facts(site.Name)
	if facts == nil || !probe.Fresh(facts.Taken, f.clock()) {
		return false, false
	}
	if answer := of(facts); answer != nil {
		return *answer, true
	}
	return false, false
}
