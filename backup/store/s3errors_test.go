package store_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// calls are one of each kind.
func calls(t *testing.T, s store.Remote) map[string]error {
	t.Helper()
	_, statErr := s.Stat(t.Context(), "x")
	_, openErr := s.Open(t.Context(), "x")
	_, saveErr := s.Save(t.Context(), "y", 5, pattern(5))
	_, newErr := s.SaveNew(t.Context(), "z", 5, pattern(5))
	_, largeErr := s.Save(t.Context(), "large", 9*mebi, pattern(9*mebi))
	_, dirsErr := s.Dirs(t.Context())
	return map[string]error{
		"stat": statErr, "open": openErr, "save": saveErr, "new": newErr, "large": largeErr, "dirs": dirsErr,
		"list": s.List(t.Context(), "", func(store.Info) error { return nil }), "remove": s.Remove(t.Context(), "x"),
	}
}

// What an administrator got wrong is named, at once, and without telling the keys.
func TestMistakes(t *testing.T) {
	t.Parallel()
	server := minioServer(t)
	tls, err := stand.StartMinIO(t.Context(), stand.TempDir(t), stand.MinIOOptions{TLS: true, Region: "eu-test-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tls.Close() })
	foreign := filepath.Join(t.TempDir(), "ca.pem")
	if err := stand.WriteCertificate(foreign, foreign+".key", stand.CertificateOptions{}); err != nil {
		t.Fatal(err)
	}
	const wrong = "hunter2hunter2hunter2"
	for name, test := range map[string]struct {
		server *stand.MinIOServer
		change func(*store.S3Options)
		want   error
		words  string
	}{
		"wrong secret":      {server, func(o *store.S3Options) { o.SecretKey = wrong }, store.ErrKey, "secret_key_file"},
		"unknown key":       {server, func(o *store.S3Options) { o.AccessKey = wrong }, store.ErrKey, "access_key_file"},
		"no such bucket":    {server, func(o *store.S3Options) { o.Bucket = "nowhere" }, store.ErrNoBucket, "create the bucket"},
		"wrong region":      {tls, func(o *store.S3Options) { o.Region = "us-east-1" }, store.ErrRegion, "backup.offsite.region"},
		"unknown authority": {tls, func(o *store.S3Options) { o.CAFile = "" }, store.ErrTLS, "ca_file"},
		"other authority":   {tls, func(o *store.S3Options) { o.CAFile = foreign }, store.ErrTLS, "ca_file"},
		"plain to TLS":      {tls, func(o *store.S3Options) { o.Endpoint = "http://" + tls.Address }, store.ErrTLS, "https://"},
		"TLS to plain":      {server, func(o *store.S3Options) { o.Endpoint = server.Address }, store.ErrTLS, "endpoint"},
		"no such host":      {server, func(o *store.S3Options) { o.Endpoint = "http://nowhere.invalid" }, store.ErrUnreachable, "endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := optionsFor(test.server)
			if test.server == tls {
				options.Region = "eu-test-1"
			}
			test.change(&options)
			for call, err := range calls(t, newS3(t, options)) {
				if name == "plain to TLS" && err != nil && call != "list" && call != "dirs" {
					continue // Whoever sends before it listens, or asks for the head of an answer, does not hear why.
				}
				if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.words) {
					t.Errorf("%s: %v", call, err)
				}
				for _, secret := range []config.Secret{options.AccessKey, options.SecretKey} {
					if err != nil && strings.Contains(err.Error(), secret.Reveal()) {
						t.Errorf("%s tells a key: %v", call, err)
					}
				}
			}
		})
	}
	put(t, newS3(t, optionsWithBucket(t, tls)), "x")
}

func optionsWithBucket(t *testing.T, server *stand.MinIOServer) store.S3Options {
	t.Helper()
	if err := server.MakeBucket(t.Context(), bucket, stand.BucketOptions{}); err != nil {
		t.Fatal(err)
	}
	options := optionsFor(server)
	options.Region = "" // found out
	return options
}

// The storage itself judges the date of the request, which it does before it looks at the signature.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	for _, wrong := range []time.Duration{time.Hour, -2 * time.Hour} {
		options := optionsFor(minioServer(t))
		options.Now = func() time.Time { return time.Now().Add(wrong) }
		options.Wrap = func(trip http.RoundTripper) http.RoundTripper {
			return roundTrip(func(request *http.Request) (*http.Response, error) {
				request.Header.Set("X-Amz-Date", options.Now().UTC().Format("20060102T150405Z"))
				return trip.RoundTrip(request)
			})
		}
		words := map[bool]string{true: "this host's clock is 1h0m", false: "the storage's clock is "}[wrong > 0]
		for call, err := range calls(t, newS3(t, options)) {
			if !errors.Is(err, store.ErrClock) || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v", call, err)
			}
		}
	}
}

func TestKeyOfFewRights(t *testing.T) {
	t.Parallel()
	server := minioServer(t)
	for name, test := range map[string]struct {
		rights  []string
		allowed []string
	}{
		"to add":    {stand.RightsToAdd, []string{"stat", "open", "save", "new", "large", "dirs", "list"}},
		"to remove": {stand.RightsToRemove, []string{"stat", "open", "save", "new", "large", "dirs", "list", "remove"}},
		"to look":   {[]string{"s3:ListBucket"}, []string{"dirs", "list"}},
		"to write":  {[]string{"s3:PutObject"}, []string{"save", "new", "large"}},
	} {
		options := optionsFor(server)
		put(t, newS3(t, options), "x")
		access, secret, err := server.Key(t.Context(), bucket, test.rights...)
		if err != nil {
			t.Fatal(err)
		}
		options.AccessKey, options.SecretKey = config.Secret(access), config.Secret(secret)
		got := calls(t, newS3(t, options))
		for _, call := range test.allowed {
			if got[call] != nil {
				t.Errorf("%s: %s: %v", name, call, got[call])
			}
			delete(got, call)
		}
		for call, err := range got {
			if !errors.Is(err, store.ErrDenied) || !strings.Contains(err.Error(), "s3:") {
				t.Errorf("%s: %s: %v", name, call, err)
			}
		}
	}
}

// In buckets that keep versions nothing is lost, whatever the key does; locked ones want a digest with each request.
func TestBucketsThatKeepVersions(t *testing.T) {
	t.Parallel()
	server := minioServer(t)
	for name, made := range map[string]stand.BucketOptions{"versioned": {Versioned: true}, "locked": {Locked: true}} {
		if err := server.MakeBucket(t.Context(), name, made); err != nil {
			t.Fatal(err)
		}
		options := optionsFor(server)
		options.Bucket = name
		s := newS3(t, options)
		for _, size := range []int64{5, 9 * mebi} {
			if _, err := s.SaveNew(t.Context(), "x", size, pattern(size)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantPattern(t, s, "x", size)
			if err := s.Remove(t.Context(), "x"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := s.Stat(t.Context(), "x"); !errors.Is(err, store.ErrNotFound) || len(names(t, s, "")) > 0 {
				t.Errorf("%s: shown after its removal: %v", name, err)
			}
		}
		if _, err := s.Save(t.Context(), "x", 7, pattern(7)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		versions := 0
		for object := range server.Client().ListObjects(t.Context(), name, minio.ListObjectsOptions{Prefix: options.Prefix, Recursive: true, WithVersions: true}) {
			if !object.IsDeleteMarker {
				versions++
			}
		}
		if versions != 3 {
			t.Errorf("%s: %d versions", name, versions)
		}
	}
}

func TestFullStorage(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.MinIO)
	if os.Getuid() != 0 {
		t.Skip("not root: no full storage is tried")
	}
	dir := stand.TempDir(t)
	data := filepath.Join(dir, "small")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server, err := stand.StartMinIO(t.Context(), dir, stand.MinIOOptions{Data: data})
	t.Cleanup(func() {
		if server != nil {
			_ = server.Close()
		}
		if out, err := exec.Command("umount", "-l", data).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newS3(t, optionsWithBucket(t, server))
	put(t, s, "x")
	for _, size := range []int64{8 * mebi, 100 * mebi} {
		for i := range 16 {
			if _, err = s.Save(t.Context(), "fill/"+strings.Repeat("x", i+1), size, pattern(size)); err != nil {
				break
			}
		}
		if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "make room") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if file, err := s.Open(t.Context(), "x"); err != nil {
		t.Error(err)
	} else if got, err := io.ReadAll(file); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if n, err := s.AbortIncomplete(t.Context(), ""); err != nil || n != 0 {
		t.Errorf("%d uploads left over, %v", n, err)
	}
}
