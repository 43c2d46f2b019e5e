package update

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// planOffered adds what Moodle itself has heard of, from download.moodle.org, when it last asked (\core\update\checker).
func (u *update) planOffered(ctx context.Context) error {
	return ask(u.Site, func(db *sql.DB) error {
		offered, err := offeredBy(ctx, db, u.Site)
		u.plan.Available = append(u.plan.Available, offered...)
		return err
	})
}

// Offered are the newer plugins and releases that Moodle has heard of.
func Offered(ctx context.Context, site *moodle.Site) (found []Available, err error) {
	err = ask(site, func(db *sql.DB) error {
		found, err = offeredBy(ctx, db, site)
		return err
	})
	return found, err
}

func offeredBy(ctx context.Context, db *sql.DB, site *moodle.Site) (found []Available, err error) {
	var text string
	err = db.QueryRowContext(ctx, "SELECT value FROM "+table(site, "config_plugins")+" WHERE plugin = 'core_plugin' AND name = 'recentresponse'").Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // it has never asked, or may not
	}
	if err != nil {
		return nil, fmt.Errorf("read Moodle's list of updates: %w", err)
	}
	var response struct {
		Updates json.RawMessage `json:"updates"` // by component; [] for none at all
	}
	var listed map[string][]struct {
		Version  json.Number `json:"version"`
		Release  string      `json:"release"`
		Maturity json.Number `json:"maturity"`
		Download string      `json:"download"`
	}
	if json.Unmarshal([]byte(text), &response) != nil || bytes.HasPrefix(bytes.TrimSpace(response.Updates), []byte("[")) || json.Unmarshal(response.Updates, &listed) != nil {
		return nil, nil // what Moodle keeps for itself may look otherwise one day
	}
	installed, err := versions(ctx, db, site)
	if err != nil {
		return nil, err
	}
	for component, updates := range listed {
		for _, update := range updates {
			have, there := installed[component]
			if there && moodle.Newer(update.Version.String(), have) && !moodle.Newer("200", update.Maturity.String()) {
				found = append(found, Available{Component: component, Version: update.Version.String(), Release: strings.TrimSpace(update.Release + " " + update.Download), From: "Moodle's own list"})
			}
		}
	}
	slices.SortFunc(found, func(a, b Available) int { return strings.Compare(a.Component+a.Version, b.Component+b.Version) })
	return found, nil
}

// versions are those of core and all plugins, as the database has them.
func versions(ctx context.Context, db *sql.DB, site *moodle.Site) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT plugin, value FROM "+table(site, "config_plugins")+" WHERE name = 'version'") //nolint:gosec // its name is quoted
	if err != nil {
		return nil, fmt.Errorf("read the versions of plugins: %w", err)
	}
	defer rows.Close()
	found := map[string]string{"core": site.Version.Number}
	for rows.Next() {
		var component, version string
		if err := rows.Scan(&component, &version); err != nil {
			return nil, fmt.Errorf("read the versions of plugins: %w", err)
		}
		found[component] = version
	}
	return found, rows.Err()
}
