package host

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestOffsiteTrouble: storage that takes nothing more fails the copy and not the backup, in words that say what to do; the
// exporter keeps the time of the last copy, and the next run after the mending brings all that was missed.
func TestOffsiteTrouble(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		open func(t *testing.T, dir string) (bucket *offsite, trouble, mend func())
		says string
	}{
		"full storage": {openSmallBucket, "make room there"},
		"wrong clock":  {openSkewedBucket, "ahead of this host's; set the wrong one right"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := theHost(t).install(t, nil)
			bucket, trouble, mend := test.open(t, i.dir)
			i.settings["backup"].(object)["offsite"] = bucket.settings
			must(t, i.write())
			i.mustRun(t, "backup", "--site=lms")
			success, err := i.shows(t).value("backup_offsite_last_success_timestamp_seconds", "site", "lms")
			must(t, err)

			trouble()
			for _, try := range []struct {
				says string
				args []string
			}{{"is made, but it is not off-site", []string{"backup", "--site=lms"}}, {test.says, []string{"backup", "copy"}}} {
				o := i.run(t, try.args...)
				if said := o.stdout + o.stderr; o.code != 1 || !strings.Contains(said, try.says) || !strings.Contains(said, test.says) {
					t.Errorf("%q ended with %d and not with 1, %q and %q: %s", try.args, o.code, try.says, test.says, said)
				}
			}
			p := i.shows(t)
			p.want(t, 1, "job_last_result", "site", "lms", "name", "backup")
			p.want(t, 0, "job_last_result", "site", "lms", "name", "copy")
			p.want(t, success, "backup_offsite_last_success_timestamp_seconds", "site", "lms")
			if pending, err := p.value("backup_offsite_pending_bytes", "site", "lms"); err != nil || pending == 0 {
				t.Errorf("pending: %v, %v", pending, err)
			}

			mend()
			i.mustRun(t, "backup", "copy")
			i.mustRun(t, "backup", "verify", "--from=offsite", "--read-data")
			p = i.shows(t)
			p.want(t, 1, "job_last_result", "site", "lms", "name", "copy")
			p.want(t, 0, "backup_offsite_pending_bytes", "site", "lms")
		})
	}
}

// openSmallBucket opens one on a small disk, which something else then fills.
func openSmallBucket(t *testing.T, dir string) (bucket *offsite, trouble, mend func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("not root: no full storage is tried")
	}
	data := filepath.Join(dir, "small")
	must(t, os.Mkdir(data, 0o700))
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", data).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	bucket = openBucket(t, dir, stand.MinIOOptions{Data: data})
	ballast := filepath.Join(data, "ballast")
	// MinIO looks at its disk once a second.
	takes := func() error {
		_, err := bucket.server.Client().PutObject(t.Context(), "copies", "tried", bytes.NewReader(make([]byte, 1<<20)), 1<<20, minio.PutObjectOptions{})
		return err
	}
	trouble = func() {
		file, err := os.Create(ballast)
		must(t, err)
		for err == nil {
			_, err = file.Write(make([]byte, 1<<16))
		}
		must(t, file.Close())
		eventually(t, func() error {
			if takes() == nil {
				return errors.New("the full storage takes more")
			}
			return nil
		})
	}
	return bucket, trouble, func() { must(t, os.Remove(ballast)); eventually(t, takes) }
}

// openSkewedBucket opens one behind a proxy that can make its clock be two hours ahead: by the date that a request is
// signed with, which the storage judges before the signature, and by that of the answers.
func openSkewedBucket(t *testing.T, dir string) (bucket *offsite, trouble, mend func()) {
	t.Helper()
	bucket = openBucket(t, dir, stand.MinIOOptions{})
	storage, err := url.Parse(bucket.settings["endpoint"].(string))
	must(t, err)
	var skewed atomic.Bool
	const ahead = 2 * time.Hour
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(storage)
			request.Out.Host = request.In.Host // it is signed
			if skewed.Load() {
				request.Out.Header.Set("X-Amz-Date", time.Now().Add(-ahead).UTC().Format("20060102T150405Z"))
			}
		},
		ModifyResponse: func(answer *http.Response) error {
			if skewed.Load() {
				answer.Header.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			}
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	bucket.settings["endpoint"] = proxy.URL
	return bucket, func() { skewed.Store(true) }, func() { skewed.Store(false) }
}
