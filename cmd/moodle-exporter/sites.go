package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// findSites finds the sites of this host, or the one of that name. A place that looks like a site and
// cannot be used is an error too: a backup that leaves one out must not look like a good one.
func (e *environment) findSites(ctx context.Context, settings *config.Config, name string) ([]*moodle.Site, error) {
	found, problems := e.finder().Find(ctx, settings.Sites)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var failures []error
	for _, problem := range problems {
		failures = append(failures, problem)
	}
	if name != "" {
		for _, site := range found {
			if site.Name == name {
				return []*moodle.Site{site}, nil
			}
		}
		return nil, errors.Join(append(failures, fmt.Errorf("there is no site %q on this host; there are: %s", name, names(found)))...)
	}
	if len(found) == 0 && len(failures) == 0 {
		failures = append(failures, errors.New("no Moodle site was found in /var/www; name it in the configuration: sites: [{dir: /path/to/moodle}]"))
	}
	return found, errors.Join(failures...)
}

func names(found []*moodle.Site) string {
	if len(found) == 0 {
		return "none"
	}
	list := make([]string, len(found))
	for i, site := range found {
		list[i] = site.Name
	}
	return strings.Join(list, ", ")
}
