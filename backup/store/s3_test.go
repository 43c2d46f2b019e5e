package store_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// proxied is a store behind a bad network.
func proxied(t *testing.T, change func(*store.S3Options)) (*store.S3, *stand.Proxy) {
	t.Helper()
	server := minioServer(t)
	proxy, err := stand.StartProxy(server.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	options := optionsFor(server)
	options.Endpoint = "http://" + proxy.Address
	if change != nil {
		change(&options)
	}
	return newS3(t, options), proxy
}

// Whatever happens on the way, what is saved is whole, and what is read is what was saved.
func TestBadNetwork(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]stand.Harm{"cut": stand.Cut, "stalled": stand.Stall, "damaged": stand.Flip} {
		for _, size := range []int64{mebi, 20 * mebi} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s, proxy := proxied(t, func(o *store.S3Options) { o.Stall = 300 * time.Millisecond })
				proxy.Set(stand.Fault{Harm: harm, After: size / 3, Times: 2})
				if _, err := s.Save(t.Context(), "x", size, pattern(size)); err != nil {
					t.Fatal(err)
				}
				if proxy.Met() != 2 {
					t.Errorf("%d faults on the way up", proxy.Met())
				}
				if harm != stand.Flip {
					// Damage on the way down is found by who compares with the manifest.
					proxy.Set(stand.Fault{Harm: harm, Down: true, After: size / 3, Times: 2})
				}
				wantPattern(t, s, "x", size)
				if harm != stand.Flip && proxy.Met() != 4 {
					t.Errorf("%d faults", proxy.Met())
				}
				if n, err := s.AbortIncomplete(t.Context(), ""); n != 0 || err != nil {
					t.Errorf("%d uploads left over, %v", n, err)
				}
			})
		}
	}
}

// An answer that is lost makes the client send again what is there by then.
func TestLostAnswerIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1000, 9 * mebi} {
		var lost sync.Once
		options := optionsFor(minioServer(t))
		options.Wrap = func(trip http.RoundTripper) http.RoundTripper {
			return roundTrip(func(request *http.Request) (*http.Response, error) {
				response, err := trip.RoundTrip(request)
				if request.Header.Get("If-None-Match") != "" && err == nil {
					lost.Do(func() { _, err = response.Body.Close(), errors.New("connection reset by peer") })
				}
				if err != nil {
					return nil, err
				}
				return response, nil
			})
		}
		s := newS3(t, options)
		if _, err := s.SaveNew(t.Context(), "x", size, pattern(size)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := s.SaveNew(t.Context(), "x", size, pattern(size)); !errors.Is(err, store.ErrExists) {
			t.Error(err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// Storage that has never heard of If-None-Match says so, or replaces what is there without a word.
func TestSaveNewWithoutConditions(t *testing.T) {
	t.Parallel()
	options := optionsFor(minioServer(t))
	refused := 0
	options.Wrap = func(trip http.RoundTripper) http.RoundTripper {
		return roundTrip(func(request *http.Request) (*http.Response, error) {
			if request.Header.Get("If-None-Match") != "" {
				refused++
				return &http.Response{StatusCode: http.StatusNotImplemented, Request: request, Header: http.Header{}, Body: http.NoBody}, nil
			}
			return trip.RoundTrip(request)
		})
	}
	s := newS3(t, options)
	for _, name := range []string{"x", "y"} {
		if _, err := s.SaveNew(t.Context(), name, 5, pattern(5)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SaveNew(t.Context(), name, 6, pattern(6)); !errors.Is(err, store.ErrExists) {
			t.Error(err)
		}
		wantPattern(t, s, name, 5)
	}
	if refused != 1 {
		t.Errorf("asked %d times", refused)
	}
}

// Requests that hang end, and what ends after many attempts says why.
func TestDeadNetwork(t *testing.T) {
	t.Parallel()
	pauses := 0
	s, proxy := proxied(t, func(o *store.S3Options) {
		o.Stall = 200 * time.Millisecond
		o.Sleep = func(ctx context.Context, d time.Duration) error {
			if d <= 0 || d > 15*time.Second {
				t.Errorf("pause of %v", d)
			}
			pauses++
			return ctx.Err()
		}
	})
	put(t, s, "x")
	pauses = 0
	proxy.Set(stand.Fault{Harm: stand.Stall, Down: true, Times: 1000})
	_, err := s.Stat(t.Context(), "x")
	if !errors.Is(err, store.ErrUnreachable) || !strings.Contains(err.Error(), "stalled") || pauses != 6 {
		t.Errorf("after %d pauses: %v", pauses, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Save(ctx, "y", 5, pattern(5)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := proxy.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.List(t.Context(), "", func(store.Info) error { return nil }); !errors.Is(err, store.ErrUnreachable) || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
}

// A link on which a request takes longer than a connection may be quiet is slow, not stalled.
func TestSlowLink(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t, func(o *store.S3Options) { o.Stall = 400 * time.Millisecond })
	proxy.Slow(mebi)
	if _, err := s.Save(t.Context(), "x", mebi, pattern(mebi)); err != nil {
		t.Error(err)
	}
	wantPattern(t, s, "x", mebi)
}

// The listing goes on behind what it has shown when a page fails.
func TestListSurvivesFailingPages(t *testing.T) {
	t.Parallel()
	server := minioServer(t)
	options := optionsFor(server)
	pages := 0
	options.Wrap = func(trip http.RoundTripper) http.RoundTripper {
		return roundTrip(func(request *http.Request) (*http.Response, error) {
			if request.URL.Query().Get("list-type") == "" {
				return trip.RoundTrip(request)
			}
			if pages++; pages%2 == 0 {
				return nil, errors.New("connection reset by peer")
			}
			values := request.URL.Query()
			if values.Get("max-keys") != "" {
				t.Error("the size of pages is the storage's own affair")
			}
			return trip.RoundTrip(request)
		})
	}
	s := newS3(t, options)
	objects := make(chan minio.SnowballObject, 10)
	var want []string
	go func() {
		defer close(objects)
		for i := range 1100 {
			name := "d/" + strings.Repeat("0", i%3) + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
			objects <- minio.SnowballObject{Key: options.Prefix + "/" + name, Size: 1, Content: strings.NewReader("x")}
		}
	}()
	if err := server.Client().PutObjectsSnowball(t.Context(), bucket, minio.SnowballOptions{InMemory: true}, objects); err != nil {
		t.Fatal(err)
	}
	for object := range server.Client().ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Prefix: options.Prefix, Recursive: true}) {
		want = append(want, strings.TrimPrefix(object.Key, options.Prefix+"/"))
	}
	if got := names(t, s, "d"); len(got) != 1100 || !slices.Equal(got, want) || !slices.IsSorted(got) {
		t.Errorf("%d of %d names", len(got), len(want))
	}
	if pages < 3 {
		t.Errorf("%d pages", pages)
	}
}

func TestNamesThatABucketRefuses(t *testing.T) {
	t.Parallel()
	s := newS3(t, optionsFor(minioServer(t)))
	for _, name := range []string{"a//b", "a/", "./a", "a/.", ".", "a\nb", "a\x7f", "\xff", "a/../b"} {
		_, openErr := s.Open(t.Context(), name)
		_, statErr := s.Stat(t.Context(), name)
		_, saveErr := s.SaveNew(t.Context(), name, 1, pattern(1))
		_, largeErr := s.SaveNew(t.Context(), name, 9*mebi, pattern(9*mebi))
		for _, err := range []error{openErr, statErr, saveErr, largeErr, s.Remove(t.Context(), name)} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	for _, prefix := range []string{"/", "a/", "../x"} {
		if _, err := store.NewS3(store.S3Options{Endpoint: "h", Bucket: "b", Prefix: prefix, AccessKey: "k", SecretKey: "s"}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}

// Without a prefix a store is the whole bucket: that is how the sites in it are found.
func TestWholeBucket(t *testing.T) {
	t.Parallel()
	options := optionsFor(minioServer(t))
	site := newS3(t, options)
	if _, err := site.Save(t.Context(), "id/x", 1, pattern(1)); err != nil {
		t.Fatal(err)
	}
	top, _, _ := strings.Cut(options.Prefix, "/")
	options.Prefix = ""
	whole := newS3(t, options)
	dirs, err := whole.Dirs(t.Context())
	if err != nil || !slices.Contains(dirs, top) || slices.Contains(dirs, "") {
		t.Errorf("directories %v, want %s among them; %v", dirs, top, err)
	}
	found := 0
	if err := whole.List(t.Context(), top, func(store.Info) error { found++; return nil }); err != nil || found == 0 {
		t.Errorf("%d objects below %s, %v", found, top, err)
	}
}

// An object that is replaced while it is read ends the reading: half of each would be neither.
func TestReplacedWhileRead(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t, nil)
	const size = 8 * mebi
	if _, err := s.Save(t.Context(), "x", size, pattern(size)); err != nil {
		t.Fatal(err)
	}
	proxy.Set(stand.Fault{Harm: stand.Cut, Down: true, After: 100_000, Times: 1})
	file, err := s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := s.Save(t.Context(), "x", 5, pattern(5)); err != nil {
		t.Fatal(err)
	}
	if got, err := digest(file); !errors.Is(err, store.ErrChanged) {
		t.Errorf("%+v, %v", got, err)
	}
}
