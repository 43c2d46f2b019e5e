package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// UpdateSources are where new code may come from.
var UpdateSources = []string{"git", "archive", "none"}

var (
	validRef  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$`)
	sha256Hex = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	sshRemote = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]*:[^:]`)
)

// ValidRef says whether a name of a branch or tag can be given to git: it is no option and no expression.
func ValidRef(name string) bool { return validRef.MatchString(name) && !strings.Contains(name, "..") }

func (u *Update) setDefaults() {
	if u.MaxRollback == 0 {
		u.MaxRollback = Duration(30 * time.Minute)
	}
}

func (u *Update) check() error {
	problems := []error{absolute("update.archive", u.Archive, u.Source == "archive")}
	if u.Source != "" && !slices.Contains(UpdateSources, u.Source) {
		problems = append(problems, fmt.Errorf("update.source: %q is not git, archive or none", u.Source))
	}
	if u.Branch != "" && !ValidRef(u.Branch) {
		problems = append(problems, fmt.Errorf("update.branch: %q is no name of a branch, such as MOODLE_405_STABLE", u.Branch))
	}
	if u.SHA256 != "" && !sha256Hex.MatchString(u.SHA256) {
		problems = append(problems, fmt.Errorf("update.sha256: %q is no SHA-256 in hexadecimal", u.SHA256))
	}
	if u.Remote != "" {
		if err := CheckRemote(u.Remote); err != nil {
			problems = append(problems, fmt.Errorf("update.remote: %w", err))
		}
	}
	return errors.Join(problems...)
}

// CheckRemote refuses addresses of git repositories from which code can be changed on its way, or that run a program. The
// error does not repeat the address, which may hold a password.
func CheckRemote(address string) error {
	if strings.HasPrefix(address, "/") && !strings.ContainsAny(address, "\n\r\x00") {
		return nil
	}
	parsed, err := url.Parse(address)
	if err == nil && slices.Contains([]string{"https", "ssh", "file"}, parsed.Scheme) || sshRemote.MatchString(address) && !strings.Contains(address, "://") && !strings.ContainsAny(address, "\n\r\x00") {
		return nil
	}
	return errors.New("it must be an https or ssh address, or a path: code that comes over http or git can be changed on its way. Moodle's own is https://github.com/moodle/moodle.git")
}
