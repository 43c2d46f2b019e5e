package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// TestReaderProvesWhatItReads damages a file in each way, and none may be taken for whole.
func TestReaderProvesWhatItReads(t *testing.T) {
	s := store.NewDirectory(t.TempDir())
	content := strings.Repeat("content of an archive; ", 10_000)
	written, err := compression{}.save(t.Context(), s, "x.zst", Code, func(to io.Writer) error { _, err := io.WriteString(to, content); return err })
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		file, err := s.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		raw, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	raw := read(stagingName + "/x.zst")
	middle := len(raw) / 2
	flipped := bytes.Clone(raw)
	flipped[middle] ^= 1
	other := written
	other.ContentSHA256 = written.SHA256
	for name, test := range map[string]struct {
		stored []byte
		want   File
		good   bool
	}{
		"whole":           {raw, written, true},
		"flipped":         {flipped, written, false},
		"truncated":       {raw[:middle], written, false},
		"empty":           {nil, written, false},
		"extended":        {append(bytes.Clone(raw), 0), written, false},
		"two frames":      {append(bytes.Clone(raw), raw...), written, false},
		"another content": {raw, other, false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Save(t.Context(), "20260101T000000Z/x.zst", store.Unknown, bytes.NewReader(test.stored)); err != nil {
				t.Fatal(err)
			}
			reader := NewReader(s, &Manifest{ID: "20260101T000000Z", Files: []File{test.want}})
			file, err := reader.Open(t.Context(), "x.zst")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			got, err := io.ReadAll(file)
			var corrupt *CorruptError
			if test.good && (err != nil || string(got) != content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if !test.good && !errors.As(err, &corrupt) {
				t.Errorf("taken for whole: %d bytes, %v", len(got), err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	reader := NewReader(s, &Manifest{ID: "20260202T000000Z", Files: []File{{Name: "x.zst", SameAs: "20260101T000000Z", Size: 1}}})
	file, err := reader.Open(ctx, "x.zst")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cancel()
	if _, err := file.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
