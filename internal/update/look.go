package update

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

// look reads what the site is before anything is made, and refuses where an update cannot even be tried.
func (u *update) look(ctx context.Context) (err error) {
	u.plan = &Plan{Site: u.Site.Name, From: u.Site.Version, To: u.Site.Version}
	if err := u.refuse(); err != nil {
		return err
	}
	if u.disk, err = moodle.ReadPlugins(u.Site.Dir, u.Site.Version); err != nil {
		return err
	}
	if u.missing, err = u.cli("").ShowMissing(ctx); err != nil {
		return notWorking(u.Site, err)
	}
	if u.contrib, err = u.cli("").ShowContrib(ctx); err != nil {
		return notWorking(u.Site, err)
	}
	if u.checkout, err = openCheckout(ctx, u.Site, u.run); err != nil {
		return refusedSource("the checkout of the code cannot be used: "+err.Error(), "mend it, or set update.source: archive")
	}
	for _, plugin := range u.Plugins {
		if !ValidComponent.MatchString(plugin.Component) || plugin.File == "" {
			return refusedSource(fmt.Sprintf("%q is no plugin that could be put in", plugin.Component), "write --plugin=mod_checklist=/path/of/its.zip")
		}
	}
	u.journal = newJournal(u.StateDir, u.Site.Name, u.run.ID(), u.Group)
	j := u.journal
	j.Started, j.From = u.Clock().UTC(), u.Site.Version.Number
	j.Code, j.Dataroot, j.User = u.Site.Link, u.Site.Config.DataRoot, u.Site.User
	return j.save()
}

func notWorking(site *moodle.Site, err error) error {
	return &backup.RefusedError{Happened: "the site " + site.Name + " does not work as it is", Err: err, Means: "an update could not tell afterwards whether it has broken it", Do: "mend the site first"}
}

// refuse is for sites that cannot be updated at all.
func (u *update) refuse() error {
	refusal := &backup.RefusedError{Means: "the site is not touched"}
	if other, err := restore.Unfinished(u.StateDir, u.Site.Name); err != nil || other != nil {
		if err != nil {
			return err
		}
		refusal.Happened, refusal.Do = "a restore of site "+u.Site.Name+" was broken off", "moodle-exporter restore --site="+u.Site.Name
		return refusal
	}
	if other, err := Unfinished(u.StateDir, u.Site.Name); err != nil || other != nil {
		if err == nil {
			err = &UnfinishedError{Journal: other, Err: errUnfinished}
		}
		return err
	}
	switch {
	case !u.Site.Config.MySQL():
		refusal.Happened, refusal.Do = "the database is of kind "+u.Site.Config.DBType+", which is not supported: without a backup of it there is no way back", "update the site by hand"
	case !u.Site.Primary:
		refusal.Happened, refusal.Do = "the dataroot of site "+u.Site.Name+" is shared by several web servers", "set `primary: true` for the site in the configuration of the one host that shall update it; the others need the new code at the same moment"
	case u.Site.PHP == "":
		refusal.Happened, refusal.Do = "there is no PHP for the command line, which Moodle's upgrade needs", "apt-get install php-cli"
	default:
		_, err := command.SiteUser(u.Site.User)
		return err
	}
	return refusal
}

// cli runs scripts of the live code, or of other code for the same site.
func (u *update) cli(dir string) control.CLI {
	return control.CLI{Site: u.Site, Dir: dir, Run: u.run}
}

// discard removes what was made for an update that was not begun.
func (u *update) discard(ctx context.Context) error {
	u.close()
	if u.journal == nil {
		return nil
	}
	return Undo(ctx, u.Options, u.journal, u.run)
}

// pools are the PHP-FPM pools that run the site's code.
func (o *Options) pools(site *moodle.Site) []phpfpm.Pool {
	return control.FindPools(site, o.PoolFiles, o.NginxFile, o.Logger)
}

// questionTimeout bounds one small question to the database server.
const questionTimeout = time.Minute

// ask lets something look at the site's database, as the site itself would.
func ask(site *moodle.Site, do func(*sql.DB) error) error { return askAs(site.ConfigLogin(), do) }

func askAs(login moodle.Login, do func(*sql.DB) error) error {
	connector, err := mysql.NewConnector(login.Driver("", questionTimeout))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	return do(db)
}

// table is the full name of one of the site's tables, for a statement.
func table(site *moodle.Site, name string) string {
	return dbserver.Quote(site.Config.DBName) + "." + dbserver.Quote(site.Table(name))
}

// count is a number that the database counts; 0 where there is no such table, as of a plugin that is not installed.
func count(ctx context.Context, db *sql.DB, query string, values ...any) (number int64, err error) {
	err = db.QueryRowContext(ctx, query, values...).Scan(&number)
	var refused *mysql.MySQLError
	if errors.As(err, &refused) && (refused.Number == noSuchTable || refused.Number == noSuchColumn) {
		return 0, nil
	}
	return number, err
}

// ER_NO_SUCH_TABLE and ER_BAD_FIELD_ERROR of MariaDB and MySQL.
const (
	noSuchTable  = 1146
	noSuchColumn = 1054
)

// logged writes what a script prints to the log, line by line.
type logged struct {
	logger *slog.Logger
	rest   string
}

var _ io.Writer = (*logged)(nil)

func (l *logged) Write(p []byte) (int, error) {
	lines := strings.Split(l.rest+string(p), "\n")
	l.rest = lines[len(lines)-1]
	if len(l.rest) > maxLine {
		lines, l.rest = append(lines, ""), ""
	}
	for _, line := range lines[:len(lines)-1] {
		if line = strings.TrimSpace(line); line != "" {
			l.logger.Info(line[:min(len(line), maxLine)], "from", "moodle")
		}
	}
	return len(p), nil
}

const maxLine = 4096
