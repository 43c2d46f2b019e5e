package statuspage

import (
	"fmt"
	"slices"
)

// Level is a verdict. The first four are the states of monitoring plugins, and their numbers are the exit codes.
type Level int

// The levels. Info is shown and not judged.
const (
	OK Level = iota
	Warning
	Critical
	Unknown
	Info
)

var levelNames = [...]string{OK: "ok", Warning: "warning", Critical: "critical", Unknown: "unknown", Info: "info"}

// order goes from harmless to bad. Unknown is worse than a warning: what cannot be seen may be anything,
// and a known small trouble must not cover it. It is the order of service states in Icinga.
var order = [...]Level{Info, OK, Warning, Unknown, Critical}

// String is the level's word.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return fmt.Sprintf("level %d", int(l))
	}
	return levelNames[l]
}

// MarshalText writes the level's word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ExitCode is 0 for ok, 1 for warning, 2 for critical and 3 for unknown.
func (l Level) ExitCode() int {
	if l == Info {
		return int(OK)
	}
	return int(l)
}

// Bad says whether somebody should do something.
func (l Level) Bad() bool { return l != OK && l != Info }

func (l Level) worseThan(other Level) bool {
	return slices.Index(order[:], l) > slices.Index(order[:], other)
}

// worst is the worst level of lines; nothing at all is Info.
func worst(lines []Line) Level {
	level := Info
	for _, line := range lines {
		if line.Level.worseThan(level) {
			level = line.Level
		}
	}
	return level
}
