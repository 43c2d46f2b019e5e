package store_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// The size of the ciphertext is known before its first byte: a directory refuses one that comes out otherwise.
func TestSealedSizeIsExact(t *testing.T) {
	t.Parallel()
	directory, _ := newDirectory(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	one, two := newIdentity(t), newIdentity(t)
	const chunk = 64 << 10
	sizes := []int64{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2*chunk + 1}
	for range 10 {
		sizes = append(sizes, rand.Int64N(mebi))
	}
	for _, keys := range []struct {
		recipients []age.Recipient
		identity   age.Identity
	}{
		{[]age.Recipient{one.Recipient()}, one},
		{[]age.Recipient{one.Recipient(), two.Recipient()}, two},
		{[]age.Recipient{hybrid.Recipient()}, hybrid},
	} {
		s := store.NewSealed(directory, keys.recipients, []age.Identity{keys.identity}, func(string) bool { return false })
		for _, size := range sizes {
			stored, err := s.SaveSummed(t.Context(), "x", size, iotest.HalfReader(pattern(size)))
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if raw, err := read(t, directory, "x"); err != nil || raw != stored {
				t.Errorf("%d bytes: stored %+v, said %+v, %v", size, raw, stored, err)
			}
			wantPattern(t, s, "x", size)
		}
	}
}

func TestSealedHidesContents(t *testing.T) {
	t.Parallel()
	directory, dir := newDirectory(t)
	s := seal(t, directory)
	secret := strings.Repeat("hunter2 ", 1000)
	for _, name := range []string{"x/database.sql", "x/manifest.json"} {
		if n, err := s.Save(t.Context(), name, int64(len(secret)), strings.NewReader(secret)); err != nil || n != int64(len(secret)) {
			t.Fatal(n, err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if plain := strings.HasSuffix(name, ".json"); bytes.Contains(raw, []byte("hunter2")) != plain || bytes.HasPrefix(raw, []byte("age-encryption.org/v1\n")) == plain {
			t.Errorf("%s is %q", name, raw[:60])
		}
	}
}

func TestSealedOpensForItsIdentitiesAlone(t *testing.T) {
	t.Parallel()
	directory, dir := newDirectory(t)
	right, wrong := newIdentity(t), newIdentity(t)
	with := func(identities ...age.Identity) *store.Sealed {
		return store.NewSealed(directory, []age.Recipient{right.Recipient()}, identities, func(string) bool { return false })
	}
	const size = 200_000
	if _, err := with().Save(t.Context(), "x", size, pattern(size)); err != nil {
		t.Fatal(err)
	}
	wantPattern(t, with(wrong, right), "x", size)
	for name, s := range map[string]*store.Sealed{"--identity=FILE": with(), "other keys": with(wrong)} {
		_, err := s.Open(t.Context(), "x")
		if !errors.Is(err, store.ErrSealed) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), wrong.String()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := with().Open(t.Context(), "nowhere"); !errors.Is(err, store.ErrSealed) {
		t.Error(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"cut off": raw[:len(raw)-1], "cut off at a chunk": raw[:len(raw)-(size%(64<<10))-16], "longer": append(bytes.Clone(raw), 0),
		"flipped": append(append(bytes.Clone(raw[:100_000]), raw[100_000]^1), raw[100_001:]...), "empty": nil,
		"flipped header": append([]byte{raw[0] ^ 1}, raw[1:]...), "not sealed at all": []byte("plain"),
	} {
		if err := os.WriteFile(filepath.Join(dir, "x"), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, with(right), "x"); err == nil {
			t.Errorf("%s: read %+v", name, got)
		}
	}
}

// What the bucket holds opens with age alone.
func TestSealedIsPlainAge(t *testing.T) {
	t.Parallel()
	s3 := newS3(t, optionsFor(minioServer(t)))
	identity := newIdentity(t)
	s := store.NewSealed(s3, []age.Recipient{identity.Recipient()}, nil, func(string) bool { return false })
	stored, err := s.SaveNew(t.Context(), "x", 9*mebi, pattern(9*mebi))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := read(t, s3, "x"); err != nil || raw != stored {
		t.Errorf("stored %+v, said %+v, %v", raw, stored, err)
	}
	file, err := s3.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content, err := age.Decrypt(file, identity)
	if err != nil {
		t.Fatal(err)
	}
	got, err := digest(content)
	if want, _ := digest(pattern(9 * mebi)); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestKeysOfAge(t *testing.T) {
	t.Parallel()
	identity := newIdentity(t)
	path := filepath.Join(t.TempDir(), "key")
	write := func(content string, mode os.FileMode) {
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Identities(path); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	write("# created: today\n"+identity.String()+"\n", 0o600)
	if identities, err := store.Identities(path); err != nil || len(identities) != 1 {
		t.Error(identities, err)
	}
	write(identity.String(), 0o640)
	if _, err := store.Identities(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
	for _, bad := range []string{"", identity.String() + "X", identity.Recipient().String(), hex.EncodeToString([]byte(identity.String()))} {
		write(bad, 0o600)
		if _, err := store.Identities(path); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if recipients, err := store.Recipients([]string{identity.Recipient().String(), newIdentity(t).Recipient().String()}); err != nil || len(recipients) != 2 {
		t.Error(recipients, err)
	}
	for _, bad := range []string{identity.String(), "", "age1x"} {
		if _, err := store.Recipients([]string{bad}); err == nil || bad == identity.String() && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
