package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// PoolAnswer is what a site says of itself from inside its PHP-FPM pool.
type PoolAnswer struct {
	Pool            string // where it was asked
	PHP             string // version of the pool's PHP
	Dir             string // the code that runs, links resolved: Site.Public()
	CodeVersion     string // of version.php as compiled in the pool, with two decimals
	Release         string
	DatabaseVersion string // as the database has it, through Moodle's own access to it
	WWWRoot         string // which config.php may compute from the visitor's address
	Opcache         bool   // the pool keeps compiled code
	// OpcacheSince is when the pool began to keep compiled code; zero where it keeps none, or does not tell.
	OpcacheSince time.Time
	Revalidates  bool // the pool looks by itself whether files have changed
}

// poolOutput is what poolcheck.php prints.
type poolOutput struct {
	PHP  string `json:"php"`
	Code struct {
		Version string `json:"version"`
		Release string `json:"release"`
	} `json:"code"`
	Dir      string `json:"dir"`
	WWWRoot  string `json:"wwwroot"`
	Database string `json:"database"`
	Users    bool   `json:"users"`
	Opcache  *struct {
		Started     int64 `json:"started"`
		Revalidates bool  `json:"revalidates"`
	} `json:"opcache"`
}

func parsePoolAnswer(line string) (PoolAnswer, error) {
	var read poolOutput
	if err := json.Unmarshal([]byte(line), &read); err != nil || read.Code.Version == "" {
		return PoolAnswer{}, errNotUnderstood
	}
	answer := PoolAnswer{PHP: read.PHP, Dir: read.Dir, CodeVersion: read.Code.Version, Release: read.Code.Release,
		DatabaseVersion: read.Database, WWWRoot: read.WWWRoot}
	if read.Opcache != nil {
		answer.Opcache, answer.Revalidates = true, read.Opcache.Revalidates
		if read.Opcache.Started > 0 {
			answer.OpcacheSince = time.Unix(read.Opcache.Started, 0)
		}
	}
	if !read.Users {
		return answer, errors.New("the table of users is empty: no site has none")
	}
	return answer, nil
}

// judge says what is wrong with an answer, given the code that should run.
func (a PoolAnswer) judge(site *moodle.Site, disk moodle.Version, check PoolCheck) error {
	var problems []error
	if a.Dir != site.Public() {
		problems = append(problems, fmt.Errorf("PHP-FPM runs the code in %s and not that in %s; reload it", a.Dir, site.Public()))
	}
	if differ(a.CodeVersion, disk.Number) {
		problems = append(problems, fmt.Errorf("PHP-FPM runs code of version %s, and %s is on disk; reload it", a.CodeVersion, disk.Number))
	}
	// The clock of opcache has seconds.
	if a.Opcache && !a.Revalidates && !a.OpcacheSince.IsZero() && a.OpcacheSince.Before(check.CodeSince.Truncate(time.Second)) {
		problems = append(problems, fmt.Errorf("PHP-FPM has kept compiled code since %s, from before the code was changed, and never looks for changes (opcache.validate_timestamps=0); reload it",
			a.OpcacheSince.UTC().Format(time.RFC3339)))
	}
	if behind := check.UpgradePending && moodle.Newer(a.CodeVersion, a.DatabaseVersion); differ(a.DatabaseVersion, a.CodeVersion) && !behind {
		problems = append(problems, fmt.Errorf("the database is of version %s and the code of %s", a.DatabaseVersion, a.CodeVersion))
	}
	return errors.Join(problems...)
}

// differ compares versions as Moodle does, as decimal numbers.
func differ(a, b string) bool {
	return a == "" || b == "" || moodle.Newer(a, b) || moodle.Newer(b, a)
}

// cutAnswer is the line that begins with our mark.
func cutAnswer(body, mark string) (line string, printed bool) {
	_, line, printed = strings.Cut(body, mark)
	line, _, _ = strings.Cut(line, "\n")
	return line, printed
}
