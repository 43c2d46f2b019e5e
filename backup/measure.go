package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
	"syscall"
	"time"
)

// measure is what a walk over the sources of an archive found, without reading any content.
type measure struct {
	files, size int64
	// state changes whenever anything that would go into the archive does. It is empty where a file changed
	// so recently that a further change might not show.
	state string
}

// settled is how old the last change must be for its time to tell it from the next one.
const settled = 2 * time.Second

// measure walks over the sources. now is the time by the clock that file times follow.
func (a *archive) measure(ctx context.Context, now time.Time) (measure, error) {
	m := measure{}
	digest := sha256.New()
	fresh := false
	for _, extra := range a.extra {
		record(digest, "extra "+extra.name, string(extra.content))
	}
	err := a.walk(ctx, func(e entry) error {
		status := e.info.Sys().(*syscall.Stat_t)
		record(digest, e.name, e.link)
		for _, value := range []int64{
			int64(status.Mode), int64(status.Uid), int64(status.Gid), int64(status.Ino), //nolint:gosec // only compared
			status.Size, status.Mtim.Nano(), status.Ctim.Nano(),
		} {
			_ = binary.Write(digest, binary.BigEndian, value) // a hash takes everything
		}
		changed := time.Unix(0, status.Ctim.Nano())
		fresh = fresh || changed.After(now.Add(-settled))
		m.files++
		if e.info.Mode().IsRegular() {
			m.size += e.info.Size()
		}
		return nil
	}, func(string) {})
	if !fresh {
		m.state = hex.EncodeToString(digest.Sum(nil))
	}
	return m, err
}

func record(digest hash.Hash, texts ...string) {
	for _, text := range texts {
		_ = binary.Write(digest, binary.BigEndian, int64(len(text)))
		_, _ = io.WriteString(digest, text)
	}
}
