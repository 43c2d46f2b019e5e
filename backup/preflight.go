package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// checkSite refuses what this program must not or cannot back up.
func (o *Options) checkSite() error {
	site := o.Site
	if !site.Primary {
		return &RefusedError{
			Happened: "site " + site.Name + " is not backed up from this host",
			Means:    "its dataroot is shared by several web servers, and two backups at a time would hinder each other",
			Do:       "set `primary: true` for the site in the configuration of the one host that shall do it",
		}
	}
	if o.has(Database) && !site.Config.MySQL() {
		return &RefusedError{
			Happened: "the database of site " + site.Name + " is of type " + site.Config.DBType + ", which is unsupported", Err: moodle.ErrUnsupportedDatabase,
			Means: "a backup without its database cannot bring a site back",
			Do:    "back the database up by its own means, and the rest with --only=files,code,config,logs,system",
		}
	}
	return nil
}

// webRoots are directories whose content web servers hand out.
var webRoots = []string{"/var/www", "/usr/share/nginx", "/srv/www", "/usr/local/www"}

// checkDir refuses backup directories from which a backup could be served to the world, lost together
// with the site, or backed up into itself.
func (o *Options) checkDir() error {
	dir := o.Config.Dir
	refuse := func(happened string) error {
		return &RefusedError{
			Happened: "the backup directory " + dir + " " + happened,
			Means:    "backups there could be handed out by the web server, or be lost together with the site",
			Do:       "set backup.dir to a directory outside, best on another disk",
		}
	}
	for _, place := range []struct{ path, happened string }{
		{o.Site.Config.DataRoot, "lies in the dataroot of the site"},
		{o.Site.Dir, "lies in the code of the site"},
		{o.Site.Link, "lies in the code of the site"},
		{filedir(o.Site), "lies in the filedir of the site"},
	} {
		if place.path != "" && within(dir, place.path) {
			return refuse(place.happened)
		}
		if place.path != "" && within(place.path, dir) {
			return refuse("holds the site itself")
		}
	}
	for _, root := range webRoots {
		if within(dir, root) {
			return refuse("lies below " + root + ", which web servers hand out")
		}
	}
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		if target, err := os.Readlink(dir); err == nil {
			return &RefusedError{
				Happened: "the backup directory " + dir + " is a link to " + target + ", which does not exist",
				Means:    "there is no place for the backup", Do: "mount the disk that it leads to, or set backup.dir to another directory",
			}
		}
		return nil // made later, with rights of our choice
	}
	if err != nil {
		return unusable(err)
	}
	if !info.IsDir() {
		return refuse("is not a directory")
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
		return &RefusedError{
			Happened: "everybody on this host may write into the backup directory " + dir,
			Means:    "anybody could replace or delete the backups", Do: "run chmod 700 " + dir,
		}
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return unusable(&fs.PathError{Op: "write to", Path: dir, Err: err})
	}
	return nil
}

// MakeDir makes the directory that the backups of a site go to, so that LockPath can be locked there. A
// *RefusedError says that it may not, or cannot, lie where the configuration wants it.
func MakeDir(o *Options) error {
	if err := o.checkDir(); err != nil {
		return err
	}
	return makeDir(store.NewDirectory(SiteDir(o.Config.Dir, o.Site.Name)))
}

func makeDir(s store.Local) error {
	if err := s.Make(); err != nil {
		return unusable(err)
	}
	return nil
}

func unusable(err error) error {
	return &RefusedError{
		Happened: "the backup directory cannot be used", Err: err, Means: "there is no place for the backup",
		Do: "see whether its disk is mounted and writable, run as root, or set backup.dir to a directory that can be written",
	}
}

// checkDatabase logs in and refuses what would make a dump that is silently incomplete.
func (o *Options) checkDatabase(ctx context.Context) (_ *session, _ schema, err error) {
	session, err := connect(ctx, o.Site)
	if err != nil && ctx.Err() != nil {
		return nil, schema{}, ctx.Err()
	}
	if err != nil {
		return nil, schema{}, &RefusedError{
			Happened: "the database of site " + o.Site.Name + " lets nobody in", Err: err,
			Means: "nothing of it can be backed up", Do: "start the server, or give database.admin of the site an account that can log in",
		}
	}
	defer func() {
		if err != nil {
			_ = session.Close()
		}
	}()
	found, err := session.schema(ctx)
	if err != nil {
		return nil, found, err
	}
	rights, err := session.rights(ctx, found.kind())
	if err != nil {
		return nil, found, err
	}
	if lacking := rights.lacking(found.kind(), session.name); len(lacking) > 0 {
		return nil, found, refuseRights(session.login.User, lacking)
	}
	if found.hidden > 0 {
		return nil, found, refuseRights(session.login.User, []string{"GRANT SELECT ON mysql.proc TO"})
	}
	if len(found.foreign) > 0 && !o.AllowNonTransactional {
		return nil, found, refuseEngines(found.foreign)
	}
	return session, found, o.checkUpgrade(ctx, session)
}

func refuseRights(user string, lacking []string) error {
	return &RefusedError{
		Happened: "the database account " + user + " may not see everything of the site",
		Means:    "the server would leave triggers, views, routines or events out of the dump without a word",
		Do:       "as an administrator of the database run " + strings.Join(lacking, " …; ") + " … for that account",
	}
}

func refuseEngines(tables []string) error {
	first := tables[0]
	name, _, _ := cutLast(first, " (")
	return &RefusedError{
		Happened: fmt.Sprintf("%d tables are not kept by InnoDB: %s", len(tables), strings.Join(tables[:min(len(tables), fewNames)], ", ")),
		Means:    "no transaction protects them, so their rows would be those of another moment than the rest of the backup",
		Do:       "run ALTER TABLE " + quoteName(name) + " ENGINE=InnoDB, and so for each of them",
	}
}

// checkUpgrade refuses while Moodle changes its own tables (upgraderunning is the time until which an
// upgrade believes itself to be running).
func (o *Options) checkUpgrade(ctx context.Context, s *session) error {
	until, err := s.setting(ctx, o.Site.Table("config"), "upgraderunning")
	if err != nil {
		return &RefusedError{
			Happened: "the settings of site " + o.Site.Name + " cannot be read", Err: err,
			Means: "this may not be the database of a Moodle, or not with this table prefix", Do: "look at $CFG->dbname and $CFG->prefix in config.php",
		}
	}
	seconds, err := strconv.ParseInt(until, 10, 64)
	if err == nil && time.Unix(seconds, 0).After(o.Clock()) {
		return &RefusedError{
			Happened: "an upgrade of site " + o.Site.Name + " is running",
			Means:    "tables change while they would be read", Do: "wait until it has ended; if it was broken off, it counts as ended " + time.Unix(seconds, 0).Format(time.TimeOnly),
		}
	}
	return nil
}

// checkClock says that a backup is newer than now, for which the clock must have been wrong then or be wrong
// now. Nobody can tell which, and a backup is worth more than its date: it is made.
func checkClock(newest string, now time.Time) string {
	made, err := time.Parse(job.IDLayout, newest)
	if err != nil || !made.After(now.Add(clockSkew)) {
		return ""
	}
	return fmt.Sprintf("the newest backup is dated %s, but by the clock of this host it is %s: set the clock if it is wrong now; if it was wrong then, move the directory of that backup away, for it counts as the latest",
		newest, now.UTC().Format(job.IDLayout))
}
