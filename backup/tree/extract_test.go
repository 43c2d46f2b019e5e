package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

// tarOf is what GNU tar makes of a tree, in the order and with the names that backups have.
func tarOf(t testing.TB, dir string, arguments ...string) []byte {
	t.Helper()
	out, err := exec.Command("tar", append([]string{"-C", dir, "--sort=name", "-cf", "-"}, append(arguments, ".")...)...).Output()
	must(t, err)
	return out
}

// TestExtractBringsBackWhatTarHasTaken, and Compare finds each thing that is changed afterwards.
func TestExtractBringsBackWhatTarHasTaken(t *testing.T) {
	needRoot(t)
	for i, format := range []string{"--format=pax", "--format=gnu", "--format=posix", "--xattrs"} {
		dir := tempDir(t)
		from := filepath.Join(dir, "from")
		randomTree(t, from, rand.New(rand.NewPCG(7, uint64(i))), 300)
		archive := tarOf(t, from, format)
		root := openRoot(t, filepath.Join(dir, "to"))
		var read int64
		got, err := extract(t, archive, root, ExtractOptions{MaxBytes: int64(len(archive)), Progress: func(n int64) { read += n }})
		if err != nil {
			t.Fatal(err)
		}
		sameMap(t, format, snapshot(t, root.Name()), snapshot(t, from))
		if got.SHA256 != sha256.Sum256(archive) || got.Bytes != int64(len(archive)) || read != got.Bytes || got.Entries < 301 || got.Outside == 0 {
			t.Errorf("%+v, %d bytes read", got, read)
		}
		compare := CompareOptions{ExtractOptions: ExtractOptions{MaxBytes: int64(len(archive))}}
		if differences, err := Compare(t.Context(), bytes.NewReader(archive), root, compare); err != nil || len(differences) > 0 {
			t.Errorf("%v, %v", differences, err)
		}
	}
}

func TestCompareNamesEachDifference(t *testing.T) {
	archive := archiveOf(t, tar.Header{Name: "./", Typeflag: tar.TypeDir}, tar.Header{Name: "./d/", Typeflag: tar.TypeDir},
		tar.Header{Name: "./d/a", Size: 5}, tar.Header{Name: "./d/b", Typeflag: tar.TypeLink, Linkname: "./d/a"},
		tar.Header{Name: "./d/l", Typeflag: tar.TypeSymlink, Linkname: "a"}, tar.Header{Name: "./e", Size: 1 << 20})
	keepTime := func(change func(path string) error) func(string) error {
		return func(path string) error {
			var s unix.Stat_t
			parent := filepath.Dir(path)
			return errors.Join(unix.Stat(parent, &s), change(path), unix.UtimesNanoAt(unix.AT_FDCWD, parent, []unix.Timespec{s.Atim, s.Mtim}, 0))
		}
	}
	for name, test := range map[string]struct {
		path   string
		change func(path string) error
		want   string
	}{
		"nothing":   {"e", func(string) error { return nil }, ""},
		"missing":   {"d/l", keepTime(os.Remove), `"d/l": missing`},
		"all of it": {"d", keepTime(os.RemoveAll), `"d": missing "d/a": missing "d/b": missing "d/l": missing`},
		"extra":     {"d/x", keepTime(func(p string) error { return os.WriteFile(p, nil, 0o600) }), `"d/x": extra`},
		"ours":      {".mxp-x", keepTime(func(p string) error { return os.WriteFile(p, nil, 0o600) }), ``},
		"mode":      {"e", func(p string) error { return os.Chmod(p, 0o777) }, `"e": mode "0777" instead of "0755"`},
		"dir mode":  {"d", func(p string) error { return os.Chmod(p, 0o700) }, `"d": mode "0700" instead of "0755"`},
		"size":      {"e", func(p string) error { return os.Truncate(p, 7) }, `"e": time "" "e": size "7" instead of "1048576"`},
		"time":      {"e", func(p string) error { return unix.Utimes(p, []unix.Timeval{{}, {}}) }, `"e": time "0" instead of "1700000000"`},
		"content": {"e", func(p string) error {
			return errors.Join(os.WriteFile(p, append(bytes.Repeat([]byte("x"), 1<<20-1), 'y'), 0), unix.Utimes(p, []unix.Timeval{{Sec: 1}, {Sec: 1_700_000_000}}))
		}, `"e": content`},
		"type":      {"e", keepTime(func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) }), `"e": type "directory" instead of "file"`},
		"target":    {"d/l", keepTime(func(p string) error { return errors.Join(os.Remove(p), os.Symlink("b", p)) }), `"d/l": link "b" instead of "a" "d/l": time ""`},
		"hard link": {"d/b", keepTime(func(p string) error { return errors.Join(os.Remove(p), os.WriteFile(p, []byte("xxxxx"), 0o755)) }), `"d/b": link "a file of its own" instead of "d/a"`},
		"a link on the way": {"d", keepTime(func(p string) error { return errors.Join(os.Rename(p, p+"2"), os.Symlink("d2", p)) }),
			`"d": type "link" instead of "directory" "d/a": missing "d/b": missing "d/l": missing "d2": extra`},
	} {
		t.Run(name, func(t *testing.T) {
			root := openRoot(t, filepath.Join(tempDir(t), "x"))
			if _, err := extract(t, archive, root, ExtractOptions{}); err != nil {
				t.Fatal(err)
			}
			must(t, test.change(filepath.Join(root.Name(), test.path)))
			found, err := Compare(t.Context(), bytes.NewReader(archive), root, CompareOptions{ExtractOptions: ExtractOptions{MaxBytes: 1 << 30, Owner: mine()}})
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, d := range found {
				if d.What == "time" && d.Got != "0" {
					d = Difference{Path: d.Path, What: `time ""`}
				}
				all = append(all, d.String())
			}
			if got := strings.Join(all, " "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			limited, err := Compare(t.Context(), bytes.NewReader(archive), root, CompareOptions{ExtractOptions{MaxBytes: 1 << 30, Owner: mine()}, 1})
			if err != nil || len(limited) != min(1, len(found)) {
				t.Errorf("limited to one: %v, %v", limited, err)
			}
		})
	}
}

// TestHostileArchives: each is refused, and names what it is refused for. What it would have touched is as it was.
func TestHostileArchives(t *testing.T) {
	reg := func(name string) tar.Header { return tar.Header{Name: name, Size: 3} }
	link := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
	}
	hard := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}
	}
	dir := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }
	for name, headers := range map[string][]tar.Header{
		"absolute":                      {reg("/tmp/evil")},
		"absolute after ./":             {reg(".//tmp/evil")},
		"parent":                        {reg("../evil")},
		"parent further in":             {reg("a/../../evil")},
		"parent within":                 {reg("a/../evil")},
		"doubled slash":                 {reg("a//evil")},
		"dot within":                    {reg("a/./evil")},
		"dots alone":                    {dir("..")},
		"file as top":                   {reg(".")},
		"link as top":                   {link("./", "/etc")},
		"ours":                          {reg("a/.mxp-old/evil")},
		"too long":                      {reg(strings.Repeat("a/", 2100) + "evil")},
		"too deep":                      {reg(strings.Repeat("a/", 1030) + "evil")},
		"device":                        {{Name: "evil", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}},
		"disk":                          {{Name: "evil", Typeflag: tar.TypeBlock, Devmajor: 8}},
		"pipe":                          {{Name: "evil", Typeflag: tar.TypeFifo}},
		"contiguous":                    {{Name: "evil", Typeflag: tar.TypeCont, Size: 3}},
		"through a link":                {link("d", "OUT"), reg("d/evil")},
		"through a link within":         {dir("a"), link("d", "a"), reg("d/evil")},
		"through two links":             {link("a", "OUT"), link("b", "a"), reg("b/c/evil")},
		"into a link":                   {link("evil", "OUT/there"), reg("evil")},
		"a link over a file":            {reg("evil"), link("evil", "OUT/there")},
		"a file over a directory":       {dir("evil"), reg("evil")},
		"a directory over a file":       {reg("evil"), dir("evil")},
		"a directory over a link":       {link("evil", "OUT"), dir("evil/")},
		"a file twice":                  {reg("evil"), reg("evil")},
		"a link twice":                  {link("evil", "a"), link("evil", "b")},
		"hard link to outside":          {hard("evil", "OUT/there")},
		"hard link to parent":           {hard("evil", "../out/there")},
		"hard link through link":        {link("d", "OUT"), hard("evil", "d/there")},
		"hard link to a link":           {link("d", "OUT/there"), hard("evil", "d")},
		"hard link to a directory":      {dir("d"), hard("evil", "d")},
		"hard link to later":            {hard("evil", "later"), reg("later")},
		"hard link over a file":         {reg("a"), reg("evil"), hard("evil", "a")},
		"hard link, then through it":    {reg("a"), hard("evil", "a"), reg("evil/x")},
		"below a file":                  {reg("evil"), reg("evil/x")},
		"owner -1":                      {{Name: "evil", Uid: 1<<32 - 1, Format: tar.FormatGNU}},
		"group too large":               {{Name: "evil", Gid: 1 << 40, Format: tar.FormatGNU}},
		"no target":                     {link("evil", "")},
		"sparse":                        {{Name: "evil", PAXRecords: map[string]string{"GNU.sparse.realsize": "3"}}},
		"settings for all that follows": {{Name: "evil", Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			base := tempDir(t)
			out := filepath.Join(base, "out")
			write(t, out, map[string]string{"there": "before"})
			before := snapshot(t, out)
			for i := range headers {
				headers[i].Linkname = strings.Replace(headers[i].Linkname, "OUT", out, 1)
			}
			root := openRoot(t, filepath.Join(base, "x", "in"))
			_, err := extract(t, handmade(t, headers), root, ExtractOptions{})
			if !errors.Is(err, ErrHostile) || !strings.Contains(err.Error(), `"`+headers[len(headers)-1].Name[:min(20, len(headers[len(headers)-1].Name))]) && !strings.Contains(err.Error(), "evil") && name != "settings for all that follows" {
				t.Errorf("error %v", err)
			}
			sameMap(t, "outside", snapshot(t, out), before)
			for _, dir := range []string{base, filepath.Dir(root.Name())} {
				if names, err := os.ReadDir(dir); err != nil || len(names) > 2 {
					t.Errorf("%v, %v", names, err)
				}
			}
		})
	}
}

// handmade writes entries that archive/tar itself would refuse to write, or would write otherwise.
func handmade(t testing.TB, headers []tar.Header) []byte {
	t.Helper()
	var all []byte
	for _, h := range headers {
		if h.PAXRecords != nil && h.Typeflag != tar.TypeXGlobalHeader {
			var records string
			for key, value := range h.PAXRecords {
				record := " " + key + "=" + value + "\n"
				n := len(record) + 2
				records += string(rune('0'+n/10)) + string(rune('0'+n%10)) + record
			}
			all = append(all, rawEntry("PaxHeader", 'x', []byte(records))...)
			h.PAXRecords = nil
		}
		one := archiveOf(t, h)
		all = append(all, one[:len(one)-1024]...)
	}
	return append(all, make([]byte, 1024)...)
}

func rawEntry(name string, kind byte, content []byte) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(content)), Mode: 0o600})
	_, _ = w.Write(content)
	_ = w.Flush()
	raw := b.Bytes()
	raw[156] = kind
	sum := 8 * int(' ')
	for i, c := range raw[:512] {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	copy(raw[148:156], []byte(octal(sum)+"\x00 "))
	return raw
}

func octal(n int) string {
	digits := make([]byte, 6)
	for i := range digits {
		digits[5-i] = byte('0' + n%8)
		n /= 8
	}
	return string(digits)
}

func TestBombsAndTornArchives(t *testing.T) {
	whole := archiveOf(t, tar.Header{Name: "a", Size: 1000}, tar.Header{Name: "b/", Typeflag: tar.TypeDir}, tar.Header{Name: "c", Size: 0})
	broken := errors.New("broken")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx   context.Context
		from  io.Reader
		o     ExtractOptions
		want  error
		words string
	}{
		"whole":             {t.Context(), bytes.NewReader(whole), ExtractOptions{MaxBytes: int64(len(whole)), MaxEntries: 3}, nil, ""},
		"with its end":      {t.Context(), iotest.DataErrReader(bytes.NewReader(whole)), ExtractOptions{MaxBytes: int64(len(whole))}, nil, ""},
		"byte by byte":      {t.Context(), iotest.OneByteReader(bytes.NewReader(whole)), ExtractOptions{MaxBytes: int64(len(whole))}, nil, ""},
		"filled to a block": {t.Context(), io.MultiReader(bytes.NewReader(whole), bytes.NewReader(make([]byte, 8192))), ExtractOptions{MaxBytes: 1 << 20}, nil, ""},
		"too many bytes":    {t.Context(), bytes.NewReader(whole), ExtractOptions{MaxBytes: int64(len(whole)) - 1}, ErrHostile, "more than the"},
		"no bytes expected": {t.Context(), bytes.NewReader(whole), ExtractOptions{}, ErrHostile, "more than the 0 bytes"},
		"too many entries":  {t.Context(), bytes.NewReader(whole), ExtractOptions{MaxBytes: 1 << 20, MaxEntries: 2}, ErrHostile, `"c"`},
		"zeros without end": {t.Context(), io.MultiReader(bytes.NewReader(whole), zeros{}), ExtractOptions{MaxBytes: 1 << 20}, ErrHostile, "more than"},
		"something follows": {t.Context(), io.MultiReader(bytes.NewReader(whole), strings.NewReader("x")), ExtractOptions{MaxBytes: 1 << 20}, ErrHostile, "follows"},
		"empty":             {t.Context(), strings.NewReader(""), ExtractOptions{MaxBytes: 1 << 20}, ErrTruncated, ""},
		"broken":            {t.Context(), io.MultiReader(bytes.NewReader(whole[:700]), iotest.ErrReader(broken)), ExtractOptions{MaxBytes: 1 << 20}, broken, ""},
		"not at all":        {cancelled, bytes.NewReader(whole), ExtractOptions{MaxBytes: 1 << 20}, context.Canceled, ""},
		"no tar file":       {t.Context(), strings.NewReader(strings.Repeat("text", 1000)), ExtractOptions{MaxBytes: 1 << 20}, tar.ErrHeader, ""},
	} {
		test.o.Owner = mine()
		_, err := Extract(test.ctx, test.from, openRoot(t, tempDir(t)), test.o)
		if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for end := range len(whole) - 1 {
		if end%512 > 2 && end > 600 {
			continue
		}
		if _, err := extract(t, whole[:end], openRoot(t, tempDir(t)), ExtractOptions{}); !errors.Is(err, ErrTruncated) {
			t.Errorf("cut after %d bytes: %v", end, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestExtractTakesWhatIsWanted(t *testing.T) {
	needRoot(t)
	archive := archiveOf(t, tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o2777}, tar.Header{Name: "./a/b/c", Size: 3, Mode: 0o6755, Uid: 5, Gid: 6},
		tar.Header{Name: "./a/d", Typeflag: tar.TypeLink, Linkname: "./a/b/c"}, tar.Header{Name: "m/", Typeflag: tar.TypeDir, Mode: 0o777},
		tar.Header{Name: "m/n/f", Size: 2}, tar.Header{Name: "m/g", Typeflag: tar.TypeLink, Linkname: "m/n/f"}, tar.Header{Name: "z", Size: 1})
	dir := tempDir(t)
	root, elsewhere := openRoot(t, filepath.Join(dir, "x")), openRoot(t, filepath.Join(dir, "m"))
	options := ExtractOptions{
		Want:   func(name string) bool { return name != "z" && name != "." },
		Owner:  func(h *tar.Header) (int, int) { return h.Uid + 100, h.Gid + 100 },
		Mounts: map[string]*os.Root{"m": elsewhere}, MaxBytes: 1 << 20,
	}
	got, err := extract(t, archive, root, options)
	if err != nil || got.Dropped != 1 || got.Entries != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	sameMap(t, "tree", texts(t, root.Name()), map[string]string{"a/b/c": "xxx", "a/d": "xxx"})
	sameMap(t, "elsewhere", texts(t, elsewhere.Name()), map[string]string{"n/f": "xx", "g": "xx"})
	var s unix.Stat_t
	must(t, unix.Lstat(filepath.Join(root.Name(), "a/b/c"), &s))
	if s.Mode&0o7777 != 0o755 || s.Uid != 105 || s.Gid != 106 || s.Nlink != 2 {
		t.Errorf("%o %d:%d, %d links", s.Mode, s.Uid, s.Gid, s.Nlink)
	}
	must(t, unix.Lstat(filepath.Join(root.Name(), "a"), &s))
	if s.Mode&0o7777 != 0o755 {
		t.Errorf("a directory on the way has mode %o", s.Mode)
	}
	if found, err := Compare(t.Context(), bytes.NewReader(archive), root, CompareOptions{ExtractOptions: options}); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	options.Want = func(name string) bool { return name == "a/d" }
	if _, err := extract(t, archive, openRoot(t, tempDir(t)), options); err == nil || !strings.Contains(err.Error(), "not asked for") {
		t.Error(err)
	}
}

// FuzzExtract: whatever an archive holds, nothing outside of the root is made, changed or removed.
func FuzzExtract(f *testing.F) {
	f.Add(archiveOf(f, tar.Header{Name: "a", Size: 3}, tar.Header{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"}))
	f.Add(archiveOf(f, tar.Header{Name: "d", Typeflag: tar.TypeSymlink, Linkname: "../out"}, tar.Header{Name: "d/x", Size: 3}))
	f.Add(archiveOf(f, tar.Header{Name: "d/e/", Typeflag: tar.TypeDir}, tar.Header{Name: "../out/there", Size: 3}))
	f.Add(archiveOf(f, tar.Header{Name: strings.Repeat("ä", 200), Size: 3, Uid: 70000}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		base := tempDir(t)
		write(t, base, map[string]string{"out/there": "before"})
		must(t, os.Chtimes(filepath.Join(base, "out"), testTime, testTime))
		before := snapshot(t, filepath.Join(base, "out"))
		root := openRoot(t, filepath.Join(base, "in"))
		_, err := extract(t, archive, root, ExtractOptions{MaxBytes: 1 << 20, Owner: func(*tar.Header) (int, int) { return os.Getuid(), os.Getgid() }})
		sameMap(t, "outside", snapshot(t, filepath.Join(base, "out")), before)
		names, listed := os.ReadDir(base)
		if listed != nil || len(names) != 2 {
			t.Errorf("%v, %v", names, listed)
		}
		if err != nil {
			return
		}
		options := CompareOptions{ExtractOptions: ExtractOptions{MaxBytes: 1 << 20, Owner: func(*tar.Header) (int, int) { return os.Getuid(), os.Getgid() }}}
		if _, err := Compare(t.Context(), bytes.NewReader(archive), root, options); err != nil {
			t.Errorf("what was extracted cannot be compared: %v", err)
		}
	})
}
