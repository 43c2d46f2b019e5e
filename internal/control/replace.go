package control

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ErrAddress is an address that a site's content cannot be rewritten to.
var ErrAddress = errors.New("the address cannot be replaced")

// ReplaceURL rewrites the site's address in the content of its database by Moodle's own tool_replace: texts of courses,
// pages, posts and blocks. It leaves out config and config_plugins, logs and sessions. config.php must have the new
// address already (moodle.ReplaceWWWRoot). Done again after it was broken off, it finishes.
func (c CLI) ReplaceURL(ctx context.Context, old, fresh string) error {
	steps, err := replacements(old, fresh)
	if err != nil {
		return fmt.Errorf("replace %s by %s in the content of site %s: %w", old, fresh, c.Site.Name, err)
	}
	script := "admin/tool/replace/cli/replace.php"
	if c.has("public/" + script) {
		script = "public/" + script // since 5.1
	}
	// It prints every statement, and the more there are the less they tell.
	c.Log = nil
	for _, step := range steps {
		if _, err := c.run(ctx, script, "--search="+step[0], "--replace="+step[1], "--shorten", "--non-interactive"); err != nil {
			return fmt.Errorf("replace %s by %s in the content of site %s: %w", old, fresh, c.Site.Name, err)
		}
	}
	return nil
}

// replacements are the texts to search for and to put there, in their order. Links may be written with either scheme or
// none, so first the host with the path is replaced, and then the scheme before it.
func replacements(old, fresh string) ([][2]string, error) {
	from, err := address(old)
	if err != nil {
		return nil, err
	}
	to, err := address(fresh)
	if err != nil {
		return nil, err
	}
	before, after := "//"+from.Host+from.Path, "//"+to.Host+to.Path
	var steps [][2]string
	if before != after {
		if strings.Contains(after, before) {
			return nil, fmt.Errorf("%w: the new one begins with the old one, so that replacing it twice, after a kill say, would spoil it; go by way of a third address", ErrAddress)
		}
		steps = append(steps, [2]string{before, after})
	}
	if from.Scheme != to.Scheme {
		steps = append(steps, [2]string{from.Scheme + ":" + after, to.Scheme + ":" + after})
	}
	return steps, nil
}

func address(text string) (*url.URL, error) {
	parsed, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.RawQuery != "" || parsed.Fragment != "" || parsed.User != nil {
		return nil, fmt.Errorf("%w: %q is no http or https address of a site", ErrAddress, text)
	}
	return parsed, nil
}
