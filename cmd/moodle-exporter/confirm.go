package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
)

// confirmSite asks whoever sits at the terminal, who must write the site's name: nothing is replaced by a slip.
func (e *environment) confirmSite(ctx context.Context, yes bool, site, what string) error {
	if yes {
		return nil
	}
	refusal := &backup.RefusedError{Happened: "nobody has confirmed that " + what, Means: "nothing was done", Do: "run it on a terminal, or add --yes"}
	if !terminal(e.stdout) || !terminal(os.Stdin) {
		return refusal
	}
	_, _ = fmt.Fprintf(e.stdout, "\nIf you go on, %s.\nWrite the site's name (%s) to go on: ", what, site)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n') // what was not written to its end is no yes
		answer <- line
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case line := <-answer:
		if strings.TrimSpace(line) != site {
			return refusal
		}
		return nil
	}
}
