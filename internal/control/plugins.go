package control

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

var component = regexp.MustCompile(`^[a-z][a-z0-9]*_[a-z][a-z0-9_]*$`)

// ShowMissing are the installed plugins whose code is gone, such as mod_journal: no other script takes that for an error.
func (c CLI) ShowMissing(ctx context.Context) ([]string, error) {
	return c.plugins(ctx, "--show-missing")
}

// ShowContrib are the plugins that Moodle does not bring along.
func (c CLI) ShowContrib(ctx context.Context) ([]string, error) {
	return c.plugins(ctx, "--show-contrib")
}

// plugins reads lines of a component, a tab and its translated name. The exit status is 0 whatever happens, so a line
// of any other kind is the error.
func (c CLI) plugins(ctx context.Context, which string) (found []string, err error) {
	const script = "admin/cli/uninstall_plugins.php"
	output, err := c.run(ctx, script, which)
	if err != nil {
		return nil, fmt.Errorf("list plugins (%s): %w", which, err)
	}
	for line := range strings.Lines(output) {
		name, _, tabbed := strings.Cut(line, "\t")
		switch {
		case strings.TrimSpace(line) == "":
		case tabbed && component.MatchString(name):
			found = append(found, name)
		default:
			return nil, fmt.Errorf("list plugins (%s): %w", which, &ScriptError{Script: script, Said: oneLine(line), Err: errNotUnderstood})
		}
	}
	return found, nil
}
