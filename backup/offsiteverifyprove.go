package backup

import (
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // Moodle names content by it
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// tell notes an object that is not as some copies expect it.
func (v *offsiteVerifier) tell(e expected, what string, wrong func(want) bool) {
	f := Finding{File: e.name, What: what}
	for _, w := range e.wants {
		if !wrong(w) {
			continue
		}
		f.Hurts = append(f.Hurts, w.of.id)
		v.mu.Lock()
		if isPoolObject(e.name) {
			v.hurt[w.of.id]++
		} else {
			w.of.bad[path.Base(e.name)] = what
		}
		v.mu.Unlock()
	}
	v.note(f)
}

const otherDigest = "flipped: its SHA-256 is not the one it was sent with"

// prove reads one object to its end. Only what is wrong with the bucket is an error.
func (v *offsiteVerifier) prove(ctx context.Context, e expected) (what string, wrong func(want) bool, err error) {
	all := func(want) bool { return true }
	file, err := v.From.objects.Open(ctx, e.name)
	if errors.Is(err, store.ErrNotFound) {
		return "missing", all, nil
	}
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	raw := newMeter()
	from := io.TeeReader(&watchedReader{ctx: ctx, from: file, add: v.run.Add}, raw)
	content := newMeter()
	name := sha1.New() //nolint:gosec // as above
	var opened error
	if isSealed(e.name) && v.From.readable() {
		opened = decrypt(io.MultiWriter(content, name), from, v.From.identities)
	} else {
		_, opened = io.Copy(io.MultiWriter(content, name), from)
	}
	if _, err := io.Copy(io.Discard, from); err != nil {
		return "", nil, fmt.Errorf("read %s: %w", e.name, err)
	}
	v.countRead(raw.size)
	digest := raw.sum()
	wrong = func(w want) bool { return w.sha256 != "" && w.sha256 != digest }
	if slices.ContainsFunc(e.wants, wrong) {
		return otherDigest, wrong, nil
	}
	if isSealed(e.name) && !v.From.readable() {
		return "", nil, nil
	}
	return v.judge(e, opened, content.sum(), hex.EncodeToString(name.Sum(nil)))
}

// judge holds the content of an object, whose own digest is right, against what it should be.
func (v *offsiteVerifier) judge(e expected, opened error, digest, name string) (what string, wrong func(want) bool, err error) {
	var none *age.NoIdentityMatchError
	if errors.As(opened, &none) {
		v.mu.Lock()
		v.sealed = cmp.Or(v.sealed, opened)
		v.mu.Unlock()
		return "", nil, nil
	}
	own := strings.TrimSuffix(path.Base(e.name), sealedSuffix)
	wrong = func(w want) bool {
		if isPoolObject(e.name) {
			return name != own
		}
		f, named := w.of.manifest.File(own)
		return named && f.SHA256 != digest
	}
	switch {
	case opened != nil:
		return "unreadable: " + opened.Error(), func(want) bool { return true }, nil
	case slices.ContainsFunc(e.wants, wrong) && isPoolObject(e.name):
		return "flipped: its SHA-1 is not its name", wrong, nil
	case slices.ContainsFunc(e.wants, wrong):
		return "flipped: its content is not the one it was made of", wrong, nil
	}
	return "", nil, nil
}

func decrypt(to io.Writer, from io.Reader, identities []age.Identity) error {
	content, err := age.Decrypt(from, identities...)
	if err == nil {
		_, err = io.Copy(to, content)
	}
	return err
}
