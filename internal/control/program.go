package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// CLI runs the scripts of admin/cli as the site's user, and says what their exit codes and outputs really mean. They
// differ little from 3.11 to 5.1. What they print is translated, so only what never is gets read.
type CLI struct {
	Site *moodle.Site
	// Dir is the code to run in place of Site.Dir: a staged tree, whose own config.php then counts (see StageConfig).
	Dir string
	// Run holds the locks that each script inherits; nil for none.
	Run Run
	// Log gets all that the scripts print, as it comes; nil for nowhere. It holds no passwords.
	Log io.Writer
}

// ScriptError is a script that could not be started or failed.
type ScriptError struct {
	Script string // admin/cli/upgrade.php
	Code   int    // exit status; -1 where it did not exit by itself
	Said   string // its own words, for a person: no markup, no colours, one line
	Err    error
}

// Error implements error.
func (e *ScriptError) Error() string {
	text := "run " + e.Script + ": "
	if e.Code >= 0 {
		text += fmt.Sprintf("exit status %d", e.Code)
	} else {
		text += e.Err.Error()
	}
	if e.Said != "" {
		text += ": " + e.Said
	}
	return text
}

// Unwrap returns what ended the script.
func (e *ScriptError) Unwrap() error { return e.Err }

// Limits of what is kept of a script's output. An upgrade of many plugins prints a megabyte, and must not fail for that.
const (
	outputHead = 1 << 20
	outputTail = 16 << 10
)

// maxInputVars is what Moodle's environment check demands of PHP (public/admin/environment.xml). Debian's php.ini for
// the command line has 1000, whatever that of PHP-FPM has.
const maxInputVars = "max_input_vars=5000"

// dir is the code to run.
func (c CLI) dir() string {
	if c.Dir != "" {
		return c.Dir
	}
	return c.Site.Dir
}

// run runs a script below the code and returns what it printed to standard output. Any exit status but 0 is a
// *ScriptError, and so is an error that Moodle prints as it starts and then forgets in the exit status.
func (c CLI) run(ctx context.Context, script string, arguments ...string) (string, error) {
	return c.start(ctx, script, nil, append([]string{filepath.Join(c.dir(), script)}, arguments...)...)
}

// start starts PHP with arguments, of which the first is a script unless it comes from stdin.
func (c CLI) start(ctx context.Context, script string, stdin io.Reader, arguments ...string) (string, error) {
	if c.Site.PHP == "" {
		return "", &ScriptError{Script: script, Code: -1, Err: errors.New("there is no PHP for the command line; install php-cli")}
	}
	user, err := command.SiteUser(c.Site.User)
	if err != nil {
		return "", &ScriptError{Script: script, Code: -1, Err: err}
	}
	kept := &keeper{also: c.Log}
	program := command.Command{
		// Errors of PHP itself go where nothing is read from: standard output is for the script.
		Name: c.Site.PHP, Args: append([]string{"-d", maxInputVars, "-d", "display_errors=stderr"}, arguments...),
		Dir: "/", Env: c.Site.Environment, User: user, Stdin: stdin, Stdout: kept,
	}
	if c.Run != nil {
		program.Files, program.Started = c.Run.LockFiles(), c.Run.ChildStarted
	}
	err = command.Run(ctx, program)
	output := kept.String()
	if err == nil && !brokeOff(output) {
		return output, nil
	}
	failure := &ScriptError{Script: script, Code: command.ExitCode(err), Err: err, Said: c.said(output, err)}
	if err == nil {
		failure.Err = errors.New("it printed an error and ended as if nothing had happened")
	}
	return output, failure
}

// said is what a failed script has to say, without what must not be shown.
func (c CLI) said(output string, err error) string {
	var failure *command.Error
	stderr := ""
	if errors.As(err, &failure) {
		stderr = failure.Stderr
	}
	text := plain(output, stderr)
	for _, secret := range append([]string{c.Site.Config.DBPass.Reveal()}, values(c.Site.Environment)...) {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	return text
}

// values are the values of NAME=value: what a pool gives to PHP is often a password.
func values(environment []string) []string {
	found := make([]string, 0, len(environment))
	for _, entry := range environment {
		_, value, _ := strings.Cut(entry, "=")
		found = append(found, value)
	}
	return found
}

// keeper keeps the beginning and the end of an output of any length, and passes all of it on.
type keeper struct {
	also       io.Writer
	head, tail []byte
	cut        bool
}

func (k *keeper) Write(p []byte) (int, error) {
	if k.also != nil {
		_, _ = k.also.Write(p) // a log that cannot be written is no reason to break off an upgrade
	}
	take := min(len(p), outputHead-len(k.head))
	k.head = append(k.head, p[:take]...)
	k.tail = append(k.tail, p[take:]...)
	if over := len(k.tail) - outputTail; over > 0 {
		k.tail, k.cut = append(k.tail[:0], k.tail[over:]...), true
	}
	return len(p), nil
}

func (k *keeper) String() string {
	if k.cut {
		return string(k.head) + "\n…\n" + string(k.tail)
	}
	return string(k.head) + string(k.tail)
}

// has says whether the code to run has a script: older versions lack some.
func (c CLI) has(script string) bool {
	root, err := os.OpenRoot(c.dir())
	if err != nil {
		return false
	}
	defer func() { _ = root.Close() }()
	info, err := root.Stat(script)
	return err == nil && info.Mode().IsRegular()
}
