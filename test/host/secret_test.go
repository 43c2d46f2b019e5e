package host

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// forms are the ways in which a password could be written down.
func forms(password string) map[string]string {
	quoted, _ := json.Marshal(password)
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(password)
	return map[string]string{
		"plain": password, "PHP": stand.PHPString(password), "Go": strconv.Quote(password), "JSON": string(quoted), "JSON without HTML": strings.TrimSpace(plain.String()),
		"HTML": html.EscapeString(password), "query": url.QueryEscape(password), "path": url.PathEscape(password), "userinfo": url.UserPassword("", password).String()[1:],
		"option file":  strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password),
		"SQL":          strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password),
		"SQL doubled":  strings.ReplaceAll(password, `'`, `''`),
		"shell":        strings.ReplaceAll(password, `'`, `'\''`),
		"base64":       base64.StdEncoding.EncodeToString([]byte(password)),
		"base64 URL":   base64.RawURLEncoding.EncodeToString([]byte(password)),
		"hexadecimal":  hex.EncodeToString([]byte(password)),
		"letters only": "abcdefghijklmnopqrstuvwxyz", // whatever an encoding does to the rest
	}
}

// finder looks for the forms of a password.
type finder map[string][]byte

func newFinder(password string) finder {
	f := finder{}
	for name, form := range forms(password) {
		f[name] = []byte(form)
	}
	return f
}

// in names the form in which the password stands in the content.
func (f finder) in(content []byte) (form string, found bool) {
	for name, form := range f {
		if bytes.Contains(content, form) {
			return name, true
		}
	}
	return "", false
}

// check fails the test if the password stands there.
func (f finder) check(t *testing.T, where, content string) {
	t.Helper()
	if form, found := f.in([]byte(content)); found {
		t.Errorf("the password stands in %s (%s)", where, form)
	}
}

// checkTree looks into every file below a directory and at its name. Compressed ones are unpacked; unless says which
// may hold the password.
func (f finder) checkTree(t *testing.T, dir string, unless func(path string) bool) (files int) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f.check(t, "the name of "+path, path)
		if !entry.Type().IsRegular() || unless(path) {
			return nil
		}
		files++
		content, err := os.ReadFile(path)
		if err == nil && strings.HasSuffix(path, ".zst") {
			content, err = exec.CommandContext(t.Context(), "zstd", "-dcq", path).Output()
		}
		f.check(t, path, string(content))
		return err
	}))
	return files
}

// TestFinder: a test that finds nothing has to be able to find something.
func TestFinder(t *testing.T) {
	f := newFinder(hardPassword)
	for name, form := range forms(hardPassword) {
		if _, found := f.in([]byte("x" + form + "y")); !found {
			t.Errorf("the form %s is not found", name)
		}
	}
	if form, found := f.in([]byte("Access denied for user 'lms'@'localhost' (using password: YES)")); found {
		t.Errorf("found as %s where it is not", form)
	}
}

// TestSecrets goes through everything with a database password of every printable character, of an account that reads
// along, dumps and is backed up itself. It is read from config.php and stands nowhere else.
func TestSecrets(t *testing.T) {
	h := theHost(t)
	// Without an account for backups root is tried, which this server does not let in over TCP: the site's own follows.
	i := h.install(t, object{"sites": []object{{"name": "lms", "dir": h.lms.CodeDir}}})
	f := newFinder(hardPassword)
	watch := watchProcesses(f)
	t.Cleanup(func() { watch.end() })

	say := func(want int, args ...string) {
		t.Helper()
		o := i.run(t, append(args, "--log.level=debug")...)
		if o.code != want {
			t.Errorf("%q ended with %d, want %d: %s", args, o.code, want, o.stderr)
		}
		f.check(t, fmt.Sprintf("the output of %q", args), o.stdout+o.stderr)
	}
	say(0, "backup", "--dry-run")
	say(0, "backup")
	e := i.serve(t, "--log.level=debug", "--web.enable-pprof")
	eventually(t, func() error { return e.shows("certificate_probe_success", "target", h.webs[1].Address) })
	e.scrape(t, "/metrics").want(t, 1, "database_up")
	id := strings.TrimSuffix(filepath.Base(filepath.Dir(newest(t, filepath.Join(i.backups, "lms", "*", "manifest.json")))), "/")
	for _, args := range [][]string{
		{"backup", "list"}, {"backup", "list", "--json"}, {"backup", "show", id}, {"backup", "show", "latest", "--json"}, {"jobs"}, {"jobs", "--json"},
		{"config", "check"}, {"config", "show"}, {"config", "grants"}, {"probe"},
	} {
		say(0, args...)
	}
	say(2, "status") // cron of a dump stands still
	say(2, "status", "--json")
	for _, path := range []string{"/", "/metrics", "/runbooks/", "/-/healthy", "/-/ready", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2"} {
		a, err := e.ask(http.MethodGet, path)
		must(t, err)
		f.check(t, path, a.body+fmt.Sprint(a.header))
	}
	e.stop(t)
	f.check(t, "the exporter's log", e.log.String())
	watch.end()
	t.Logf("%d looks at processes; programs seen: %v", watch.looks, watch.programs())
	if !watch.saw("mariadb-dump") || !watch.saw("php") || !watch.saw("moodle-exporter") {
		t.Errorf("the programs of a backup were not seen at work, only %v", watch.programs())
	}
	for _, leak := range watch.found() {
		t.Errorf("the password stands in %s", leak)
	}

	// A backup holds config.php itself, in two archives.
	holders := []string{"config.tar.zst", "code.tar.zst"}
	if files := f.checkTree(t, i.dir, func(path string) bool { return slices.Contains(holders, filepath.Base(path)) }); files < 20 {
		t.Errorf("only %d files looked at", files)
	}
	for _, holder := range holders {
		archive := filepath.Join(i.backups, "lms", id, holder)
		with := unpack(t, archive)
		f.check(t, holder+" beside config.php", unpack(t, archive, "--exclude=config.php"))
		if _, found := f.in([]byte(with)); !found {
			t.Errorf("there is no config.php in %s", holder)
		}
		if holder == "config.tar.zst" && !strings.Contains(with, "CREATE USER") {
			t.Error("the database account is not in the backup")
		}
	}
	optionFilesGone(t)
}

// unpack returns the contents of an archive one after the other.
func unpack(t *testing.T, archive string, options ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "tar", append([]string{"--zstd", "-xOf", archive}, options...)...).Output()
	must(t, err)
	return string(out)
}

// TestProcesses: the watch finds what it is there for, in the arguments and in the environment.
func TestProcesses(t *testing.T) {
	watch := watchProcesses(newFinder(hardPassword))
	t.Cleanup(watch.end)
	careless := exec.CommandContext(t.Context(), "sleep", "60")
	careless.Env = []string{"MYSQL_PWD=" + hardPassword}
	must(t, careless.Start())
	talkative := exec.CommandContext(t.Context(), "sh", "-c", "read x", "--password="+hardPassword)
	input, err := talkative.StdinPipe()
	must(t, err, talkative.Start())
	eventually(t, func() error {
		if !watch.has("environ of sleep") || !watch.has("cmdline of sh") {
			return errors.New("not found")
		}
		return nil
	})
	must(t, input.Close(), careless.Process.Kill())
	_, _ = careless.Wait(), talkative.Wait()
}

// TestSecretsInErrors: what goes wrong with a password says so without it.
func TestSecretsInErrors(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	f := newFinder(hardPassword)
	wrong := filepath.Join(stand.TempDir(t), "wrong.password")
	must(t, os.WriteFile(wrong, []byte("x"+hardPassword+"\n"), 0o600))
	php := stand.PHPString(hardPassword)
	account := object{"user": "lms", "password_file": wrong}
	tests := map[string]struct {
		database object
		config   [2]string // replaced in config.php
		code     int       // of a backup
	}{
		"wrong in the configuration": {database: object{"admin": account, "monitor": account}, code: 12},
		"wrong in config.php":        {config: [2]string{php, stand.PHPString("x" + hardPassword)}, code: 12},
		"quote missing":              {config: [2]string{php, php[:len(php)-1]}, code: 1},
		"password as a word":         {config: [2]string{php, "'x' abcdefghijklmnopqrstuvwxyz"}, code: 1},
		"thrown":                     {config: [2]string{php + ";", php + "; throw new Exception($CFG->dbpass);"}, code: 1},
		"printed":                    {config: [2]string{php + ";", php + "; echo $CFG->dbpass; error_log($CFG->dbpass);"}, code: 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			site := object{"name": "lms", "dir": h.lms.CodeDir}
			if test.database != nil {
				site["database"] = test.database
			}
			i := h.install(t, object{"sites": []object{site}})
			if test.config[0] != "" {
				edit(t, filepath.Join(h.lms.CodeDir, "config.php"), test.config[0], test.config[1])
			}
			for args, want := range map[string]int{"backup": test.code, "probe": 0, "config check": min(test.code, 1), "config grants": 0, "status": 2, "jobs": 0} {
				o := i.run(t, append(strings.Fields(args), "--log.level=debug")...)
				f.check(t, "the output of "+args, o.stdout+o.stderr)
				if args == "backup" && o.code != want {
					t.Errorf("%s ended with %d, want %d: %s", args, o.code, want, o.stderr)
				}
			}
			e := i.serve(t, "--log.level=debug")
			f.check(t, "the page", e.get(t, "/")+e.get(t, "/metrics"))
			e.stop(t)
			f.check(t, "the log", e.log.String())
			f.checkTree(t, i.dir, func(path string) bool {
				// The third holds the web server's log, into which such a site writes its password itself.
				return slices.Contains([]string{"config.tar.zst", "code.tar.zst", "logs.tar.zst"}, filepath.Base(path))
			})
		})
	}
}

// newest is the last match by name.
func newest(t *testing.T, pattern string) string {
	t.Helper()
	matches, err := filepath.Glob(pattern)
	must(t, err)
	if len(matches) == 0 {
		t.Fatalf("nothing matches %s", pattern)
	}
	return matches[len(matches)-1]
}

// optionFilesGone looks for what a client of the database may have been given to log in with: nothing is left in the
// places for temporary files.
func optionFilesGone(t *testing.T) {
	t.Helper()
	for _, dir := range []string{os.TempDir(), "/dev/shm", "/run/moodle-exporter"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			if !entry.Type().IsRegular() {
				continue
			}
			if content, err := os.ReadFile(path); err == nil && bytes.Contains(content, []byte(hardPassword[1:20])) {
				t.Errorf("left over: %s", path)
			}
		}
	}
}
