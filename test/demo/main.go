// Demo shows moodle-exporter at work on a small Moodle-shaped site: MariaDB, PHP-FPM, nginx with
// TLS and Redis, all started for it in a directory of its own on free loopback ports, then a
// backup, the exporter, Prometheus with the shipped rules, and Alertmanager, whose mails it prints.
//
//	go run ./test/demo -exporter bin/moodle-exporter           until Ctrl-C
//	go run ./test/demo -exporter bin/moodle-exporter -once     goes through, checks, and ends
//
// Nothing else on the machine is touched. A program that is not installed is left out and named.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func main() {
	exporter := flag.String("exporter", "bin/moodle-exporter", "the built `binary`")
	once := flag.Bool("once", os.Getenv("ONCE") == "1", "check that each part answers, then end (also: ONCE=1)")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *exporter, *once); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run starts everything, waits for the end, and leaves nothing behind.
func run(ctx context.Context, binary string, once bool) (err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("there is no exporter to show (%w); build it with: make build", err)
	}
	dir, remove, err := stand.MakeTempDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	d := &demo{dir: dir, exporter: binary}
	defer func() { err = errors.Join(err, d.close()) }()

	if err := d.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // Ctrl-C while starting is no fault
		}
		return err
	}
	if once {
		return d.check(ctx)
	}
	d.tell()
	<-ctx.Done()
	fmt.Println("\nEnding: stopping all parts, removing", dir)
	return nil
}

// demo holds the running parts; those that could not be started are nil.
type demo struct {
	dir      string
	exporter string // the binary

	database     *stand.MariaDBServer
	site         *stand.Site
	fpm          *stand.PHPFPMServer
	nginx        *stand.NginxServer
	redis        *stand.RedisServer
	mailbox      *stand.SMTPSink
	serve        *stand.WebServer
	alertmanager *stand.WebServer
	prometheus   *stand.WebServer

	config  string // the exporter's configuration file
	endings []func() error
}

// start brings up what this machine can run, in the order in which the parts need each other.
func (d *demo) start(ctx context.Context) error {
	missing := stand.Missing(stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx, stand.Redis, stand.Prometheus, stand.Alertmanager)
	if len(missing) > 0 {
		var names []string
		for _, tool := range missing {
			names = append(names, tool.Name)
		}
		fmt.Printf("Not installed, so left out: %s. To see it all:\n  %s\n", strings.Join(names, ", "), stand.AptLine(missing...))
	}
	steps := []struct {
		name  string
		needs []stand.Tool
		start func(context.Context) error
	}{
		{"MariaDB", []stand.Tool{stand.MariaDB}, d.startDatabase},
		{"a Moodle-shaped site", []stand.Tool{stand.MariaDB, stand.PHP}, d.startSite},
		{"its cron", []stand.Tool{stand.MariaDB, stand.PHP}, d.startCron},
		{"PHP-FPM and nginx with TLS", []stand.Tool{stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx}, d.startWeb},
		{"Redis", []stand.Tool{stand.Redis}, d.startRedis},
		{"a first backup", []stand.Tool{stand.MariaDB, stand.PHP}, d.makeBackup},
		{"the exporter", nil, d.startExporter},
		{"a mailbox", nil, d.startMailbox},
		{"Alertmanager", []stand.Tool{stand.Alertmanager}, d.startAlertmanager},
		{"Prometheus", []stand.Tool{stand.Prometheus}, d.startPrometheus},
	}
	for i, step := range steps {
		if slices.ContainsFunc(step.needs, func(t stand.Tool) bool { return !t.Present() }) {
			continue
		}
		fmt.Printf("[%2d/%d] %s\n", i+1, len(steps), step.name)
		// The configuration names what runs so far; the first step that reads it is the backup.
		if err := d.writeConfig(); err != nil {
			return err
		}
		if err := step.start(ctx); err != nil {
			return fmt.Errorf("start %s: %w", step.name, err)
		}
	}
	return nil
}

// atEnd registers how a part is ended; the last one started ends first.
func (d *demo) atEnd(end func() error) { d.endings = append(d.endings, end) }

func (d *demo) close() error {
	var problems []error
	for _, end := range slices.Backward(d.endings) {
		problems = append(problems, end())
	}
	return errors.Join(problems...)
}
