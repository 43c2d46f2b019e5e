package drill_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/drill"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// rig is a backup of a site whose host is gone: nothing but the backup is left.
type rig struct {
	dir      string
	manifest *backup.Manifest
	blob     string // a content file of the backup
	log      bytes.Buffer
	ctx      context.Context //nolint:containedctx // of one drill; nil for the test's
}

func newRig(t *testing.T) *rig {
	t.Helper()
	stand.Need(t, stand.MariaDB, stand.PHP, stand.Zstd)
	dir := stand.TempDir(t)
	db, err := stand.StartMariaDB(t.Context(), dir, stand.MariaDBOptions{})
	must(t, err)
	site, err := stand.NewSite(t.Context(), dir, db, stand.SiteOptions{Socket: true})
	must(t, err)
	must(t, db.Exec(t.Context(), "USE `"+site.Database+"`", "CREATE VIEW `"+site.Database+"`.v AS SELECT id FROM `"+site.Database+"`.`"+site.Prefix+"user`",
		"CREATE TRIGGER `"+site.Database+"`.t BEFORE INSERT ON `"+site.Database+"`.`"+site.Prefix+"course` FOR EACH ROW SET NEW.fullname = TRIM(NEW.fullname)"))
	entry := config.Site{Name: "lms", Dir: site.CodeDir, User: site.Web.Name}
	entry.Database.Admin = config.Account{User: db.RootUser(), Socket: db.Socket}
	finder := &moodle.Finder{Root: "/", Group: -1, Logger: slog.New(slog.DiscardHandler)}
	found, problems := finder.Find(t.Context(), []config.Site{entry})
	if len(found) != 1 {
		t.Fatal(problems)
	}
	r := &rig{dir: dir}
	r.manifest, err = backup.Create(t.Context(), backup.Options{Site: found[0], Host: "gone", Version: "test", Config: config.Backup{
		Dir: filepath.Join(dir, "backup"), ConfigPaths: []string{"/nowhere"}, LogPaths: []string{"/nowhere"}, SystemPaths: []string{"/nowhere"},
	}}, stand.NewQuietRun())
	var missing *backup.MissingError
	if err != nil && !errors.As(err, &missing) {
		t.Fatal(err)
	}
	must(t, db.Close())
	must(t, os.RemoveAll(site.CodeDir))
	must(t, os.RemoveAll(site.Dataroot))
	blobs, err := filepath.Glob(filepath.Join(dir, "backup/lms/pool/filedir/*/*/*"))
	must(t, err)
	r.blob = blobs[0]
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) drill(t *testing.T, change func(*drill.Options)) (*drill.Result, *stand.QuietRun, error) {
	t.Helper()
	r.log.Reset()
	scratch := filepath.Join(r.dir, "scratch")
	must(t, os.MkdirAll(scratch, 0o711))
	must(t, os.Chmod(scratch, 0o711))
	o := drill.Options{
		Reader: backup.NewReader(store.NewDirectory(filepath.Join(r.dir, "backup/lms")), r.manifest), Scratch: scratch, PHP: "/usr/bin/php",
		Logger: slog.New(slog.NewTextHandler(&r.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	run := stand.NewQuietRun()
	result, err := drill.Drill(cmp.Or(r.ctx, t.Context()), o, run)
	left, readErr := os.ReadDir(scratch)
	must(t, readErr)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, pgid := range run.Groups() {
		if _, err := os.Stat("/proc/" + strconv.Itoa(pgid)); err == nil {
			t.Errorf("process %d is left behind", pgid)
		}
	}
	return result, run, err
}

func TestDrillProvesABackup(t *testing.T) {
	r := newRig(t)
	result, run, err := r.drill(t, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.log.String())
	}
	if want := []string{"preflight", "server", "database", "files", "content", "start"}; !slices.Equal(run.Steps(), want) {
		t.Errorf("steps %v, want %v", run.Steps(), want)
	}
	if result.Tables != int64(len(r.manifest.Database.Rows)) || result.Blobs != r.manifest.Filedir.Blobs || result.Bytes != r.manifest.Filedir.Size || len(result.NotMade) > 0 || result.Took <= 0 {
		t.Errorf("%+v", result)
	}
	if done, total := run.Progress(); done == 0 || done > total {
		t.Errorf("%d of %d bytes", done, total)
	}

	t.Run("without PHP it says what it could not prove", func(t *testing.T) {
		result, _, err := r.drill(t, func(o *drill.Options) { o.PHP = "" })
		if err != nil || len(result.NotMade) != 1 {
			t.Errorf("%+v, %v", result, err)
		}
	})
	for _, at := range []string{"server", "database", "files"} {
		t.Run("interrupted after "+at+" it leaves nothing", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r.ctx = ctx
			_, _, err := r.drill(t, func(o *drill.Options) {
				o.At = func(step string) {
					if step == at {
						cancel()
					}
				}
			})
			r.ctx = nil
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	t.Run("root is never who starts the code", func(t *testing.T) {
		if _, _, err := r.drill(t, func(o *drill.Options) { o.User = "root" }); err == nil {
			t.Error("it was")
		}
	})
	t.Run("a damaged content file is named", func(t *testing.T) {
		content, err := os.ReadFile(r.blob)
		must(t, err)
		must(t, os.WriteFile(r.blob, append([]byte("x"), content...), 0o600))
		_, _, err = r.drill(t, nil)
		must(t, os.WriteFile(r.blob, content, 0o600))
		if err == nil || !strings.Contains(err.Error(), filepath.Base(r.blob)) {
			t.Error(err)
		}
	})
	for _, name := range []string{"database.sql.zst", "code.tar.zst", "dataroot.tar.zst", "filedir.list.zst"} {
		t.Run("flipped "+name, func(t *testing.T) {
			path := filepath.Join(r.dir, "backup/lms", r.manifest.ID, name)
			content, err := os.ReadFile(path)
			must(t, err)
			flipped := bytes.Clone(content)
			flipped[len(flipped)/2] ^= 1
			must(t, os.WriteFile(path, flipped, 0o600))
			_, _, err = r.drill(t, nil)
			must(t, os.WriteFile(path, content, 0o600))
			var corrupt *backup.CorruptError
			if !errors.As(err, &corrupt) {
				t.Errorf("taken for good: %v", err)
			}
		})
	}
}
