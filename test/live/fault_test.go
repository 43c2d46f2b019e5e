package live_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // driver
	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// killDatabase is kill -9 of the server process.
func killDatabase(_ *testing.T, h *host) { h.database.Kill() }

// startDatabase starts the exporter anew as well: some of what it asks the database it asks every five minutes, whatever the
// speed of the rules.
func startDatabase(t *testing.T, h *host) {
	t.Helper()
	must(t, h.database.Start())
	h.restartExporter(t)
}

// closeSite leaves the site lms in maintenance mode, as an update by hand does that somebody forgot.
func closeSite(t *testing.T, h *host) {
	t.Helper()
	if out, err := h.lms.CLI(t.Context(), "maintenance", "--enable").CombinedOutput(); err != nil {
		t.Fatalf("maintenance.php: %v: %s", err, out)
	}
}

func openSite(t *testing.T, h *host) {
	t.Helper()
	if out, err := h.lms.CLI(t.Context(), "maintenance", "--disable").CombinedOutput(); err != nil {
		t.Fatalf("maintenance.php: %v: %s", err, out)
	}
}

// ageBackup makes the newest backup of the site lms nine days old: by its name and by its manifest. The
// privileged look, which a timer takes, sees it.
func ageBackup(t *testing.T, h *host) {
	t.Helper()
	manifests, err := filepath.Glob(filepath.Join(h.backups(), "lms", "*", "manifest.json"))
	if err != nil || len(manifests) != 1 {
		t.Fatalf("backups of the site lms: %q %v, want one", manifests, err)
	}
	content, err := os.ReadFile(manifests[0])
	must(t, err)
	var manifest struct {
		ID, Started, Ended string
		Digest             string `json:"manifest_sha256"`
	}
	must(t, json.Unmarshal(content, &manifest))
	const nineDays = 9 * 24 * time.Hour
	const layout = "20060102T150405Z"
	made, err := time.Parse(layout, manifest.ID)
	must(t, err)
	older := made.Add(-nineDays).Format(layout)
	text := strings.ReplaceAll(string(content), manifest.ID, older)
	for _, moment := range []string{manifest.Started, manifest.Ended} {
		at, err := time.Parse(time.RFC3339, moment)
		must(t, err)
		text = strings.ReplaceAll(text, moment, at.Add(-nineDays).Format(time.RFC3339Nano))
	}
	// The manifest's own digest is taken with zeros in its place.
	text = strings.Replace(text, manifest.Digest, strings.Repeat("0", len(manifest.Digest)), 1)
	digest := sha256.Sum256([]byte(text))
	content = []byte(strings.Replace(text, strings.Repeat("0", len(manifest.Digest)), hex.EncodeToString(digest[:]), 1))
	must(t, os.WriteFile(manifests[0], content, 0o600))
	must(t, os.Rename(filepath.Dir(manifests[0]), filepath.Join(h.backups(), "lms", older)))
	h.run(t, "probe")
}

func makeBackup(t *testing.T, h *host) {
	t.Helper()
	h.run(t, "backup", "--site=lms")
}

func expireCertificate(t *testing.T, h *host) {
	t.Helper()
	renew(t, h, stand.CertificateOptions{NotBefore: time.Now().AddDate(0, 0, -90), NotAfter: time.Now().Add(-time.Hour)})
}

func renewCertificate(t *testing.T, h *host) {
	t.Helper()
	renew(t, h, stand.CertificateOptions{})
}

func renew(t *testing.T, h *host, o stand.CertificateOptions) {
	t.Helper()
	must(t, h.nginx.Renew(t.Context(), o))
	h.restartExporter(t) // which trusts the certificate that lies there when it starts
}

// stopCron lets the cron of the site exam have started for the last time twenty minutes ago.
func stopCron(t *testing.T, h *host) {
	t.Helper()
	pool, err := sql.Open("mysql", h.database.RootDSN(h.exam.Database))
	must(t, err)
	defer pool.Close()
	_, err = pool.ExecContext(t.Context(), "UPDATE "+h.exam.Prefix+"config_plugins SET value = value - 1200 WHERE plugin = 'tool_task' AND name = 'lastcronstart'")
	must(t, err)
}

func runCron(t *testing.T, h *host) {
	t.Helper()
	if out, err := h.exam.CLI(t.Context(), "cron", "--keep-alive=0").CombinedOutput(); err != nil {
		t.Fatalf("cron.php: %v: %s", err, out)
	}
}

// occupy lets more users wait for a page than a pool of Debian has children, until they are released.
func occupy(t *testing.T, client *http.Client, url string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var users sync.WaitGroup
	for range 9 {
		users.Go(func() {
			for ctx.Err() == nil {
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				if response, err := client.Do(request); err == nil {
					_ = response.Body.Close()
				}
			}
		})
	}
	return func() {
		cancel()
		users.Wait()
	}
}

// damageBackup turns one bit of a file of the site exam where the backups keep it.
func damageBackup(t *testing.T, h *host) {
	t.Helper()
	stored, err := filepath.Glob(filepath.Join(h.backups(), "exam", "pool", "filedir", "*", "*", "*"))
	if err != nil || len(stored) == 0 {
		t.Fatalf("no files in the backups of the site exam (%v)", err)
	}
	content, err := os.ReadFile(stored[0])
	must(t, err)
	content[len(content)/2] ^= 1
	must(t, os.WriteFile(stored[0], content, 0o600))
	var failed *exec.ExitError
	if out, err := h.command(t, "backup", "verify", "--site=exam").CombinedOutput(); !errors.As(err, &failed) {
		t.Fatalf("backup verify: %v, want that it fails: %s", err, out)
	}
}

// healBackup is what the mail tells to do.
func healBackup(t *testing.T, h *host) {
	t.Helper()
	h.run(t, "backup", "--site=exam")
	h.run(t, "backup", "verify", "--site=exam")
}

func fillDisk(t *testing.T, h *host) {
	t.Helper()
	file, err := os.Create(filepath.Join(h.exam.Dataroot, "video.mp4"))
	must(t, err)
	defer closeNow(t, file)
	if _, err := io.Copy(file, zeros{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
}

// zeros is a file without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func emptyDisk(t *testing.T, h *host) {
	t.Helper()
	must(t, os.Remove(filepath.Join(h.exam.Dataroot, "video.mp4")))
}
