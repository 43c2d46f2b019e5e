package stand_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func TestMinIO(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.MinIO)
	server, err := stand.StartMinIO(t.Context(), stand.TempDir(t), stand.MinIOOptions{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, server)
	if err := server.MakeBucket(t.Context(), "locked", stand.BucketOptions{Locked: true}); err != nil {
		t.Fatal(err)
	}
	put := func(client *minio.Client, bucket string) error {
		_, err := client.PutObject(t.Context(), bucket, "x", strings.NewReader("x"), 1, minio.PutObjectOptions{SendContentMd5: true})
		return err
	}
	if err := put(server.Client(), "locked"); err != nil {
		t.Error(err)
	}
	for object := range server.Client().ListObjects(t.Context(), "locked", minio.ListObjectsOptions{WithVersions: true}) {
		if err := server.Client().RemoveObject(t.Context(), "locked", "x", minio.RemoveObjectOptions{VersionID: object.VersionID}); err == nil {
			t.Error("a locked version was removed")
		}
	}
	access, secret, err := server.Key(t.Context(), "mine", stand.RightsToAdd...)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.MakeBucket(t.Context(), "mine", stand.BucketOptions{Versioned: true}); err != nil {
		t.Fatal(err)
	}
	restricted, err := minio.New(server.Address, &minio.Options{Creds: credentials.NewStaticV4(access, secret, ""), Secure: true,
		Transport: &http.Transport{TLSClientConfig: server.TLS()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := put(restricted, "mine"); err != nil {
		t.Error(err)
	}
	if put(restricted, "locked") == nil || restricted.RemoveObject(t.Context(), "mine", "x", minio.RemoveObjectOptions{}) == nil {
		t.Error("the key may do more than it was given")
	}
}

// The proxy does each harm as often as it was told, and nothing otherwise.
func TestProxy(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	proxy, err := stand.StartProxy(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	closing(t, proxy)
	content := strings.Repeat("x", 100_000)
	send := func() (string, error) {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Post("http://"+proxy.Address, "text/plain", strings.NewReader(content))
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	for _, down := range []bool{false, true} {
		proxy.Set(stand.Fault{Harm: stand.Cut, Down: down, After: 50_000, Times: 1})
		if _, err := send(); err == nil {
			t.Error("no connection was cut")
		}
		proxy.Set(stand.Fault{Harm: stand.Flip, Down: down, After: 50_000, Times: 1})
		if got, err := send(); err != nil || got == content || len(got) != len(content) {
			t.Errorf("%d bytes, %v: no bit was turned", len(got), err)
		}
		if got, err := send(); err != nil || got != content {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if proxy.Met() != 4 {
		t.Errorf("%d faults", proxy.Met())
	}
}
