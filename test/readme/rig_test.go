// Package readme tries what README.md, the pages in docs and the runbooks say: each command is run by the real binary on a small site
// with a bucket, each flag, link and target must exist, and each piece of configuration must be one.
package readme

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// rig is an installation on a host with one site.
type rig struct {
	dir, program, config, broken string
	job                          string            // the first one
	words                        map[string]string // what stands for itself in the pages, and what it is here
}

// start makes a site, its installation and a bucket. The configuration is the one that README shows, with the names and
// places of this host put in.
func start(t *testing.T, program string, shown string) *rig {
	t.Helper()
	stand.Need(t, stand.MariaDB, stand.PHP, stand.Zstd, stand.MinIO)
	dir := stand.TempDir(t)
	r := &rig{dir: dir, program: program, config: filepath.Join(dir, "moodle-exporter.yml"), broken: filepath.Join(dir, "broken.yml")}
	db, err := stand.StartMariaDB(t.Context(), dir, stand.MariaDBOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	site, err := stand.NewSite(t.Context(), dir, db, stand.SiteOptions{Name: "lms", Socket: true})
	// Nobody is at a quiz: an update would wait for them.
	must(t, err, db.Exec(t.Context(), "DELETE FROM `"+site.Database+"`."+site.Prefix+"quiz_attempts"))
	identity, err := age.GenerateX25519Identity()
	must(t, err)
	r.file(t, "key.txt", identity.String())
	r.file(t, "broken.yml", "sitse: []")

	shown = strings.ReplaceAll(shown, "age1…", identity.Recipient().String())
	shown = strings.NewReplacer(r.bucket(t)...).Replace(shown)
	account := "{user: " + db.RootUser() + ", socket: " + db.Socket + "}"
	r.file(t, "moodle-exporter.yml", shown+
		"  dir: "+filepath.Join(dir, "backups")+"\n  config_paths: [/etc/os-release]\n  log_paths: [/etc/os-release]\n  system_paths: [/etc/os-release]\n"+
		"services: []\nsites: [{name: lms, dir: "+site.CodeDir+", user: "+site.Web.Name+", database: {monitor: "+account+", admin: "+account+"}}]\n"+
		"maintenance: {tmp: {roots: ["+filepath.Join(dir, "tmp")+"]}, logs: {roots: ["+filepath.Join(dir, "log")+"]}}\n")
	r.words = map[string]string{
		"S": "lms", "SITE": "lms", "FILE": filepath.Join(dir, "key.txt"), "key.txt": filepath.Join(dir, "key.txt"), "DIR": filepath.Join(dir, "exported"),
		"/etc/prometheus/moodle": filepath.Join(dir, "rules"), "/var/lib/grafana/dashboards/moodle": filepath.Join(dir, "grafana"),
		"URL": "https://new.example.org", "REF": "MOODLE_405_STABLE", "COMPONENT": "mod_checklist", "COMPONENT=ZIP": "mod_checklist=" + r.plugin(t),
	}
	return r
}

// bucket starts storage with the bucket that README names, a key that may add to it and not delete, and one that may. It
// returns what to put in the place of what.
func (r *rig) bucket(t *testing.T) []string {
	t.Helper()
	server, err := stand.StartMinIO(t.Context(), r.dir, stand.MinIOOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	const bucket = "moodle-backups"
	must(t, server.MakeBucket(t.Context(), bucket, stand.BucketOptions{}))
	key := func(name string, rights []string) (accessFile, secretFile string) {
		deadline := time.Now().Add(longest)
		access, secret, err := server.Key(t.Context(), bucket, rights...)
		for err != nil && time.Now().Before(deadline) { // storage that answers may not be ready to be administered
			access, secret, err = server.Key(t.Context(), bucket, rights...)
		}
		must(t, err)
		return r.file(t, name+".access", access), r.file(t, name+".secret", secret)
	}
	key("prune", stand.RightsToRemove) // of which README knows the files by these names
	access, secret := key("s3", stand.RightsToAdd)
	return []string{
		"https://s3.example.org", server.Endpoint,
		"/etc/moodle-exporter/s3.access", access, "/etc/moodle-exporter/s3.secret", secret,
	}
}

// plugin makes the archive of one.
func (r *rig) plugin(t *testing.T) string {
	t.Helper()
	var content bytes.Buffer
	archive := zip.NewWriter(&content)
	file, err := archive.Create("checklist/version.php")
	must(t, err)
	_, err = file.Write([]byte("<?php\ndefined('MOODLE_INTERNAL') || die();\n$plugin->component = 'mod_checklist';\n$plugin->version = 2026010100;\n$plugin->requires = 2022041900;\n"))
	must(t, err, archive.Close())
	return r.file(t, "mod_checklist.zip", content.String())
}

func (r *rig) file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(r.dir, name)
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// fill puts what there is here in the place of the words that stand for it. ID is that of a backup, or of a job.
func (r *rig) fill(form []string, job bool) []string {
	filled := make([]string, len(form))
	for i, word := range form {
		flag, value, found := strings.Cut(word, "=")
		switch {
		case word == "ID" && job:
			filled[i] = r.job
		case r.words[word] != "":
			filled[i] = r.words[word]
		case found && strings.HasPrefix(flag, "-") && r.words[value] != "":
			filled[i] = flag + "=" + r.words[value]
		default:
			filled[i] = word
		}
	}
	return filled
}

// longest is how long any command may take before it counts as hung.
const longest = time.Minute

// run runs the program, of which nothing of the machine itself is read or written.
func (r *rig) run(t *testing.T, config string, args ...string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	command := exec.CommandContext(ctx, r.program, append(r.flags(config), args...)...)
	command.Dir = r.dir
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), string(out)
}

func (r *rig) flags(config string) []string {
	return []string{"--config.file=" + config, "--state.dir=" + filepath.Join(r.dir, "state"), "--path.dbus-socket=" + filepath.Join(r.dir, "no-bus")}
}

// begin makes the first backup, and remembers how it is called, and the job that made it.
func (r *rig) begin(t *testing.T) {
	t.Helper()
	if code, said := r.run(t, r.config, "backup"); code != 0 {
		t.Fatalf("the first backup ended with %d: %s", code, said)
	}
	first := func(args ...string) (record struct{ Site, Job, ID string }) {
		var records []struct{ Site, Job, ID string }
		code, said := r.run(t, r.config, args...)
		if err := json.Unmarshal([]byte(said), &records); err != nil || len(records) == 0 {
			t.Fatalf("%q ended with %d: %v: %s", args, code, err, said)
		}
		return records[0]
	}
	job := first("jobs", "list", "--json")
	r.job = job.Site + "/" + job.Job + "/" + job.ID
	for _, word := range []string{"ID", "OLD_ID", "NEW_ID"} {
		r.words[word] = first("backup", "list", "--json").ID
	}
}

// serve runs the exporter until it is ready.
func (r *rig) serve(t *testing.T, args []string) {
	t.Helper()
	port, err := stand.FreePort()
	must(t, err)
	dir := filepath.Join(r.dir, "serve"+strconv.Itoa(port))
	must(t, os.Mkdir(dir, 0o700))
	server, err := stand.StartExporter(t.Context(), dir, stand.ExporterOptions{Binary: r.program, Port: port, Args: append(r.flags(r.config), args...)})
	must(t, err)
	must(t, server.Close())
}
