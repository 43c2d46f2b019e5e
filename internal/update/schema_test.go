package update_test

import (
	"strings"
	"testing"
)

// TestUpgradeThatLosesTables goes back from an upgrade after which the code lacks tables or columns, and does not blame it
// for what the site lacked before.
func TestUpgradeThatLosesTables(t *testing.T) {
	r := newRig(t)
	r.sql("ALTER TABLE " + r.table("upgrade_log") + " DROP COLUMN backtrace")
	before := r.state()
	for upgrade, lost := range map[string]string{
		`sql_run("DROP TABLE {config_log}");`:                       "config_log: table is missing",
		`sql_run("ALTER TABLE {upgrade_log} DROP COLUMN details");`: "upgrade_log: column 'details' is missing",
	} {
		broken := newer
		broken.Upgrade = upgrade
		r.release(broken)
		_, err := r.update(r.options())
		if err == nil || !strings.Contains(err.Error(), "do not have after the upgrade: "+lost) {
			t.Errorf("%s: error: %v", upgrade, err)
		}
		if err != nil && strings.Contains(err.Error(), "backtrace") {
			t.Errorf("%s: blamed for what was missing before: %v", upgrade, err)
		}
		r.same(before, r.state())
		r.nothingLeft()
	}
	r.release(newer)
	if _, err := r.update(r.options()); err != nil {
		t.Error(err)
	}
}
