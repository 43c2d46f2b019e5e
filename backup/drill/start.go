package drill

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

const startCheck = "the start of the restored code"

// start lets the restored code start on the restored database, and compares the tables with what the code expects.
func (d *drill) start(ctx context.Context) error {
	if d.PHP == "" {
		d.notMade(&control.NotCheckedError{Check: startCheck, Err: errors.New("there is no PHP for the command line")})
		return nil
	}
	password := rand.Text()
	if err := d.account(ctx, password); err != nil {
		return err
	}
	if err := d.describe(password); err != nil {
		return err
	}
	cli := control.CLI{Site: d.site, Run: d.run}
	pending, err := cli.IsPending(ctx)
	if err != nil {
		return fmt.Errorf("the restored code does not start: %w", err)
	}
	if pending {
		d.Logger.Info("the restored site asks for an upgrade, as it did when the backup was made")
	}
	differences, err := cli.CheckSchema(ctx)
	if err != nil {
		return err
	}
	if len(differences) > 0 {
		d.Logger.Info("tables are not as the code expects them, as they were when the backup was made", "differences", len(differences), "first", differences[0])
	}
	return nil
}

func (d *drill) notMade(err error) {
	d.result.NotMade = append(d.result.NotMade, err)
	d.Logger.Warn("a part of the drill could not be made", "err", err)
}

const accountName = "drill"

// account lets the site's code see the restored tables.
func (d *drill) account(ctx context.Context, password string) error {
	connector, err := mysql.NewConnector(d.server.login().Driver("", startTime))
	if err != nil {
		return err
	}
	admin := sql.OpenDB(connector)
	defer admin.Close()
	schema := dbserver.Quote(strings.NewReplacer("_", `\_`, "%", `\%`).Replace(d.Reader.Manifest.Database.Name))
	account := "'" + accountName + "'@localhost"
	for _, statement := range []string{"CREATE USER " + account + " IDENTIFIED BY '" + password + "'", "GRANT ALL ON " + schema + ".* TO " + account} {
		if _, err := admin.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make an account for the restored code: %w", err)
		}
	}
	return nil
}

// describe is the restored site, with a configuration that leads to the drill's own places and sends no mail.
func (d *drill) describe(password string) error {
	m := d.Reader.Manifest
	version, err := moodle.ReadVersion(d.path(codeDir))
	if err != nil {
		return fmt.Errorf("the restored code is none of Moodle: %w", err)
	}
	own := d.path("caches")
	if err := errors.Join(os.Mkdir(own, 0o700), give(own, d.user)); err != nil {
		return err
	}
	d.site = &moodle.Site{
		Name: m.Site, Dir: d.path(codeDir), Link: d.path(codeDir), User: d.user.Name, PHP: d.PHP, Primary: true, Version: version,
		Config: moodle.PHPConfig{
			DBType: "mariadb", DBHost: "localhost", DBSocket: d.server.socket(), DBName: m.Database.Name, DBUser: accountName, DBPass: config.Secret(password),
			Prefix: m.Database.Prefix, WWWRoot: m.Moodle.WWWRoot, DataRoot: d.path(dataDir), CacheDir: own + "/cache", LocalCacheDir: own + "/localcache",
			TempDir: own + "/temp", BackupTempDir: own + "/temp/backup",
		},
	}
	root, err := os.OpenRoot(d.path(codeDir))
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Remove("config.php"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := root.OpenFile("config.php", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(restore.TrialConfig(d.site, own))
	if err == nil && os.Geteuid() == 0 {
		err = file.Chown(int(d.user.UID), int(d.user.GID))
	}
	return errors.Join(err, file.Close())
}

// growth is how much more room tables take than their SQL, with their indexes and the server's own files.
const growth = 2

// serverSize is what an empty server takes, with its logs.
const serverSize = 600 << 20

// checkRoom refuses a drill that would fill the disk of its directory.
func (d *drill) checkRoom() error {
	m := d.Reader.Manifest
	removeLeft(d.Scratch, m.Site)
	need := int64(serverSize)
	for component, times := range map[string]int64{backup.Database: growth, backup.Code: 1, backup.Files: 1} {
		file, _ := m.File(backup.FileOf(component))
		need += file.ContentSize * times
	}
	space, err := tree.SpaceAt(d.Scratch)
	if err != nil {
		return err
	}
	if usable := max(0, space.Free-space.Total/100*keptFree); need > usable {
		return &backup.RefusedError{
			Happened: fmt.Sprintf("the disk of %s has too little room: the drill needs about %s there, and %s may be used", d.Scratch, backup.Bytes(need), backup.Bytes(usable)),
			Means:    fmt.Sprintf("%d %% of it are kept free", keptFree), Do: "make room, or set TMPDIR to a directory on a larger disk",
		}
	}
	return nil
}

const keptFree = 10 // percent
