package host

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// offsite is a bucket and how an installation copies to it.
type offsite struct {
	server         *stand.MinIOServer
	settings       object
	recipient      string
	identity       string // file with the private key
	access, secret string // files of a key that may delete
}

// openBucket starts storage with a bucket, a key that may only add and another that may delete.
func openBucket(t *testing.T, dir string, options stand.MinIOOptions) *offsite {
	t.Helper()
	stand.Need(t, stand.MinIO)
	server, err := stand.StartMinIO(t.Context(), dir, options)
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	must(t, server.MakeBucket(t.Context(), "copies", stand.BucketOptions{}))
	o := &offsite{server: server, identity: filepath.Join(dir, "identity")}
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(content+"\n"), 0o600))
		return path
	}
	access, secret, err := server.Key(t.Context(), "copies", stand.RightsToAdd...)
	must(t, err)
	o.settings = object{"endpoint": server.Endpoint, "bucket": "copies", "prefix": "moodle",
		"access_key_file": file("access", access), "secret_key_file": file("secret", secret)}
	if options.TLS {
		o.settings["ca_file"] = server.CAFile
	}
	access, secret, err = server.Key(t.Context(), "copies", stand.RightsToRemove...)
	must(t, err)
	o.access, o.secret = file("access-prune", access), file("secret-prune", secret)
	identity, err := age.GenerateX25519Identity()
	must(t, err)
	file("identity", identity.String())
	o.recipient = identity.Recipient().String()
	return o
}

// shows is the page after a fresh privileged look.
func (i *installation) shows(t *testing.T) page {
	t.Helper()
	i.mustRun(t, "probe")
	e := i.serve(t)
	defer e.stop(t)
	return e.scrape(t, "/metrics")
}

// TestOffsite: each backup is copied by itself, encrypted; the commands find, prove and prune the copies; a
// bucket that refuses fails the copy and not the backup, and the exporter shows all of it.
func TestOffsite(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.install(t, nil)
	bucket := openBucket(t, i.dir, stand.MinIOOptions{TLS: true})
	settings := i.settings["backup"].(object)
	settings["encrypt_to"] = []string{bucket.recipient}
	expect := func(code int, says string, args ...string) string {
		t.Helper()
		o := i.run(t, args...)
		if said := o.stdout + o.stderr; o.code != code || !strings.Contains(said, says) {
			t.Errorf("%q ended with %d, want %d and %q: %s", args, o.code, code, says, said)
		}
		return o.stdout
	}
	expect(12, "no off-site place is configured", "backup", "copy")
	expect(12, "no off-site place is configured", "backup", "list", "--from=offsite")
	i.mustRun(t, "backup", "--site=lms")
	settings["offsite"] = bucket.settings
	must(t, i.write())
	p := i.shows(t)
	p.want(t, 1, "backup_offsite_enabled", "site", "lms")
	before, err := p.value("backup_stored_bytes", "site", "lms")
	must(t, err)
	p.want(t, before, "backup_offsite_pending_bytes", "site", "lms")

	i.mustRun(t, "backup", "--site=lms") // copies both
	p = i.shows(t)
	p.want(t, 0, "backup_offsite_pending_bytes", "site", "lms")
	p.want(t, 1, "job_last_result", "site", "lms", "name", "copy")
	p.near(t, float64(time.Now().Unix()), 300, "backup_offsite_last_success_timestamp_seconds", "site", "lms")

	var manifests []struct{ ID string }
	must(t, json.Unmarshal([]byte(expect(0, "", "backup", "list", "--from=offsite", "--json")), &manifests))
	if len(manifests) != 2 {
		t.Fatalf("%d copies", len(manifests))
	}
	first, second := manifests[0].ID, manifests[1].ID
	expect(0, "Backup "+second, "backup", "show", "latest", "--from=offsite")
	expect(10, "no such backup", "backup", "show", "20010101T000000Z", "--from=offsite", "--site=lms")
	expect(0, "", "backup", "verify", "--from=offsite")
	expect(0, "", "backup", "verify", "--from=offsite", "--read-data")
	expect(0, "", "backup", "verify", "latest", "--from=offsite", "--read-data", "--identity="+bucket.identity)
	i.shows(t).want(t, 1, "job_last_result", "site", "lms", "name", "offsite-verify")
	wrong, err := age.GenerateX25519Identity()
	must(t, err, os.WriteFile(filepath.Join(i.dir, "other"), []byte(wrong.String()), 0o600))
	expect(12, "cannot be decrypted", "backup", "verify", "--from=offsite", "--read-data", "--identity="+filepath.Join(i.dir, "other"))

	settings["keep"] = object{"last": 1}
	must(t, i.write())
	expect(0, first, "backup", "prune", "--from=offsite", "--dry-run")
	expect(12, "may not delete", "backup", "prune", "--from=offsite")
	expect(0, first, "backup", "prune", "--from=offsite", "--access-key-file="+bucket.access, "--secret-key-file="+bucket.secret)
	i.mustRun(t, "backup", "copy") // what no rule keeps is not brought back
	must(t, json.Unmarshal([]byte(expect(0, "", "backup", "list", "--from=offsite", "--json")), &manifests))
	if len(manifests) != 1 || manifests[0].ID != second {
		t.Errorf("left are %v", manifests)
	}
	expect(0, "", "backup", "verify", "--from=offsite", "--read-data")

	success, err := i.shows(t).value("backup_offsite_last_success_timestamp_seconds", "site", "lms")
	must(t, err)
	settings["keep"] = object{"last": 5}
	secret := filepath.Join(i.dir, "secret")
	was, err := os.ReadFile(secret)
	must(t, err, i.write(), os.WriteFile(secret, []byte("revoked"), 0o600), os.WriteFile(filepath.Join(h.lms.CodeDir, "offsite.txt"), []byte(second), 0o644))
	t.Cleanup(func() { must(t, os.Remove(filepath.Join(h.lms.CodeDir, "offsite.txt"))) })
	expect(1, "is made, but it is not off-site", "backup", "--site=lms")
	p = i.shows(t)
	p.want(t, 1, "job_last_result", "site", "lms", "name", "backup")
	p.want(t, 0, "job_last_result", "site", "lms", "name", "copy")
	p.want(t, success, "backup_offsite_last_success_timestamp_seconds", "site", "lms")
	if pending, err := p.value("backup_offsite_pending_bytes", "site", "lms"); err != nil || pending == 0 {
		t.Errorf("pending: %v, %v", pending, err)
	}
	if out, err := exec.CommandContext(t.Context(), "grep", "-rlF", "-e", strings.TrimSpace(string(was)), i.state, i.backups).Output(); err == nil {
		t.Errorf("the secret key stands in %s", out)
	}
	must(t, os.WriteFile(secret, was, 0o600))
	i.mustRun(t, "backup", "copy")
	i.shows(t).want(t, 0, "backup_offsite_pending_bytes", "site", "lms")
}
