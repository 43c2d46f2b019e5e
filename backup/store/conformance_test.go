package store_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

const mebi = 1 << 20

func TestEveryStoreSavesAllOrNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	everyStore(t, func(t *testing.T, s store.Remote) {
		for name, test := range map[string]struct {
			ctx     context.Context
			name    string
			size    int64
			content io.Reader
			want    error
		}{
			"short":               {t.Context(), "x/y", 6, strings.NewReader("12345"), store.ErrShort},
			"long":                {t.Context(), "x/y", 4, strings.NewReader("12345"), store.ErrShort},
			"nothing":             {t.Context(), "x/y", 4, strings.NewReader(""), store.ErrShort},
			"something":           {t.Context(), "x/y", 0, strings.NewReader("1"), store.ErrShort},
			"short in parts":      {t.Context(), "x/y", 17 * mebi, pattern(17*mebi - 1), store.ErrShort},
			"long in parts":       {t.Context(), "x/y", 17 * mebi, pattern(17*mebi + 1), store.ErrShort},
			"short by parts":      {t.Context(), "x/y", 9 * mebi, pattern(8 * mebi), store.ErrShort},
			"long by a part":      {t.Context(), "x/y", 16 * mebi, pattern(24 * mebi), store.ErrShort},
			"broken off":          {t.Context(), "x/y", 5, io.MultiReader(strings.NewReader("123"), iotest.ErrReader(broken)), broken},
			"broken off in parts": {t.Context(), "x/y", 17 * mebi, io.MultiReader(pattern(10*mebi), iotest.ErrReader(broken)), broken},
			"broken, unknown":     {t.Context(), "x/y", store.Unknown, io.MultiReader(pattern(10*mebi), iotest.ErrReader(broken)), broken},
			"cancelled":           {cancelled, "x/y", 5, strings.NewReader("12345"), context.Canceled},
			"leading out":         {t.Context(), "../y", 5, strings.NewReader("12345"), fs.ErrInvalid},
			"leading out inside":  {t.Context(), "x/../../y", 5, strings.NewReader("12345"), fs.ErrInvalid},
			"absolute":            {t.Context(), "/tmp/y", 5, strings.NewReader("12345"), fs.ErrInvalid},
			"NUL":                 {t.Context(), "x\x00", 5, strings.NewReader("12345"), fs.ErrInvalid},
			"empty":               {t.Context(), "", 5, strings.NewReader("12345"), fs.ErrInvalid},
		} {
			if _, err := s.Save(test.ctx, test.name, test.size, test.content); !errors.Is(err, test.want) {
				t.Errorf("%s: error %v, want %v", name, err, test.want)
			}
			if _, err := s.Stat(t.Context(), "x/y"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: left behind: %v", name, err)
			}
		}
		put(t, s, "kept")
		if _, err := s.Save(t.Context(), "kept", 9, strings.NewReader("x")); err == nil {
			t.Error("a short file was saved")
		}
		if got, err := read(t, s, "kept"); err != nil || got.Size != 4 {
			t.Errorf("what was there is %+v, %v", got, err)
		}
	})
}

func TestEveryStoreGivesBack(t *testing.T) {
	t.Parallel()
	everyStore(t, func(t *testing.T, s store.Remote) {
		for _, size := range []int64{0, 1, 64 << 10, 8 * mebi, 8*mebi + 1, 18 * mebi} {
			for _, announced := range []int64{size, store.Unknown} {
				if announced == store.Unknown && size > 1 && size < 18*mebi {
					continue // A length that is not known decides nothing but this.
				}
				n, err := s.Save(t.Context(), "some/file", announced, iotest.HalfReader(pattern(size)))
				if err != nil || n != size {
					t.Fatalf("%d bytes: saved %d, %v", size, n, err)
				}
				wantPattern(t, s, "some/file", size)
			}
			stored, err := s.SaveSummed(t.Context(), "summed", size, pattern(size))
			if err != nil {
				t.Fatal(err)
			}
			info, err := s.Stat(t.Context(), "summed")
			if err != nil || info.Size != stored.Size || info.Name != "summed" || info.ModTime.IsZero() {
				t.Errorf("%d bytes: %+v, %v, stored %+v", size, info, err, stored)
			}
		}
	})
}

func TestEveryStoreLeavesAloneWhatSaveNewFinds(t *testing.T) {
	t.Parallel()
	everyStore(t, func(t *testing.T, s store.Remote) {
		for _, size := range []int64{5, 20 * mebi} {
			stored, err := s.SaveNew(t.Context(), "new", size, pattern(size))
			if info, statErr := s.Stat(t.Context(), "new"); err != nil || statErr != nil || info.Size != stored.Size || len(stored.SHA256) != 64 {
				t.Errorf("%d bytes: %+v, %v, %+v, %v", size, stored, err, info, statErr)
			}
			for _, other := range []int64{7, 21 * mebi} {
				if _, err := s.SaveNew(t.Context(), "new", other, pattern(other)); !errors.Is(err, store.ErrExists) {
					t.Errorf("over %d bytes: %v", size, err)
				}
			}
			wantPattern(t, s, "new", size)
			if err := s.Remove(t.Context(), "new"); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestEveryStoreListsAlike(t *testing.T) {
	t.Parallel()
	everyStore(t, func(t *testing.T, s store.Remote) {
		want := []string{"a-b/1", "a.txt", "a/1", "a/B", "a/x+y/1", "a/x/1", "a/é", "ab", "b/1 2?#%", "c"}
		shuffled := append(slices.Clone(want[4:]), want[:4]...)
		put(t, s, shuffled...)
		put(t, s, store.Prefix+"new/1", "b/"+store.Prefix+"1")
		if got := names(t, s, ""); !slices.Equal(got, want) {
			t.Errorf("lists %q, want %q", got, want)
		}
		if got, want := names(t, s, "a"), want[2:7]; !slices.Equal(got, want) {
			t.Errorf("below a %q, want %q", got, want)
		}
		if got := slices.Concat(names(t, s, "nowhere"), names(t, s, "c")); len(got) > 0 {
			t.Errorf("lists %q", got)
		}
		if dirs, err := s.Dirs(t.Context()); err != nil || !slices.Equal(dirs, []string{"a", "a-b", "b"}) {
			t.Errorf("directories %q, %v", dirs, err)
		}
		stop := errors.New("stop")
		seen := 0
		if err := s.List(t.Context(), "", func(store.Info) error { seen++; return stop }); !errors.Is(err, stop) || seen != 1 {
			t.Errorf("%v after %d", err, seen)
		}
		if err := errors.Join(s.Remove(t.Context(), "a/1"), s.Remove(t.Context(), "a/1")); err != nil {
			t.Error(err)
		}
		for _, gone := range []string{"a/1", "nowhere", "nowhere/1"} {
			_, statErr := s.Stat(t.Context(), gone)
			_, openErr := s.Open(t.Context(), gone)
			if !errors.Is(statErr, store.ErrNotFound) || !errors.Is(openErr, store.ErrNotFound) {
				t.Errorf("%s: %v, %v", gone, statErr, openErr)
			}
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.List(cancelled, "", func(store.Info) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
