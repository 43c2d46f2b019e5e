package control

import (
	"html"
	"regexp"
	"strings"
)

var (
	// Colours of a terminal, which Moodle's checks.php prints even where there is none.
	terminalCode = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")
	markup       = regexp.MustCompile(`(?s)<(?:style|script)\b.*?</(?:style|script)>|<[^>]*>`)
	// What Moodle prints, on standard output, where it cannot start (bootstrap_renderer::early_error_content and
	// core_renderer_cli::fatal_error in lib/outputrenderers.php). The marks are the same in every language.
	earlyError = regexp.MustCompile(`(?ms)^\s*!!! (.*?) !!!\s*$`)
	// lib/setup.php before any renderer is there.
	earlyFatal = regexp.MustCompile(`(?m)^Fatal error: .*\. Exiting\.?$|^Fatal error: \$CFG->`)
)

// brokeOff says whether Moodle could not start.
func brokeOff(output string) bool {
	return earlyError.MatchString(output) || earlyFatal.MatchString(output)
}

// maxSaid is how much of a script's words is shown, in bytes.
const maxSaid = 600

// plain is what a failed script said, on one line: Moodle's own error where it printed one, else the ends of standard
// output and standard error.
func plain(output, stderr string) string {
	if strings.Contains(stderr, "Parse error") || strings.Contains(output, "Parse error") {
		// The line that PHP quotes may be the one with the password.
		return "PHP finds a syntax error in the code or in config.php; php -l shows where"
	}
	if found := earlyError.FindStringSubmatch(output); found != nil {
		return oneLine(found[1])
	}
	return oneLine(lastLines(output) + "\n" + lastLines(stderr))
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-6):], "\n")
}

// oneLine takes markup, colours, control characters and line ends out of a text, and shortens it.
func oneLine(text string) string {
	text = terminalCode.ReplaceAllString(text, "")
	text = html.UnescapeString(markup.ReplaceAllString(text, " "))
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return text
}
