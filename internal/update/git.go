package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
)

// git runs git in a repository, never as root and never its hooks.
type git struct {
	user *command.User
	dir  string // a bare repository, or a checkout
	env  []string
	run  control.Run
}

// gitLimit bounds what git may print, in bytes: the names of all files of a large Moodle with its plugins.
const gitLimit = 64 << 20

// gitConfig outweighs what a repository's own configuration says.
var gitConfig = []string{
	"core.hooksPath=/dev/null", "core.fsmonitor=false", "core.attributesFile=/dev/null", "core.fileMode=false", "credential.helper=", "gc.auto=0",
	"maintenance.auto=false", "fetch.unpackLimit=1", "fetch.recurseSubmodules=false", "tar.umask=0022",
	// Checkouts often belong to somebody else than whom the site runs as.
	"safe.directory=*",
}

// gitEnvironment: protocols that run a program or can be changed on their way are left out, nobody is asked for a password,
// and no settings of an account are read. Those of the host (/etc/gitconfig) are, for its proxy.
var gitEnvironment = []string{
	"GIT_ALLOW_PROTOCOL=https:ssh:file", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false",
	"GIT_SSH_COMMAND=ssh -o BatchMode=yes", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_OPTIONAL_LOCKS=0", "GIT_NO_REPLACE_OBJECTS=1",
}

func (g git) command(arguments []string) command.Command {
	var all []string
	for _, setting := range gitConfig {
		all = append(all, "-c", setting)
	}
	c := command.Command{
		Name: "git", Args: append(append(all, "-C", g.dir), arguments...), Dir: "/", User: g.user,
		Env: append(append([]string{}, gitEnvironment...), g.env...),
	}
	if g.run != nil {
		c.Files, c.Started = g.run.LockFiles(), g.run.ChildStarted
	}
	return c
}

// output is what git prints.
func (g git) output(ctx context.Context, arguments ...string) (string, error) {
	output, err := command.Output(ctx, gitLimit, g.command(arguments))
	if err != nil {
		return "", g.failed(arguments, err)
	}
	return string(output), nil
}

// line is a single line that git prints.
func (g git) line(ctx context.Context, arguments ...string) (string, error) {
	output, err := g.output(ctx, arguments...)
	return strings.TrimSpace(output), err
}

// list are names that git prints with a NUL behind each.
func (g git) list(ctx context.Context, arguments ...string) ([]string, error) {
	output, err := g.output(ctx, arguments...)
	return strings.FieldsFunc(output, func(r rune) bool { return r == 0 }), err
}

// stream passes on what git prints.
func (g git) stream(ctx context.Context, to io.Writer, arguments ...string) error {
	c := g.command(arguments)
	c.Stdout = to
	if err := command.Run(ctx, c); err != nil {
		return g.failed(arguments, err)
	}
	return nil
}

func (g git) failed(arguments []string, err error) error {
	var failure *command.Error
	if !errors.As(err, &failure) {
		return fmt.Errorf("git %s: %w", arguments[0], err)
	}
	said := failure.Error()
	// What git advises after what has gone wrong may be longer than that.
	if fatal := fatalLine.FindString(failure.Stderr); fatal != "" && !strings.Contains(said, fatal) {
		said = fatal + " " + said
	}
	return fmt.Errorf("git %s (as %s): %s", arguments[0], g.user.Name, withoutPasswords(said))
}

// fatalLine begins every error that ends git.
var fatalLine = regexp.MustCompile(`(?m)^fatal: .*$`)

// withoutPasswords takes user names and passwords out of the addresses in a text.
func withoutPasswords(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		bare := strings.Trim(word, `'":,;()<>`)
		if parsed, err := url.Parse(bare); err == nil && parsed.User != nil {
			parsed.User = nil
			words[i] = strings.Replace(word, bare, parsed.String(), 1)
		} else if strings.Contains(bare, "://") && strings.Contains(bare, "@") {
			words[i] = "…"
		}
	}
	return strings.Join(words, " ")
}

// fetchTime bounds a fetch: the whole history of Moodle is some 500 MB.
const fetchTime = 30 * time.Minute
