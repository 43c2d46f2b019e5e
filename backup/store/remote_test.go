package store_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// bucket is in the one MinIO that the tests of this package share, and closed by TestMain.
const bucket = "backups"

var shared = sync.OnceValues(func() (*stand.MinIOServer, error) {
	dir, remove, err := stand.MakeTempDir()
	if err != nil {
		return nil, err
	}
	server, err := stand.StartMinIO(context.Background(), dir, stand.MinIOOptions{})
	if err == nil {
		err = server.MakeBucket(context.Background(), bucket, stand.BucketOptions{})
	}
	atEnd = func() { _ = errors.Join(server.Close(), remove()) }
	return server, err
})

var atEnd = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	atEnd()
	os.Exit(code)
}

func minioServer(t *testing.T) *stand.MinIOServer {
	t.Helper()
	stand.Need(t, stand.MinIO)
	server, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// optionsFor are those of a bucket, with a prefix that no other test has and pauses that take no time.
func optionsFor(server *stand.MinIOServer) store.S3Options {
	return store.S3Options{
		Endpoint: server.Endpoint, Bucket: bucket, Prefix: "copies/" + strings.ToLower(rand.Text()), Region: "us-east-1",
		AccessKey: config.Secret(server.AccessKey), SecretKey: config.Secret(server.SecretKey), CAFile: server.CAFile,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

func newS3(t *testing.T, options store.S3Options) *store.S3 {
	t.Helper()
	s, err := store.NewS3(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

func seal(t *testing.T, inner store.Remote) *store.Sealed {
	identity := newIdentity(t)
	return store.NewSealed(inner, []age.Recipient{identity.Recipient()}, []age.Identity{identity}, func(name string) bool { return strings.HasSuffix(name, ".json") })
}

// everyStore runs a test on each kind of store, each empty at first.
func everyStore(t *testing.T, test func(t *testing.T, s store.Remote)) {
	directory := func(t *testing.T) store.Remote { d, _ := newDirectory(t); return d }
	s3 := func(t *testing.T) store.Remote { return newS3(t, optionsFor(minioServer(t))) }
	for name, made := range map[string]func(*testing.T) store.Remote{
		"directory": directory, "s3": s3,
		"sealed directory": func(t *testing.T) store.Remote { return seal(t, directory(t)) },
		"sealed s3":        func(t *testing.T) store.Remote { return seal(t, s3(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, made(t))
		})
	}
}

// pattern is content of n bytes in which no two parts are alike.
func pattern(n int64) io.Reader { return io.LimitReader(&counter{}, n) }

type counter struct{ at uint64 }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c.at ^ c.at>>8*3 ^ c.at>>16*7 ^ c.at>>24)
		c.at++
	}
	return len(p), nil
}

// read is length and digest of what the store holds.
func read(t *testing.T, s store.Store, name string) (store.Stored, error) {
	t.Helper()
	file, err := s.Open(t.Context(), name)
	if err != nil {
		return store.Stored{}, err
	}
	defer file.Close()
	return digest(file)
}

func digest(content io.Reader) (store.Stored, error) {
	h := sha256.New()
	n, err := io.Copy(h, content)
	return store.Stored{Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

// wantPattern fails the test unless name holds n bytes of the pattern.
func wantPattern(t *testing.T, s store.Store, name string, n int64) {
	t.Helper()
	got, err := read(t, s, name)
	want, _ := digest(pattern(n))
	if err != nil || got != want {
		t.Errorf("%s: read %+v, %v, want %+v", name, got, err, want)
	}
}

// names lists a store; broken is what each returns.
func names(t *testing.T, s store.Store, prefix string) (found []string) {
	t.Helper()
	if err := s.List(t.Context(), prefix, func(i store.Info) error { found = append(found, i.Name); return nil }); err != nil {
		t.Error(err)
	}
	return found
}

func put(t *testing.T, s store.Store, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := s.Save(t.Context(), name, int64(len(name)), strings.NewReader(name)); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", name, err))
		}
	}
}
