package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// maxManifest bounds what is read of a manifest: a site with 100,000 tables stays well below.
const maxManifest = 32 << 20

// readManifest reads and checks the manifest of a backup. A missing one is ErrNoSuchBackup.
func readManifest(ctx context.Context, s store.Store, id string) (*Manifest, error) {
	file, err := s.Open(ctx, path.Join(id, manifestName))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s", ErrNoSuchBackup, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest of backup %s: %w", id, err)
	}
	defer file.Close()
	manifest, err := parseManifest(file)
	if err == nil && manifest.ID != id {
		err = fmt.Errorf("it is that of %q", manifest.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest of backup %s: %w", id, err)
	}
	return manifest, nil
}

func parseManifest(from io.Reader) (*Manifest, error) {
	content, err := io.ReadAll(io.LimitReader(from, maxManifest))
	if err != nil {
		return nil, err
	}
	digits, digest := digestOf(content)
	if digits == nil || string(digits) != digest {
		return nil, errDigest
	}
	manifest := &Manifest{}
	if err := json.Unmarshal(content, manifest); err != nil {
		return nil, err
	}
	if manifest.Format != Format {
		return nil, fmt.Errorf("format %d is not known to this version", manifest.Format)
	}
	for _, file := range manifest.Files {
		if file.Name != path.Base(file.Name) || file.Name == "." || file.Name == ".." {
			return nil, fmt.Errorf("it names the file %q", file.Name)
		}
	}
	return manifest, nil
}

// errDigest is a manifest of which nothing may be believed: what it no longer names would be swept away.
var errDigest = errors.New("it is not as it was written (its own SHA-256 does not fit)")

// digestKey begins the last field of a manifest.
const digestKey = `"manifest_sha256": "`

// digestOf finds the digits of a manifest's own digest, nil if there are none, and what they should be.
func digestOf(content []byte) (digits []byte, digest string) {
	at := bytes.LastIndex(content, []byte(digestKey)) + len(digestKey)
	end := at + 2*sha256.Size
	if at < len(digestKey) || end > len(content) {
		return nil, ""
	}
	all := sha256.New()
	all.Write(content[:at])
	all.Write(bytes.Repeat([]byte("0"), 2*sha256.Size))
	all.Write(content[end:])
	return content[at:end], hex.EncodeToString(all.Sum(nil))
}

func writeManifest(ctx context.Context, s store.Store, dir string, manifest *Manifest) error {
	manifest.Digest = strings.Repeat("0", 2*sha256.Size)
	content, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return err
	}
	content = append(content, '\n')
	digits, digest := digestOf(content)
	copy(digits, digest)
	manifest.Digest = digest
	_, err = s.Save(ctx, path.Join(dir, manifestName), int64(len(content)), bytes.NewReader(content))
	return err
}
