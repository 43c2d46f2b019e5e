package main

import (
	"context"
	"fmt"
	"time"
)

// tell prints where to look and what to try.
func (d *demo) tell() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println()
	if out, code, err := d.command(ctx, "status"); err != nil {
		fmt.Println("status:", err)
	} else {
		fmt.Printf("$ moodle-exporter status        (exit code %d)\n%s\n", code, indent(out))
	}
	fmt.Printf("Status page   %s/\nMetrics       %s/metrics\n", d.serve.URL, d.serve.URL)
	if d.prometheus != nil {
		fmt.Printf("Prometheus    %s/alerts\n", d.prometheus.URL)
	}
	if d.alertmanager != nil {
		fmt.Printf("Alertmanager  %s/\n", d.alertmanager.URL)
	}
	if d.nginx != nil {
		fmt.Printf("The site      %s/login/index.php\n", d.nginx.URL)
	}
	if d.database != nil {
		fmt.Printf("\nTry it: stop the database and see the status page change and, after some minutes, a mail arrive here:\n  kill %d\n", d.database.Pid())
	}
	fmt.Printf("\nEverything lies in %s. Ctrl-C ends and removes it all.\n", d.dir)
}
