package restore

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
)

// hostService is a service and where its configuration lies; test is a program that finds faults in it. What a pattern
// matches takes the place of {} in program and unit.
type hostService struct {
	below string
	test  []string
	unit  string
}

var configured = []hostService{
	{"/etc/nginx", []string{"nginx", "-t", "-q"}, "nginx.service"},
	{"/etc/apache2", []string{"apache2ctl", "configtest"}, "apache2.service"},
	{"/etc/httpd", []string{"httpd", "-t"}, "httpd.service"},
	{"/etc/php-fpm.d", []string{"php-fpm", "-t"}, "php-fpm.service"},
}

// services are those whose configuration a restore has changed; none where it works on a root directory of its own.
func (o *Options) services(j *Journal) (found []hostService) {
	if o.Root != "/" {
		return nil
	}
	all := slices.Clone(configured)
	versions, _ := filepath.Glob("/etc/php/*/fpm") // the pattern is right
	for _, dir := range versions {
		version := filepath.Base(filepath.Dir(dir))
		all = append(all, hostService{dir, []string{"php-fpm" + version, "-t"}, "php" + version + "-fpm.service"})
	}
	for _, service := range all {
		if slices.ContainsFunc(slices.Concat(j.Put, j.Replaced), func(name string) bool { return within("/"+name, service.below) }) {
			found = append(found, service)
		}
	}
	return found
}

// unused are parts of the host's configuration that count only when their service starts again, which is not done here.
var unused = []string{"/etc/mysql", "/etc/my.cnf", "/etc/my.cnf.d", "/etc/redis"}

// noteUnused says what has no effect yet.
func (r *restoration) noteUnused() {
	for _, place := range unused {
		if slices.ContainsFunc(slices.Concat(r.journal.Put, r.journal.Replaced), func(name string) bool { return within("/"+name, place) }) {
			r.result.Notes = append(r.result.Notes, "what was put into "+place+" counts when its service is started again")
		}
	}
}

// testConfigured lets the services whose configuration has changed say whether it is right. One that is not installed has
// no say.
func testConfigured(ctx context.Context, o *Options, j *Journal) error {
	for _, service := range o.services(j) {
		program, err := command.Look(service.test[0])
		if err != nil {
			continue
		}
		if err := command.Run(ctx, command.Command{Name: program, Args: service.test[1:]}); err != nil {
			return fmt.Errorf("the configuration in %s does not work on this host: %w\nRestore without it (--only=database,files,code), and correct it afterwards", service.below, err)
		}
	}
	return nil
}

// useConfigured makes the services use the configuration that lies there.
func useConfigured(ctx context.Context, o *Options, j *Journal) error {
	if err := testConfigured(ctx, o, j); err != nil {
		return err
	}
	for _, service := range o.services(j) {
		if _, err := command.Look(service.test[0]); err != nil || o.Bus == nil {
			continue
		}
		if err := o.Bus.ReloadOrRestart(ctx, service.unit); err != nil {
			return fmt.Errorf("use the configuration in %s: %w", service.below, err)
		}
	}
	return nil
}
