package config

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// Secret is a password or key. It prints as stars wherever it is formatted, logged or marshalled,
// so that only code that asks for Reveal can leak it.
type Secret string

const masked = "********"

// Reveal returns the plain text. Call it only where the secret is handed to the thing it opens.
func (s Secret) Reveal() string { return string(s) }

// String returns stars, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString masks what %#v prints.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText masks what JSON and YAML hold.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue masks what slog writes.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// ReadSecretFile reads a password file: its content without one trailing line break.
func ReadSecretFile(path string) (Secret, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the administrator names the file
	if err != nil {
		return "", fmt.Errorf("read password file: %w", err)
	}
	return Secret(strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")), nil
}

// Duration is a time.Duration that the configuration may also write in days and weeks: 8d, 26h, 2w, 90d.
type Duration time.Duration

var longUnits = map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour}

// ParseDuration reads what time.ParseDuration reads, and whole numbers of d, w and y (365 days).
func ParseDuration(text string) (Duration, error) {
	for unit, length := range longUnits {
		if number, found := strings.CutSuffix(text, unit); found {
			n, err := strconv.Atoi(number)
			if err != nil || n < 0 || n > 36500 {
				return 0, fmt.Errorf("%q is not a duration; write for example 26h, 8d or 2w", text)
			}
			return Duration(time.Duration(n) * length), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration; write for example 26h, 8d or 2w", text)
	}
	return Duration(d), nil
}

// UnmarshalText makes Duration readable from YAML.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	*d = parsed
	return err
}

// MarshalText writes whole days as Nd, anything else as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String writes whole days as Nd, anything else as Go does.
func (d Duration) String() string {
	day := 24 * time.Hour
	if whole := time.Duration(d); whole > 0 && whole%day == 0 {
		return strconv.Itoa(int(whole/day)) + "d"
	}
	return time.Duration(d).String()
}

// Seconds is the length in seconds, as metrics want it.
func (d Duration) Seconds() float64 { return time.Duration(d).Seconds() }
