package restore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/database"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

const trialCheck = "the trial of the restored site beside the live one"

// tryStaged lets the restored code start, as the site's user, on the restored database, while nobody else sees
// either. It is also where the site gets its new address, if it gets one.
func (r *restoration) tryStaged(ctx context.Context) error {
	if r.database != nil {
		if err := r.ensureAccount(ctx); err != nil {
			return err
		}
	}
	if r.code == nil || r.database == nil {
		return nil
	}
	err := error(&control.NotCheckedError{Check: trialCheck, Err: errors.New("there is no PHP for the command line")})
	if r.site.PHP != "" {
		err = r.trial(ctx)
	}
	if r.target.moved != "" && errors.Is(err, control.ErrNotChecked) {
		return fmt.Errorf("the address in the content was not replaced: %v", err) //nolint:errorlint // without it the site is none
	}
	return r.unlessNotMade(err)
}

// trial starts the staged code with a configuration of its own.
func (r *restoration) trial(ctx context.Context) (err error) {
	t, err := r.prepareTrial(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if ended := t.end(context.WithoutCancel(ctx)); err == nil {
			err = ended
		}
	}()
	cli := control.CLI{Site: t.site, Dir: r.code.path(newTree), Run: r.run}
	pending, err := cli.IsPending(ctx)
	if err != nil {
		return fmt.Errorf("the restored site does not start: %w", err)
	}
	if r.pending = pending; pending {
		r.result.Notes = append(r.result.Notes, "the restored site asks for an upgrade, as it did when the backup was made")
	}
	if r.target.moved != "" {
		if err := cli.ReplaceURL(ctx, r.target.moved, r.target.wwwroot); err != nil {
			return err
		}
	}
	return nil
}

// trial is what exists only while the staged site is tried.
type trial struct {
	*restoration
	site  *moodle.Site
	close []func()
}

const (
	trialDir = "trial"
	keptName = "config.php"
)

func (r *restoration) prepareTrial(ctx context.Context) (_ *trial, err error) {
	t := &trial{restoration: r}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.end(context.WithoutCancel(ctx)))
		}
	}()
	password := rand.Text() + "-aA1" // some servers ask for characters of every kind
	if err := r.makeTrialAccount(ctx, password); err != nil {
		return nil, &control.NotCheckedError{Check: trialCheck, Err: err}
	}
	user := r.target.user
	if err := errors.Join(r.code.keep.Mkdir(trialDir, 0o700), r.code.keep.Lchown(trialDir, int(user.UID), int(user.GID))); err != nil {
		return nil, err
	}
	for _, staged := range []*staging{r.code, r.dataroot} {
		if staged == nil {
			continue
		}
		closed, err := staged.letIn(user)
		t.close = append(t.close, closed)
		if err != nil {
			return nil, err
		}
	}
	t.site = t.describe(password)
	return t, t.putConfig()
}

// describe is the staged site: its tables, its data, and caches that go with the trial.
func (t *trial) describe(password string) *moodle.Site {
	site := *t.restoration.site
	site.Dir = t.code.path(newTree)
	site.Environment = nil
	c := &site.Config
	c.DBName = database.StagedName(t.target.database, t.journal.ID)
	c.DBUser, c.DBPass = trialUser(t.journal.ID), config.Secret(password)
	own := t.code.path(trialDir)
	c.CacheDir, c.LocalCacheDir, c.TempDir, c.BackupTempDir = own+"/cache", own+"/localcache", own+"/temp", own+"/temp/backup"
	c.DataRoot, c.WWWRoot = own, t.target.wwwroot
	if t.dataroot != nil {
		c.DataRoot = t.dataroot.path(newTree)
	}
	return &site
}

// trialUser fits into the 32 characters that MySQL allows.
func trialUser(id string) string { return "mxp_" + id }

// makeTrialAccount lets the staged code see the staged tables and nothing else: the site's own account has no
// rights there, and the administrator's must not get into the hands of the site's code.
func (r *restoration) makeTrialAccount(ctx context.Context, password string) error {
	admin, err := administer(r.database.server.Login)
	if err != nil {
		return err
	}
	defer admin.Close()
	schema := dbserver.Quote(strings.NewReplacer("_", `\_`, "%", `\%`).Replace(database.StagedName(r.target.database, r.journal.ID)))
	for _, host := range trialHosts {
		account := "'" + trialUser(r.journal.ID) + "'@'" + host + "'"
		// The statements hold a password that lives for seconds; errors of the server do not repeat it.
		for _, statement := range []string{"CREATE USER " + account + " IDENTIFIED BY '" + password + "'", "GRANT ALL ON " + schema + ".* TO " + account} {
			if _, err := admin.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("make an account for the trial: %s", refusal(err))
			}
		}
	}
	return nil
}

// trialHosts: an anonymous account of localhost would else come before one of everywhere.
var trialHosts = []string{"localhost", "%"}

// dropTrialAccount removes the account of a trial, if there is one.
func dropTrialAccount(ctx context.Context, login moodle.Login, name string) error {
	admin, err := administer(login)
	if err != nil {
		return err
	}
	defer admin.Close()
	for _, host := range trialHosts {
		if _, err := admin.ExecContext(ctx, "DROP USER IF EXISTS '"+name+"'@'"+host+"'"); err != nil {
			return fmt.Errorf("remove the account of the trial: %w", err)
		}
	}
	return nil
}

// putConfig gives the staged code the configuration of the trial, and keeps the one that it will have.
func (t *trial) putConfig() error {
	r := t.restoration
	if err := r.code.keep.Rename(filepath.Join(newTree, keptName), filepath.Join(trialDir, keptName)); err != nil {
		return err
	}
	text := TrialConfig(t.site, r.code.path(trialDir))
	file, err := r.code.root.OpenFile(keptName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Chown(int(r.target.user.UID), int(r.target.user.GID)), file.Close())
}

// end puts the configuration back and removes all that was for the trial.
func (t *trial) end(ctx context.Context) error {
	r := t.restoration
	var errs []error
	if _, err := r.code.keep.Lstat(filepath.Join(trialDir, keptName)); err == nil {
		errs = append(errs, r.code.keep.Rename(filepath.Join(trialDir, keptName), filepath.Join(newTree, keptName)))
	}
	errs = append(errs, r.code.keep.RemoveAll(trialDir), dropTrialAccount(ctx, r.database.server.Login, trialUser(r.journal.ID)))
	for _, shut := range t.close {
		shut()
	}
	return errors.Join(errs...)
}

// TrialConfig is a config.php with what a trial needs and nothing that computes: the site's own may ask its
// surroundings where it is. The configuration of caches in the restored data is not used: it leads to the live
// site's Redis. That of the trial lies in scratch.
func TrialConfig(site *moodle.Site, scratch string) string {
	c := site.Config
	var b strings.Builder
	b.WriteString("<?php\nunset($CFG);\nglobal $CFG;\n$CFG = new stdClass();\n")
	for _, setting := range [][2]string{
		{"dbtype", c.DBType}, {"dblibrary", "native"}, {"dbhost", c.DBHost}, {"dbname", c.DBName}, {"dbuser", c.DBUser}, {"dbpass", c.DBPass.Reveal()},
		{"prefix", c.Prefix}, {"wwwroot", c.WWWRoot}, {"dataroot", c.DataRoot}, {"admin", "admin"}, {"cachedir", c.CacheDir},
		{"localcachedir", c.LocalCacheDir}, {"tempdir", c.TempDir}, {"backuptempdir", c.BackupTempDir}, {"altcacheconfigpath", scratch},
	} {
		fmt.Fprintf(&b, "$CFG->%s = %s;\n", setting[0], phpString(setting[1]))
	}
	port := ""
	if c.DBPort != 0 {
		port = fmt.Sprint(c.DBPort)
	}
	fmt.Fprintf(&b, "$CFG->dboptions = ['dbport' => %s, 'dbsocket' => %s];\n", phpString(port), phpString(c.DBSocket))
	b.WriteString("$CFG->noemailever = true;\n$CFG->directorypermissions = 02770;\nrequire_once(__DIR__ . '/lib/setup.php');\n")
	return b.String()
}

// phpString quotes a text for PHP in single quotes, where only \ and ' need it.
func phpString(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}
