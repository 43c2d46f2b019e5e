package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

const bucket = "bench"

// storage is a MinIO of this host, with an empty place for each round.
type storage struct {
	server *stand.MinIOServer
	round  int
	config string // of ours
	restic *restic
}

// copyContests are the copies of a first backup, and of the one after it. None where a part is missing.
func (h *host) copyContests(ctx context.Context, first, repeat *contest) ([]*contest, error) {
	if missing := stand.Missing(stand.MinIO); len(missing) > 0 || !h.can("backup", "copy") {
		fmt.Println("(copies to other storage are left out: MinIO is missing, or this moodle-exporter has no command backup copy)")
		return nil, nil
	}
	s := &storage{config: filepath.Join(h.dir, "offsite.yml"), restic: &restic{host: h, name: "restic-offsite"}}
	var err error
	if s.server, err = stand.StartMinIO(ctx, h.dir, stand.MinIOOptions{}); err != nil {
		return nil, err
	}
	h.closers = append(h.closers, s.server.Close)
	if err := s.server.MakeBucket(ctx, bucket, stand.BucketOptions{}); err != nil {
		return nil, err
	}
	for name, key := range map[string]string{"access": s.server.AccessKey, "secret": s.server.SecretKey} {
		if err := os.WriteFile(filepath.Join(h.dir, name+".key"), []byte(key+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	var contests []*contest
	for _, backup := range []*contest{first, repeat} {
		c := &contest{title: "off-site: " + backup.title, rounds: h.rounds, ours: &contender{name: "moodle-exporter backup copy, of the backup above",
			run: func(ctx context.Context) (usage, error) {
				return measure(h.exporterWith(ctx, s.config, "backup", "copy"))
			}}}
		if h.restic.present() {
			c.others = []*contender{{name: "restic backup straight to the bucket", run: s.restic.backup}}
		}
		contests = append(contests, c)
	}
	contests[0].prepare = func(ctx context.Context) error { return h.emptyPlace(ctx, s) }
	return contests, nil
}

// emptyPlace points both to a place in the bucket where nothing is.
func (h *host) emptyPlace(ctx context.Context, s *storage) error {
	s.round++
	place := fmt.Sprintf("round-%d", s.round)
	backup := h.settings["backup"].(object)
	backup["offsite"] = object{"endpoint": s.server.Endpoint, "bucket": bucket, "prefix": place,
		"access_key_file": filepath.Join(h.dir, "access.key"), "secret_key_file": filepath.Join(h.dir, "secret.key")}
	defer delete(backup, "offsite")
	if err := h.writeConfig(s.config); err != nil {
		return err
	}
	return s.restic.init(ctx, "s3:"+s.server.Endpoint+"/"+bucket+"/restic-"+place, "AWS_ACCESS_KEY_ID="+s.server.AccessKey, "AWS_SECRET_ACCESS_KEY="+s.server.SecretKey)
}
