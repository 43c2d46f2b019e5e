package backup

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// OffsiteVerifyOptions say which copies to verify, and how.
type OffsiteVerifyOptions struct {
	Dir  string // of all backups on this host, where what is found is written down
	Site string
	From *Offsite
	// ID is one backup; empty for all of them.
	ID string
	// ReadData reads all objects. Without it their names and sizes are compared, manifests and lists are
	// read, and what was damaged before.
	ReadData bool
	Clock    func() time.Time
	Logger   *slog.Logger
	At       func(step string) // as in Options
}

// offsiteVerifier is one verification of copies under way.
type offsiteVerifier struct {
	OffsiteVerifyOptions
	findings
	run   Run
	local *store.Directory
	dir   string
	there *listing

	old     verification
	copied  copiedState
	copies  []*remoteCopy     // all, oldest first
	objects []*object         // that are damaged, of those that are told before the others
	faults  map[string]string // what is wrong with lists, by object
	hurt    map[string]int64
	sealed  error // what kept an encrypted object with the right digest from being opened
}

// remoteCopy is one copy as the verification sees it.
type remoteCopy struct {
	*subject
	suffix     string   // of its contents
	list       *os.File // its list of content files, as it is there
	ciphertext *os.File // if it is encrypted
}

// VerifyOffsite proves that the copies are what they were when they were sent. Nothing in the bucket is
// changed; what is damaged is written down here, and the next copy sends it again. Without an identity
// encrypted objects are proven by the digests of their lists of ciphertext alone. It returns an
// *DamageError with the report if anything was found.
func VerifyOffsite(ctx context.Context, o OffsiteVerifyOptions, run Run) (*Report, error) {
	fillIn(&o.Clock, &o.Logger, &o.At)
	v := &offsiteVerifier{OffsiteVerifyOptions: o, run: run, local: store.NewDirectory(SiteDir(o.Dir, o.Site)), hurt: map[string]int64{}, faults: map[string]string{}}
	v.findings = newFindings(o.Logger, v.local.Path(offsiteDamagedName))
	defer v.close()
	if err := runSteps(ctx, run, o.At, step{"look", v.look}, step{"lists", v.readLists}, step{"objects", v.readObjects}, step{"record", v.keep}); err != nil {
		return nil, fmt.Errorf("verify the copies of %s: %w", o.Site, err)
	}
	if r := v.report; r.Damaged+r.Foreign > 0 {
		return &r, v.damage(inBucket, o.Site)
	}
	return &v.report, nil
}

func (v *offsiteVerifier) close() {
	v.there.close()
	for _, c := range v.copies {
		for _, file := range []*os.File{c.list, c.ciphertext} {
			if file != nil {
				_ = file.Close()
			}
		}
	}
}

// look finds out what there is, and holds the files of backups against their manifests by name.
func (v *offsiteVerifier) look(ctx context.Context) (err error) {
	if v.dir, err = makeOffsiteDir(v.local); err != nil {
		return err
	}
	if v.old, err = loadOffsiteVerification(ctx, v.local); err != nil {
		v.Logger.Warn("what the last verification of the copies has found is forgotten", "err", err)
	}
	if v.copied, _, err = loadCopied(ctx, v.local, v.From.Place); err != nil {
		v.Logger.Warn("what was copied is not known", "err", err)
	}
	v.there, err = v.From.list(ctx, v.dir, nil, func(name string) {
		if v.ID == "" {
			v.note(Finding{File: name, What: "foreign"})
		}
	})
	if err != nil {
		return err
	}
	found := false
	for _, id := range v.ids() {
		if found = found || id == v.ID; err == nil {
			err = v.lookAt(ctx, id)
		}
	}
	if err == nil && v.ID != "" && !found {
		err = fmt.Errorf("%w: there is no copy of %s", ErrNoSuchBackup, v.ID)
	}
	if err == nil && v.ID == "" {
		v.findForeign()
	}
	return err
}

// ids are the backups that are there, and those that were.
func (v *offsiteVerifier) ids() []string {
	ids := append(v.there.ids(), v.copied.Copied...)
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (v *offsiteVerifier) lookAt(ctx context.Context, id string) error {
	c := &remoteCopy{subject: &subject{id: id, wanted: v.ID == "" || v.ID == id, bad: map[string]string{}}}
	_, m, err := v.From.readRaw(ctx, id)
	_, instructed := v.there.size(path.Join(id, restoreName))
	switch {
	case unreadable(err):
		v.spoil(c, manifestName, "unreadable: "+err.Error())
	case err != nil:
		return err
	case m == nil && !instructed && !slices.Contains(v.copied.Copied, id):
		return nil // a copy that has not come to its end, or files that others refer to
	case m == nil:
		v.spoil(c, manifestName, "missing")
	}
	c.manifest = m
	v.copies = append(v.copies, c)
	if c.wanted {
		v.report.Backups++
	}
	if m == nil {
		return nil
	}
	for _, component := range m.Components {
		for _, name := range filesOf[component] {
			if _, named := m.File(name); !named {
				v.spoil(c, name, "missing: the manifest does not name it")
			}
		}
	}
	if _, listed := v.there.size(path.Join(id, ciphertextName)); listed {
		c.suffix = sealedSuffix
		return nil
	}
	for _, f := range m.Files {
		_, plain := v.there.size(objectOf(m, f, ""))
		if _, sealed := v.there.size(objectOf(m, f, sealedSuffix)); sealed && !plain {
			c.suffix = sealedSuffix
			v.spoil(c, ciphertextName, "missing")
			return nil
		}
	}
	return nil
}

// findForeign names what lies with backups and belongs to none.
func (v *offsiteVerifier) findForeign() {
	known := map[string]bool{}
	for _, c := range v.copies {
		if c.manifest != nil {
			for _, f := range c.manifest.Files {
				known[objectOf(c.manifest, f, "")] = true
			}
		}
	}
	for _, id := range v.there.ids() {
		for name := range v.there.files[id] {
			own := strings.TrimSuffix(name, sealedSuffix)
			if !known[path.Join(id, own)] && !isBackupFile(own) {
				v.note(Finding{File: path.Join(id, name), What: "foreign"})
			}
		}
	}
}

// isBackupFile says whether a backup may have a file of that name. What only a backup that was removed has
// had is no news: pruning takes it away in time.
func isBackupFile(name string) bool {
	if staysPlain(name) {
		return true
	}
	for _, names := range filesOf {
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// spoil notes damage of a file of one copy.
func (v *offsiteVerifier) spoil(c *remoteCopy, name, what string) {
	v.mu.Lock()
	c.bad[name] = what
	v.objects = append(v.objects, &object{name: path.Join(c.id, name)})
	v.mu.Unlock()
	if c.wanted {
		v.note(Finding{File: path.Join(c.id, name), What: what, Hurts: []string{c.id}})
	}
}

// keep writes down what is known now.
func (v *offsiteVerifier) keep(ctx context.Context) error {
	ended := v.Clock().UTC().Truncate(time.Millisecond)
	now := verification{
		Format: Format, Ended: ended, Intact: v.report.Damaged+v.report.Foreign == 0, LastSuccess: v.old.LastSuccess,
		Read: map[string]uint8{}, Bad: map[string]map[string]string{}, Hurt: map[string]int64{},
	}
	if now.Intact {
		now.LastSuccess = &ended
	}
	for _, c := range v.copies {
		bad, hurt, read := c.bad, v.hurt[c.id], v.old.Read[c.id]
		if !c.wanted {
			bad, hurt = v.old.Bad[c.id], v.old.Hurt[c.id]
		} else if v.ReadData {
			read = allShares
		}
		if len(bad) > 0 {
			now.Bad[c.id] = bad
		}
		if hurt > 0 {
			now.Hurt[c.id] = hurt
		}
		if len(bad) == 0 && hurt == 0 {
			now.Read[c.id] = read
		}
	}
	return saveJSON(ctx, v.local, offsiteVerifyName, now)
}
