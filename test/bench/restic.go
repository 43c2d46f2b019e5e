package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// restic is the tool that an administrator would take otherwise, with its own defaults.
type restic struct {
	host        *host
	name        string // of the directory of its cache
	environment []string
}

func (r *restic) present() bool {
	_, err := exec.LookPath("restic")
	return err == nil
}

// init makes a new repository, in a directory or a bucket, for all that follows.
func (r *restic) init(ctx context.Context, repository string, environment ...string) error {
	if !r.present() {
		return nil
	}
	cache := filepath.Join(r.host.dir, r.name+"-cache")
	if err := os.RemoveAll(cache); err != nil {
		return err
	}
	r.environment = append([]string{"RESTIC_REPOSITORY=" + repository, "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=" + cache}, environment...)
	return r.script(ctx, "restic init --quiet").Run()
}

func (r *restic) script(ctx context.Context, text string) *exec.Cmd {
	return r.host.script(ctx, text, r.environment...)
}

// backup leaves out what ours leaves out as well.
func (r *restic) backup(ctx context.Context) (usage, error) {
	return measure(r.script(ctx, `
mariadb-dump --no-defaults -S "$SOCKET" -u "$ADMIN" --single-transaction --quick --routines --triggers --events --hex-blob --skip-dump-date "$DATABASE" |
	restic backup --quiet --stdin --stdin-filename database.sql
restic backup --quiet --exclude "$DATA"/cache --exclude "$DATA"/localcache --exclude "$DATA"/temp --exclude "$DATA"/sessions --exclude "$DATA"/lock --exclude "$DATA"/trashdir "$CODE" "$DATA"`))
}

func (r *restic) check(ctx context.Context) (usage, error) {
	return measure(r.script(ctx, "restic check --quiet --read-data"))
}

func (r *restic) restore(ctx context.Context) (usage, error) {
	return measure(r.script(ctx, createDatabase+`
restic dump --path /database.sql latest /database.sql | mariadb --no-defaults -S "$SOCKET" -u "$ADMIN" "$DATABASE"
restic restore --quiet --path "$CODE" --path "$DATA" --target / latest`))
}
