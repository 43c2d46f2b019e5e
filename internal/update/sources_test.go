package update_test

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/update"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// pack makes a .tgz as Moodle publishes it, with its SHA-256 beside it.
func (r *rig) pack(release stand.Release) string {
	r.t.Helper()
	dir, path := filepath.Join(r.dir, "unpacked"), filepath.Join(r.dir, "moodle-latest.tgz")
	r.must(stand.WriteRelease(dir, release))
	file, err := os.Create(path)
	r.must(err)
	digest := sha256.New()
	compressed := gzip.NewWriter(io.MultiWriter(file, digest))
	archive := tar.NewWriter(compressed)
	r.must(filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		header := &tar.Header{Name: filepath.Join("moodle", name), Mode: 0o644, Uid: 4711, Gid: 4711, Typeflag: tar.TypeReg}
		if entry.IsDir() {
			header.Typeflag, header.Mode, header.Name = tar.TypeDir, 0o777, header.Name+"/"
			return archive.WriteHeader(header)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header.Size = int64(len(content))
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err = archive.Write(content)
		return err
	}))
	r.must(errors.Join(archive.Close(), compressed.Close(), file.Close(), os.RemoveAll(dir)))
	r.must(os.WriteFile(path+".sha256", []byte(fmt.Sprintf("%x  %s\n", digest.Sum(nil), filepath.Base(path))), 0o600))
	return path
}

// TestMoveToPublic goes from 4.5 to 5.1 by a release archive: the web server serves another directory then, and plugins lie
// elsewhere. Archives without a checksum, or with another one, are refused.
func TestMoveToPublic(t *testing.T) {
	r := newRig(t)
	r.must(os.RemoveAll(filepath.Join(r.site.CodeDir, ".git")))
	r.write(filepath.Join(r.site.CodeDir, "robots.txt"), "User-agent: *\n")
	r.write(filepath.Join(r.site.CodeDir, "vendor/autoload.php"), "<?php\n")
	r.own(r.site.CodeDir)
	o := r.options()
	// mod_chat and others are gone in 5.1, as its own list of deleted plugins says.
	// Its upgrade leaves a table other than that of a new site, as it does with what a fork has added.
	o.To = r.pack(stand.Release{Layout: "5.1", Deleted: gone(t, r), Upgrade: `sql_run("ALTER TABLE {upgrade_log} ADD mxp_left bigint");`})

	var refusal *backup.RefusedError
	sum, err := os.ReadFile(o.To + ".sha256")
	r.must(err)
	r.must(os.WriteFile(o.To+".sha256", []byte(strings.Repeat("0", 64)+"  moodle-latest.tgz\n"), 0o600))
	if _, err := r.update(o); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "should have") {
		t.Errorf("error: %v", err)
	}
	r.must(os.Remove(o.To + ".sha256"))
	if _, err := r.update(o); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "SHA-256 is not known") {
		t.Errorf("error: %v", err)
	}
	r.must(os.WriteFile(o.To+".sha256", sum, 0o600))

	// Behind a web server that knows nothing of public/, it is refused.
	o.NginxFile = filepath.Join(r.dir, "nowhere.conf")
	r.write(o.NginxFile, "http { server { root "+r.site.CodeDir+"; } }\n")
	if _, err := r.update(o); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "directory public") {
		t.Fatalf("error: %v", err)
	}
	r.nothingLeft()

	// mod_survey is gone in 5.1. The templates in its table are no activities, which every site has.
	o.NginxFile = r.options().NginxFile
	r.sql("INSERT INTO " + r.table("course_modules") + " (course, module, instance) SELECT 1, id, 7 FROM " + r.table("modules") + " WHERE name = 'survey'")
	if _, err := r.update(o); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "does not bring mod_survey any more, and 1 activities") {
		t.Fatalf("error: %v", err)
	}
	r.sql("DELETE FROM " + r.table("course_modules") + " WHERE instance = 7")
	result, err := r.update(o)
	r.must(err)
	r.ownersAsBefore()
	if page := r.page(); page != http.StatusOK || !strings.HasPrefix(r.setting("release"), "5.1") {
		t.Errorf("page %d, release %s", page, r.setting("release"))
	}
	for _, name := range []string{"public/mod/standin/version.php", "public/robots.txt", "vendor/autoload.php", "config.php"} {
		if _, err := os.Lstat(filepath.Join(r.site.CodeDir, name)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"mod", "version.php", "robots.txt"} {
		if _, err := os.Lstat(filepath.Join(r.site.CodeDir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	if len(result.NotMade) > 0 {
		t.Errorf("checks that were not made: %v", result.NotMade)
	}
	if notes := strings.Join(result.Notes, "\n"); !strings.Contains(notes, "nothing that the code needs is missing: upgrade_log;") {
		t.Errorf("notes: %q", result.Notes)
	}
	r.nothingLeft()
}

// gone are the plugins that the stand-in's 4.5 has and its 5.1 has not.
func gone(t *testing.T, r *rig) (components []string) {
	dir := filepath.Join(r.dir, "look")
	r.must(stand.WriteRelease(dir, stand.Release{Layout: "5.1"}))
	defer func() { _ = os.RemoveAll(dir) }()
	for component := range plugins(t, r.site.CodeDir) {
		if _, there := plugins(t, dir)[component]; !there && component != "mod_standin" {
			components = append(components, component)
		}
	}
	return components
}

// zipped makes a plugin's archive.
func (r *rig) zipped(files map[string]string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, "plugin.zip")
	file, err := os.Create(path)
	r.must(err)
	archive := zip.NewWriter(file)
	for name, content := range files {
		to, err := archive.Create(name)
		r.must(err)
		_, err = to.Write([]byte(content))
		r.must(err)
	}
	r.must(errors.Join(archive.Close(), file.Close()))
	return path
}

func pluginVersion(component, version string) string {
	return "<?php\ndefined('MOODLE_INTERNAL') || die();\n$plugin->component = '" + component + "';\n$plugin->version = " + version + ";\n$plugin->requires = 2024100100;\n"
}

// TestPlugin puts a newer version of a plugin into the code, and leaves Moodle as it is.
func TestPlugin(t *testing.T) {
	r := newRig(t)
	before := r.state()
	wrong := map[string]map[string]string{
		"leads out":      {"standin/version.php": pluginVersion("mod_standin", "2026010100"), "standin/../../../x.php": "<?php"},
		"is another one": {"other/version.php": pluginVersion("mod_other", "2026010100")},
		"is none":        {"standin/readme.txt": "nothing"},
		"is two":         {"standin/version.php": pluginVersion("mod_standin", "2026010100"), "second/x.php": "<?php"},
		"needs more":     {"standin/version.php": strings.Replace(pluginVersion("mod_standin", "2026010100"), "2024100100", "2099010100", 1)},
	}
	for _, name := range tried([]string{"leads out", "needs more"}, "is another one", "is none", "is two") {
		o := r.options()
		o.Plugins = []update.Plugin{{Component: "mod_standin", File: r.zipped(wrong[name])}}
		if _, err := r.update(o); err == nil {
			t.Errorf("an archive that %s was put in", name)
		}
		r.nothingLeft()
	}
	r.same(before, r.state())

	o := r.options()
	o.Plugins = []update.Plugin{{Component: "mod_standin", File: r.zipped(map[string]string{"standin/version.php": pluginVersion("mod_standin", "2026010100"), "standin/lang/en/x.php": "<?php"})}}
	_, err := r.update(o)
	r.must(err)
	if version := r.query("SELECT value FROM " + r.table("config_plugins") + " WHERE plugin = 'mod_standin' AND name = 'version'"); version != "2026010100" {
		t.Errorf("the database has version %s of it", version)
	}
	if after := r.state(); after.version != before.version || after.page != http.StatusOK {
		t.Errorf("Moodle %s, page %d", after.version, after.page)
	}
	if status := r.git(r.site.CodeDir, "status", "--porcelain", "--untracked-files=no"); status != "" {
		t.Errorf("git status: %s", status)
	}
	r.nothingLeft()
}

// TestDatabaseOnly does what the old script did: upgrade.php on code that somebody has put there by hand.
func TestDatabaseOnly(t *testing.T) {
	r := newRig(t)
	o := r.options()
	o.Update.Source = "none"
	result, err := r.update(o)
	r.must(err)
	if !result.Plan.UpToDate {
		t.Error("there is nothing to do, and it was done")
	}
	r.must(stand.WriteRelease(r.site.CodeDir, newer))
	r.own(r.site.CodeDir)
	o = r.options()
	o.Update.Source = "none"
	// WriteRelease brings no plugins of others.
	r.sql("DELETE FROM " + r.table("config_plugins") + " WHERE plugin = 'mod_standin'")
	_, err = r.update(o)
	r.must(err)
	if version := r.setting("version"); version+".00" != newer.Version && version != newer.Version {
		t.Errorf("version %s", version)
	}
	r.nothingLeft()
}
