package moodle

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// Updates are newer versions that Moodle itself has heard of.
type Updates struct {
	Core    bool
	Plugins int // plugins with at least one
}

// updatesStale is the age from which Moodle's list of updates says nothing about today: it asks every day.
const updatesStale = 3 * 24 * time.Hour

// readPlugins reads the installed plugins, and which of them could be updated.
func (a *Activity) readPlugins(ctx context.Context, db *dbserver.Connection, site *Site, settings activitySettings, now time.Time) error {
	var plugins map[string]string
	err := db.Use(ctx, func(ctx context.Context, conn *sql.Conn) (err error) {
		plugins, err = readSettings(ctx, conn, "SELECT plugin, value FROM "+site.quoted("config_plugins")+" WHERE name = 'version'")
		return err
	})
	if err != nil {
		return err
	}
	a.Plugins = plugins
	a.Updates, err = settings.updates(site.Version, plugins, now)
	return err
}

// updateResponse is the answer of download.moodle.org that Moodle keeps (\core\update\checker).
type updateResponse struct {
	Status  string          `json:"status"`
	Branch  string          `json:"forbranch"` // 4.5
	Updates json.RawMessage `json:"updates"`   // by component; [] for none at all
}

type updateInfo struct {
	Version  any    `json:"version"` // a number, or a string that is one
	Release  string `json:"release"`
	Maturity any    `json:"maturity"` // 50 alpha, 100 beta, 150 release candidate, 200 stable
}

// updates judges Moodle's list as Moodle does (\core\update\checker::get_update_info and
// \core\plugininfo\base::available_updates). Nothing is known where the site does not ask for updates, or has not for
// days, or has changed to another branch since.
func (s activitySettings) updates(version Version, plugins map[string]string, now time.Time) (*Updates, error) {
	fetched := epoch(s["core_plugin/recentfetch"])
	if fetched.IsZero() || now.Sub(fetched) > updatesStale || truthy(s["core/disableupdatenotifications"]) ||
		s["core/updateautocheck"] == "0" || s["core_plugin/recentresponse"] == "" {
		return nil, nil
	}
	var response updateResponse
	if err := json.Unmarshal([]byte(s["core_plugin/recentresponse"]), &response); err != nil {
		return nil, fmt.Errorf("its list of updates (core_plugin, recentresponse) is not understood: %w", err)
	}
	if response.Status != "OK" || response.Branch != majorVersion.FindString(version.Release) {
		return nil, nil
	}
	listed := map[string][]updateInfo{}
	if !bytes.HasPrefix(bytes.TrimSpace(response.Updates), []byte("[")) {
		decoder := json.NewDecoder(bytes.NewReader(response.Updates))
		decoder.UseNumber()
		if err := decoder.Decode(&listed); err != nil {
			return nil, fmt.Errorf("its list of updates (core_plugin, recentresponse) is not understood: %w", err)
		}
	}
	found := &Updates{}
	for component, updates := range listed {
		for _, update := range updates {
			if !s.wanted(update) {
				continue
			}
			if component == "core" {
				found.Core = found.Core || s.newerCore(update, version)
			} else if Newer(fmt.Sprint(update.Version), plugins[component]) {
				found.Plugins++
				break
			}
		}
	}
	return found, nil
}

var majorVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+`)

// wanted says whether an update is as mature as the site wants its updates: stable, unless it was set otherwise.
func (s activitySettings) wanted(update updateInfo) bool {
	if update.Maturity == nil {
		return true
	}
	return !Newer(fmt.Sprint(s.number("core/updateminmaturity", 200)), fmt.Sprint(update.Maturity))
}

// newerCore leaves out a weekly build of the same release, unless the site wants those as well.
func (s activitySettings) newerCore(update updateInfo, version Version) bool {
	return Newer(fmt.Sprint(update.Version), version.Number) &&
		(truthy(s["core/updatenotifybuilds"]) || sameRelease(update.Release) != sameRelease(version.Release))
}

// sameRelease is what two builds of one release have in common: 4.5.5 of "4.5.5+ (Build: 20250613)", "5.2beta" of
// "5.2beta (Build: …)".
func sameRelease(release string) string {
	release, _, _ = strings.Cut(release, "(")
	return strings.TrimRight(strings.ReplaceAll(release, "+", ""), " ")
}
