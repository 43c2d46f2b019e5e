package proof_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// fewCopies are in a bucket before the next one is taken: all of them are read again and again.
const fewCopies = 5

// copies are made of what the peaceful backup of the attack before has left. Its key may not delete.
var copies = &victim{name: "copy", words: []string{"backup", "copy"}, keeps: kept}

// canCopy says whether the exporter copies backups to other storage at all.
func (s *site) canCopy() bool {
	return s.command("backup", "copy", "--help").Run() == nil
}

// openBucket starts S3-compatible storage, and writes a configuration that copies to it.
func (s *site) openBucket(t *testing.T) {
	t.Helper()
	var err error
	s.storage, err = stand.StartMinIO(t.Context(), s.dir, stand.MinIOOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, s.storage.Close()) })
	s.makeBucket(t)
}

// makeBucket makes the next bucket, with a key and a configuration for it.
func (s *site) makeBucket(t *testing.T) {
	t.Helper()
	s.bucket = fmt.Sprintf("backups-%d", s.serial)
	must(t, s.storage.MakeBucket(t.Context(), s.bucket, stand.BucketOptions{}))
	access, secret, err := s.storage.Key(t.Context(), s.bucket, stand.RightsToAdd...)
	must(t, err)
	files := map[string]string{}
	for name, content := range map[string]string{"access": access, "secret": secret} {
		files[name] = filepath.Join(s.dir, name+".key")
		must(t, os.WriteFile(files[name], []byte(content+"\n"), 0o600))
	}
	s.offsite = s.configure(t, "offsite.yml", kept, fmt.Sprintf("  offsite: {endpoint: %q, bucket: %s, prefix: proof, access_key_file: %q, secret_key_file: %q}\n",
		s.storage.Endpoint, s.bucket, files["access"], files["secret"]))
}

// changeBucket goes on to the next bucket when there is much in this one.
func (s *site) changeBucket(t *testing.T) {
	t.Helper()
	if len(s.inBucket(t)) > fewCopies {
		s.makeBucket(t)
		s.inPeace(t, copies)
	}
}

// inBucket are the IDs of the copies, oldest first.
func (s *site) inBucket(t *testing.T) (ids []string) {
	t.Helper()
	var manifests []struct{ ID string }
	must(t, json.Unmarshal(s.output(t, "backup", "list", "--from=offsite", "--json", "--config.file="+s.offsite), &manifests))
	for _, m := range manifests {
		ids = append(ids, m.ID)
	}
	return ids
}

// allIn proves that the bucket holds the copies of all these backups.
func (s *site) allIn(t *testing.T, ids ...string) {
	t.Helper()
	there := s.inBucket(t)
	for _, id := range ids {
		if !slices.Contains(there, id) {
			t.Errorf("there is no copy of backup %s; in the bucket are %v", id, there)
		}
	}
}

// verifyCopies reads every copy in the bucket to its last byte.
func (s *site) verifyCopies(t *testing.T) {
	t.Helper()
	s.output(t, "backup", "verify", "all", "--read-data", "--from=offsite", "--config.file="+s.offsite)
}

// nothingBegun: no upload that was never finished takes room in the bucket.
func (s *site) nothingBegun(t *testing.T) {
	t.Helper()
	for upload := range s.storage.Client().ListIncompleteUploads(t.Context(), s.bucket, "", true) {
		must(t, upload.Err)
		t.Errorf("left over in the bucket: a part of %s", upload.Key)
	}
}
