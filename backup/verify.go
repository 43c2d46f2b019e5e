package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// VerifyOptions say which backups to verify, and how.
type VerifyOptions struct {
	Dir  string // of all backups
	Site string
	// ID is one backup; empty for all of them. FindToVerify makes one of what a user says.
	ID string
	// ReadData reads all that is stored. Without it a run reads what is small, the newest backup's archives,
	// what was damaged before, and one share of the rest; names and sizes are compared for all.
	ReadData bool
	Clock    func() time.Time
	Logger   *slog.Logger
	At       func(step string) // as in Options
}

// verifier is one verification under way.
type verifier struct {
	VerifyOptions
	store store.Local
	run   Run
	old   verification
	ended time.Time

	subjects []*subject     // all backups, oldest first
	sources  []*contentList // the lists of content files that can be relied on
	hurt     map[string]int64

	findings
	moved usage
}

// subject is one backup as the verification sees it.
type subject struct {
	id       string
	manifest *Manifest // nil if it cannot be read
	wanted   bool
	bad      map[string]string // file to what is wrong with it
}

// Verify proves that the backups are what they were when they were written. Damaged content files are
// moved to quarantine, so that the next backup takes them from the site anew; everything else stays where
// it is and is noted against its backup. It returns a *DamageError with the report if anything was found.
// The caller holds the site's lock and LockPath's.
func Verify(ctx context.Context, o VerifyOptions, run Run) (*Report, error) {
	fillIn(&o.Clock, &o.Logger, &o.At)
	v := &verifier{VerifyOptions: o, store: store.NewDirectory(SiteDir(o.Dir, o.Site)), run: run}
	v.findings = newFindings(o.Logger, v.store.Path(damagedName))
	if err := runSteps(ctx, run, o.At, step{"manifests", v.readManifests}, step{"files", v.readFiles}, step{"pool", v.readPool}, step{"record", v.keep}); err != nil {
		return nil, fmt.Errorf("verify backups of %s: %w", o.Site, err)
	}
	if r := v.report; r.Damaged+r.Foreign > 0 {
		return &r, v.damage(inDirectory, o.Site)
	}
	return &v.report, nil
}

// FindToVerify finds the backup that is meant by an ID or Latest; empty for "" and "all". Other than for a
// restore, the latest one is looked at whether or not something is known against it. ErrNoSuchBackup.
func FindToVerify(ctx context.Context, dir, site, id string) (string, error) {
	s := store.NewDirectory(SiteDir(dir, site))
	names, err := s.Dirs(ctx)
	if err != nil {
		return "", fmt.Errorf("list backups: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !isID(name) })
	all := id == "" || id == "all"
	for _, name := range slices.Backward(names) {
		switch {
		case all:
			return "", nil
		case id == name:
			return name, nil
		case id == Latest:
			if m, err := readManifest(ctx, s, name); err != nil || m.Complete() {
				return name, nil //nolint:nilerr // one that cannot be read is what verify is for
			}
		}
	}
	if all {
		id = "any"
	}
	return "", fmt.Errorf("%w: %s of site %s", ErrNoSuchBackup, id, site)
}

// readManifests looks at what lies where.
func (v *verifier) readManifests(ctx context.Context) (err error) {
	if v.old, err = loadVerification(ctx, v.store); err != nil {
		v.note(Finding{File: verifyName, What: "unreadable: " + err.Error() + "; it is written anew"})
	}
	names, err := v.store.Dirs(ctx)
	if err != nil {
		return err
	}
	for _, id := range names {
		if !isID(id) {
			continue
		}
		s := &subject{id: id, wanted: v.ID == "" || v.ID == id, bad: map[string]string{}}
		v.subjects = append(v.subjects, s)
		if s.wanted {
			v.report.Backups++
		}
		s.manifest, err = readManifest(ctx, v.store, id)
		switch {
		case errors.Is(err, ErrNoSuchBackup):
			v.spoil(s, manifestName, "missing")
		case err != nil:
			v.spoil(s, manifestName, "unreadable: "+err.Error())
		case s.wanted:
			if err := v.lookFor(s); err != nil {
				return err
			}
		}
	}
	if v.report.Share = v.old.Share % Shares; v.ReadData {
		v.report.Share = -1
	}
	if v.ID != "" {
		return nil
	}
	known := func(name string) bool {
		return isID(name) || slices.Contains([]string{"pool", quarantine, ".lock", acceptedName, verifyName, damagedName, offsiteDir, "lost+found"}, name)
	}
	return errors.Join(v.foreign(".", known), v.foreign("pool", func(name string) bool { return name == path.Base(poolName) || name == path.Base(usageName) }))
}

// lookFor finds what should be in the directory of a backup and is not named, and what is there too much.
func (v *verifier) lookFor(s *subject) error {
	for _, component := range s.manifest.Components {
		for _, name := range filesOf[component] {
			if _, named := s.manifest.File(name); !named {
				v.spoil(s, name, "missing: the manifest does not name it")
			}
		}
	}
	return v.foreign(s.id, func(name string) bool {
		_, named := s.manifest.File(name)
		return named || name == manifestName
	})
}

// filesOf are the files that a component cannot do without.
var filesOf = map[string][]string{
	Database: {databaseName}, Files: {archiveNames[Files], listName}, Code: {archiveNames[Code]},
	Config: {archiveNames[Config]}, Logs: {archiveNames[Logs]}, System: {archiveNames[System]},
}

// foreign names what lies in a directory and does not belong there. Remains of a run that was killed are
// ours: the next backup removes them.
func (v *verifier) foreign(dir string, known func(string) bool) error {
	entries, err := os.ReadDir(v.store.Path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); !known(name) && !isRemains(name) {
			v.note(Finding{File: path.Join(dir, name), What: "foreign"})
		}
	}
	return nil
}

// spoil notes damage of a file of one backup.
func (v *verifier) spoil(s *subject, name, what string) {
	v.mu.Lock()
	s.bad[name] = what
	v.mu.Unlock()
	if s.wanted {
		v.note(Finding{File: path.Join(s.id, name), What: what, Hurts: []string{s.id}})
	}
}

// keep writes down what is known now.
func (v *verifier) keep(ctx context.Context) error {
	v.ended = v.Clock().UTC().Truncate(time.Millisecond)
	now := verification{
		Format: Format, Ended: v.ended, Intact: v.report.Damaged+v.report.Foreign == 0, LastSuccess: v.old.LastSuccess,
		Share: v.old.Share, Read: map[string]uint8{}, Bad: map[string]map[string]string{}, Hurt: v.hurt,
	}
	if now.Intact {
		now.LastSuccess = &v.ended
	}
	read := uint8(allShares)
	if !v.ReadData {
		read = 1 << v.report.Share
		if v.ID == "" {
			now.Share = (v.report.Share + 1) % Shares
		}
	}
	for _, s := range v.subjects {
		bad := s.bad
		if !s.wanted { // most of its files were not looked at
			maps.Copy(bad, v.old.Bad[s.id])
		}
		switch {
		case len(bad) > 0:
			now.Bad[s.id] = bad
		case v.hurt[s.id] > 0:
		case s.wanted:
			now.Read[s.id] = v.old.Read[s.id] | read
		default:
			now.Read[s.id] = v.old.Read[s.id]
		}
	}
	return saveJSON(ctx, v.store, verifyName, now)
}

// stamp tells files of the same name in quarantine apart.
func (v *verifier) stamp() string { return v.Clock().UTC().Format(job.IDLayout) }
