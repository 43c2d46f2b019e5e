package stand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// ErrNoFixtures says that the dumps of real sites are not on this machine. They are not part of
// the repository; outside CI a caller may go on with the stand-in schema (see [NewSite]).
var ErrNoFixtures = errors.New("the fixture dumps are not here (set MOODLE_EXPORTER_FIXTURES to their directory)")

// Fixtures returns the directory with the dumps of real sites: $MOODLE_EXPORTER_FIXTURES, else
// shared/fixtures beside the repository or one of its parents. The error wraps ErrNoFixtures.
func Fixtures() (string, error) {
	if dir := os.Getenv("MOODLE_EXPORTER_FIXTURES"); dir != "" {
		if _, err := os.Stat(dir); err != nil {
			return "", fmt.Errorf("%w: %w", ErrNoFixtures, err)
		}
		return dir, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoFixtures, err)
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		candidate := filepath.Join(dir, "shared", "fixtures")
		if _, err := os.Stat(filepath.Join(candidate, "moodle-4.5-db.sql.gz")); err == nil {
			return candidate, nil
		}
		if dir == filepath.Dir(dir) {
			return "", ErrNoFixtures
		}
	}
}

// NeedFixtures ends a test that has no meaning without the dumps of real sites: it fails under CI
// and skips elsewhere, saying what is lost. Prefer SiteOptions.Fixture, which falls back.
func NeedFixtures(t testing.TB) {
	t.Helper()
	_, err := Fixtures()
	switch {
	case err == nil:
	case underCI():
		t.Fatal(err)
	default:
		t.Skipf("%s not tested: %v", t.Name(), err)
	}
}

// LoadFixture loads the dump of a real site, "4.5" (table prefix m45_) or "5.1" (mdl_), into the
// schema database, which it creates if need be. Its times are those of the dump: cron, for
// example, last ran when it was taken. The error wraps ErrNoFixtures where the dumps are missing.
func LoadFixture(ctx context.Context, db *MariaDBServer, version, database string) error {
	dir, err := Fixtures()
	if err != nil {
		return err
	}
	err = db.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteIdentifier(database)+" CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
	if err != nil {
		return err
	}
	return db.LoadSQL(ctx, database, filepath.Join(dir, "moodle-"+version+"-db.sql.gz"))
}

// UnpackDataroot unpacks the moodledata of the 4.5 fixture site, 9 MB, into the directory dir.
func UnpackDataroot(ctx context.Context, dir string) error {
	fixtures, err := Fixtures()
	if err != nil {
		return err
	}
	web, err := WebUser()
	if err != nil {
		return err
	}
	if err := makeOwned(dir, web, 0o770); err != nil {
		return err
	}
	archive := filepath.Join(fixtures, "moodle-4.5-moodledata.tar.gz")
	if err := run(ctx, Account{UID: os.Getuid()}, "tar", "-xzf", archive, "-C", dir, "--strip-components=1", "--no-same-owner"); err != nil {
		return fmt.Errorf("unpack the fixture's dataroot: %w", err)
	}
	return chownTree(dir, web)
}
