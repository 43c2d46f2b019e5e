package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/minio/minio-go/v7"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

func TestAbortIncomplete(t *testing.T) {
	t.Parallel()
	server := minioServer(t)
	options := optionsFor(server)
	s := newS3(t, options)
	core := minio.Core{Client: server.Client()}
	for _, key := range []string{options.Prefix + "/a/x", options.Prefix + "/b", options.Prefix + "-other/x"} {
		if _, err := core.NewMultipartUpload(t.Context(), bucket, key, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.AbortIncomplete(t.Context(), ""); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := s.AbortIncomplete(t.Context(), ""); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	access, secret, err := server.Key(t.Context(), bucket, "s3:PutObject")
	if err != nil {
		t.Fatal(err)
	}
	options.AccessKey, options.SecretKey = config.Secret(access), config.Secret(secret)
	if n, err := newS3(t, options).AbortIncomplete(t.Context(), ""); n != 0 || err != nil {
		t.Errorf("without the right: %d, %v", n, err)
	}
}

// Neither a source that fails nor an interruption leaves parts behind that nobody sees and somebody pays.
func TestBrokenUploadsLeaveNoParts(t *testing.T) {
	t.Parallel()
	server := minioServer(t)
	options := optionsFor(server)
	s := newS3(t, options)
	broken := errors.New("broken")
	if _, err := s.Save(t.Context(), "failing", 100*mebi, io.MultiReader(pattern(17*mebi), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	interrupting := readerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	if _, err := s.Save(ctx, "interrupted", 100*mebi, io.MultiReader(pattern(17*mebi), interrupting)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	uploads, err := minio.Core{Client: server.Client()}.ListMultipartUploads(t.Context(), bucket, "", "", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, upload := range uploads.Uploads {
		if strings.HasPrefix(upload.Key, options.Prefix) {
			t.Errorf("left behind: %s", upload.Key)
		}
	}
	if found := names(t, s, ""); len(found) > 0 {
		t.Error(found)
	}
}

type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }

func TestOptionsOf(t *testing.T) {
	t.Parallel()
	server := minioServer(t)
	dir := t.TempDir()
	settings := config.Offsite{
		Endpoint: server.Endpoint, Bucket: bucket, Prefix: "a/b", Bandwidth: 1e9,
		AccessKeyFile: filepath.Join(dir, "access"), SecretKeyFile: filepath.Join(dir, "secret"),
	}
	if _, err := store.OptionsOf(settings, "lms"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "access_key_file") {
		t.Error(err)
	}
	for path, key := range map[string]string{settings.AccessKeyFile: server.AccessKey, settings.SecretKeyFile: server.SecretKey} {
		if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	options, err := store.OptionsOf(settings, "lms")
	if err != nil || options.Prefix != "a/b/lms" || options.Bandwidth != 1e9 {
		t.Fatalf("%+v, %v", options, err)
	}
	put(t, newS3(t, options), "x")
	if text := fmt.Sprintf("%+v", options); strings.Contains(text, server.SecretKey) {
		t.Error("the options tell the secret key")
	}
	options.SecretKey = ""
	if _, err := store.NewS3(options); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Error(err)
	}
}
