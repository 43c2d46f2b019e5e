package stand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// SiteOptions says what kind of site NewSite builds; the zero value is a 4.5 site named moodle
// with the stand-in data.
type SiteOptions struct {
	Name    string // of its directories, database and database account; default moodle
	Version string // "4.5" (default) or "5.1", whose web files lie under public/
	Prefix  string // of its tables; default that of the fixture: m45_ or mdl_

	CodeDir  string // default <dir>/<Name>
	Dataroot string // default <dir>/<Name>data
	WWWRoot  string // default https://localhost
	User     string // database account; default Name
	Password string // default is one with characters that need quoting; any printable ones work
	Socket   bool   // config.php names the unix socket, not host and port

	Config ConfigStyle

	// Fixture loads the dump of a real site (and for 4.5 its moodledata) in place of the
	// stand-in's tables. The 5.1 dump has no moodledata: its blobs are missing. Where the
	// fixtures are absent the stand-in is used, but under CI that is an error.
	Fixture bool
	Now     time.Time // of the stand-in data: cron started at that moment; default time.Now
}

// Site is a Moodle-shaped site: code and dataroot on disk, tables in a database. The PHP is this
// project's own stand-in, which answers the questions of operations tools as Moodle does.
type Site struct {
	Name     string
	CodeDir  string // holds config.php and admin/cli
	DocRoot  string // what the web server serves: CodeDir, for 5.1 its public/
	Dataroot string
	WWWRoot  string
	Prefix   string
	Database string
	User     string // of the database account
	Password string
	Version  string // as in version.php and in the database: "2024100705.01"
	Release  string
	Branch   string
	Real     bool    // the data is a fixture's
	Web      Account // owns Dataroot, runs the PHP

	environment []string // what a config.php with getenv() reads
}

// Environment is what config.php reads with getenv(), as NAME=value: give it to PHP-FPM and to
// each PHP process. Empty for other kinds of config.php.
func (s *Site) Environment() []string { return s.environment }

// NewSite builds a site under dir, with its schema and account on db.
func NewSite(ctx context.Context, dir string, db *MariaDBServer, options SiteOptions) (*Site, error) {
	if options.Now.IsZero() {
		options.Now = time.Now()
	}
	s, err := describeSite(dir, options)
	if err != nil {
		return nil, err
	}
	if err := s.writeCode(); err != nil {
		return nil, fmt.Errorf("write the code of site %s: %w", s.Name, err)
	}
	if err := s.writeConfig(db, options); err != nil {
		return nil, fmt.Errorf("write config.php of site %s: %w", s.Name, err)
	}
	if err := s.fill(ctx, db, options); err != nil {
		return nil, fmt.Errorf("fill site %s: %w", s.Name, err)
	}
	if err := db.CreateAccount(ctx, s.User, s.Password, s.Database, "ALL"); err != nil {
		return nil, err
	}
	return s, s.giveAway()
}

func describeSite(dir string, o SiteOptions) (*Site, error) {
	s := &Site{Name: orDefault(o.Name, "moodle"), WWWRoot: orDefault(o.WWWRoot, "https://localhost")}
	s.CodeDir = orDefault(o.CodeDir, filepath.Join(dir, s.Name))
	s.Dataroot = orDefault(o.Dataroot, filepath.Join(dir, s.Name+"data"))
	s.DocRoot = s.CodeDir
	s.Database, s.User = s.Name, orDefault(o.User, s.Name)
	s.Password = orDefault(o.Password, `it's a "secret" \ $word`)
	// Versions are those of the fixture dumps.
	switch orDefault(o.Version, "4.5") {
	case "4.5":
		s.Prefix, s.Version, s.Release, s.Branch = "m45_", "2024100705.01", "4.5.5+ (Build: 20250613)", "405"
	case "5.1":
		s.Prefix, s.Version, s.Release, s.Branch = "mdl_", "2025100600.02", "5.1+ (Build: 20251017)", "501"
		s.DocRoot = filepath.Join(s.CodeDir, "public")
	default:
		return nil, fmt.Errorf("no stand-in for Moodle %s: there are 4.5 and 5.1", o.Version)
	}
	s.Prefix = orDefault(o.Prefix, s.Prefix)
	var err error
	s.Web, err = WebUser()
	return s, err
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// fill loads the database and the dataroot.
func (s *Site) fill(ctx context.Context, db *MariaDBServer, o SiteOptions) error {
	if err := s.makeDataroot(); err != nil {
		return err
	}
	if err := db.CreateDatabase(ctx, s.Database); err != nil {
		return err
	}
	if !o.Fixture {
		return s.seed(ctx, db, o.Now)
	}
	version := s.layout()
	if o.Prefix != "" {
		return errors.New("a fixture keeps its own table prefix")
	}
	err := LoadFixture(ctx, db, version, s.Database)
	if errors.Is(err, ErrNoFixtures) && !underCI() {
		return s.seed(ctx, db, o.Now)
	}
	if err != nil {
		return err
	}
	s.Real = true
	if version == "4.5" {
		if err := UnpackDataroot(ctx, s.Dataroot); err != nil {
			return err
		}
	}
	return s.installPlugins(ctx, db, map[string]string{thirdParty: thirdPartyVersion})
}

// layout is the Moodle version whose directory layout and plugins the site has.
func (s *Site) layout() string {
	if s.DocRoot != s.CodeDir {
		return "5.1"
	}
	return "4.5"
}

// PHP is the command php args…, in the code directory, as the web user.
func (s *Site) PHP(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "php", args...)
	cmd.Dir = s.CodeDir
	cmd.Env = append(os.Environ(), s.environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.Web.credential()}
	return cmd
}

// CLI is the command php admin/cli/<script>.php args…, as the web user.
func (s *Site) CLI(ctx context.Context, script string, args ...string) *exec.Cmd {
	return s.PHP(ctx, append([]string{filepath.Join(s.CodeDir, "admin", "cli", script+".php")}, args...)...)
}
