package control

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Kinds of checks (core\check\manager::TYPES). Those of security visit wwwroot over HTTP.
const (
	StatusChecks      = "status"
	SecurityChecks    = "security"
	PerformanceChecks = "performance"
)

// Check is what one of Moodle's own checks says.
type Check struct {
	Ref    string // core_upgradecheck: the same in every language
	Status string // NA, OK, INFO, UNKNOWN, WARNING, ERROR or CRITICAL: the same in every language
	Name   string // translated, for a person
}

// Bad is true of a check that found an error. The environment check is told of PHP's command line, not of PHP-FPM.
func (c Check) Bad() bool { return c.Status == "ERROR" || c.Status == "CRITICAL" }

// checkLine is a line of checks.php without its colours (core_renderer_cli::render_check_result, whose words are fixed).
var checkLine = regexp.MustCompile(`^\s*(NA|OK|INFO|UNKNOWN|WARNING|ERROR|CRITICAL)\s*\|\s*(\S.*) \(([a-z0-9_]+)\)\s*$`)

// Checks makes Moodle's own checks of a kind. That some of them find errors is no error here.
func (c CLI) Checks(ctx context.Context, kind string) ([]Check, error) {
	output, err := c.run(ctx, "admin/cli/checks.php", "--type="+kind, "-v")
	checks := parseChecks(output)
	var failure *ScriptError
	// 0, 1, 2 and 3 are those of Nagios; a script that did not start has 1 as well, and prints no checks.
	judged := err == nil || errors.As(err, &failure) && failure.Code > 0 && failure.Code <= 3 && !brokeOff(output)
	if !judged || err != nil && len(checks) == 0 {
		return nil, fmt.Errorf("make the %s checks: %w", kind, err)
	}
	if len(checks) == 0 {
		return nil, fmt.Errorf("make the %s checks: checks.php prints none that is understood", kind)
	}
	return checks, nil
}

func parseChecks(output string) (checks []Check) {
	for line := range strings.Lines(terminalCode.ReplaceAllString(output, "")) {
		if found := checkLine.FindStringSubmatch(strings.TrimRight(line, "\r\n ")); found != nil {
			checks = append(checks, Check{Status: found[1], Name: found[2], Ref: found[3]})
		}
	}
	return checks
}
