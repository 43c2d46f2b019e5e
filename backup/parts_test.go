package backup

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

func compressText(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	must(t, compression{}.compress(&out, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }))
	return out.Bytes()
}

func TestRetain(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	days := func(kinds string, ages ...int) (candidates []Candidate) {
		for i, age := range ages {
			kind := kinds[i%len(kinds)]
			candidates = append(candidates, Candidate{
				ID: fmt.Sprint(age), Time: now.Add(-time.Duration(age) * day),
				Complete: kind != 'p' && kind != 'x', Full: kind != 'p', Good: kind != 'b' && kind != 'u', Readable: kind != 'u', Verified: kind == 'v',
			})
		}
		return candidates
	}
	for name, test := range map[string]struct {
		candidates []Candidate
		keep       config.Keep
		want       string
	}{
		"nothing":                                {nil, config.Keep{Last: 3}, ""},
		"the default":                            {days("c", 0, 7, 89, 90, 91, 200), config.Keep{Within: config.Duration(90 * day), Last: 3}, "0 7 89 90"},
		"the last three however old":             {days("c", 300, 400, 500, 600), config.Keep{Within: config.Duration(90 * day), Last: 3}, "300 400 500"},
		"no rule at all keeps the newest":        {days("c", 10, 20), config.Keep{}, "10"},
		"the newest good, not the newest":        {days("bc", 1, 20), config.Keep{}, "20"},
		"the newest verified stays":              {days("ccvv", 1, 2, 3, 4), config.Keep{}, "1 3"},
		"a bad one within":                       {days("bcc", 5, 6, 7), config.Keep{Within: config.Duration(6 * day)}, "5 6"},
		"bad ones do not count":                  {days("bcbcc", 1, 2, 3, 4, 5), config.Keep{Last: 2}, "2 4"},
		"an unreadable one stays":                {days("uc", 500, 1), config.Keep{Last: 1}, "500 1"},
		"parts within":                           {days("cpp", 1, 5, 50), config.Keep{Within: config.Duration(10 * day)}, "1 5"},
		"parts do not count":                     {days("pcpc", 20, 21, 22, 23), config.Keep{Last: 1}, "20 21"},
		"only parts":                             {days("p", 100, 200), config.Keep{Last: 1}, "100 200"},
		"content elsewhere":                      {days("x", 10, 20, 30, 40), config.Keep{Last: 2}, "10 20"},
		"content elsewhere pushes nothing out":   {days("xxcc", 1, 2, 300, 400), config.Keep{Last: 1}, "1 300"},
		"parts beside content elsewhere":         {days("pxp", 1, 2, 300), config.Keep{Last: 1}, "1 2"},
		"daily, one each":                        {days("c", 0, 0, 1, 2, 3), config.Keep{Daily: 3}, "0 1 2"},
		"weekly, ISO weeks":                      {days("c", 0, 1, 2, 3, 9, 16), config.Keep{Weekly: 2}, "0 2"},
		"monthly":                                {days("c", 0, 20, 31, 40, 62), config.Keep{Monthly: 3}, "0 31 62"},
		"yearly":                                 {days("c", 0, 80, 91, 400, 500), config.Keep{Yearly: 2}, "0 91"},
		"those from the future do not count":     {days("c", -3, -2, 0, 5), config.Keep{Last: 1}, "-3 -2 0"},
		"a period with a gap is not made up for": {days("c", 0, 400, 800), config.Keep{Monthly: 2}, "0 400"},
	} {
		candidates := test.candidates
		shuffled := slices.Clone(candidates)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		kept := map[string]int{}
		for _, d := range Retain(shuffled, test.keep, now) {
			if d.Keep() {
				kept[d.ID]++
			}
		}
		var got []string
		for _, c := range candidates {
			if kept[c.ID] > 0 {
				kept[c.ID]--
				got = append(got, c.ID)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: keeps %v, want %s", name, got, test.want)
		}
	}
}

func TestRightsOf(t *testing.T) {
	most := "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON "
	for name, test := range map[string]struct {
		grants []string
		want   int // lacking statements
	}{
		"root":                       {[]string{"GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` IDENTIFIED VIA unix_socket WITH GRANT OPTION", "GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION"}, 0},
		"owner":                      {[]string{"GRANT USAGE ON *.* TO `m`@`localhost` IDENTIFIED BY PASSWORD '*A'", "GRANT ALL PRIVILEGES ON `moodle_x`.* TO `m`@`localhost`"}, 0},
		"wildcard escaped":           {[]string{most + "`moodle\\_x`.* TO `m`@`%`"}, 0},
		"wildcards":                  {[]string{most + "`moo%`.* TO `m`@`%`"}, 0},
		"single character":           {[]string{most + "`moodle__`.* TO `m`@`%`"}, 0},
		"of another":                 {[]string{most + "`moodle`.* TO `m`@`%`", most + "`moodle\\_y`.* TO `m`@`%`"}, 2},
		"in pieces":                  {[]string{"GRANT SELECT, TRIGGER ON *.* TO `m`@`%`", "GRANT SHOW VIEW, EVENT ON `moodle_x`.* TO `m`@`%`"}, 0},
		"only a table":               {[]string{"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `moodle_x`.`t` TO `m`@`%`"}, 2},
		"only columns":               {[]string{"GRANT SELECT (`a`, `b`), SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `moodle_x`.* TO `m`@`%`"}, 1},
		"only a routine":             {[]string{"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `moodle_x`.* TO `m`@`%`", "GRANT EXECUTE ON PROCEDURE `moodle_x`.`p` TO `m`@`%`"}, 1},
		"routines by mysql.proc":     {[]string{"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `moodle_x`.* TO `m`@`%`", "GRANT SELECT ON `mysql`.`proc` TO `m`@`%`"}, 0},
		"routines by MySQL 8's name": {[]string{"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `moodle_x`.* TO `m`@`%`", "GRANT SHOW_ROUTINE ON *.* TO `m`@`%`"}, 0},
		"a role that is on":          {[]string{"GRANT `backup` TO `m`@`%`", "GRANT USAGE ON *.* TO `m`@`%`", most + "`moodle_x`.* TO `backup`"}, 0},
		"ANSI quotes":                {[]string{most + `"moodle_x".* TO "m"@"%"`}, 0},
		"nothing":                    {[]string{"GRANT USAGE ON *.* TO `m`@`%`"}, 2},
	} {
		if got := rightsOf(test.grants, "moodle_x").lacking("MariaDB", "moodle_x"); len(got) != test.want {
			t.Errorf("%s: lacking %q, want %d", name, got, test.want)
		}
	}
}

// TestReferences: whatever goes in, in any order and however often, comes out sorted and once.
func TestReferences(t *testing.T) {
	for _, limit := range []int{1, 2, 7, 1000, runLength} {
		r, err := newReferences(t.TempDir())
		must(t, err)
		r.limit = limit
		must(t, r.add(reference{blob: blob{sum{1}, 1}})) // of an attempt that is begun anew
		must(t, r.flush())
		must(t, r.reset())
		want := map[sum]reference{}
		for range 500 {
			n := rand.IntN(200)
			named := reference{blob{sum(sha1.Sum(fmt.Append(nil, n))), int64(rand.IntN(5))}, rand.IntN(2) == 0}
			must(t, r.add(named))
			if old, known := want[named.sum]; known {
				named.size, named.alias = max(named.size, old.size), named.alias && old.alias
			}
			want[named.sum] = named
		}
		var last sum
		count := 0
		must(t, r.each(func(got reference) error {
			if count++; got != want[got.sum] || count > 1 && compareSums(last, got.sum) >= 0 {
				t.Errorf("limit %d: got %v after %v, want %v", limit, got, last, want[got.sum])
			}
			last = got.sum
			return nil
		}))
		if count != len(want) {
			t.Errorf("limit %d: %d came out, want %d", limit, count, len(want))
		}
		r.close()
	}
}

func TestListReaderRefusesDamage(t *testing.T) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	for text, lines := range map[string]int{
		"": 0, a + " 1\n": 1, a + " 1\n" + b + " 0\n": 2,
		a + " 1": -1, a + "\n": -1, a + " -1\n": -1, a + " 1\n" + a + " 1\n": -1, b + " 1\n" + a + " 1\n": -1,
		strings.ToUpper(a) + " 1\n": -1, a[1:] + "g 1\n": -1, "\n": -1, a + " 99999999999999999999\n": -1, strings.Repeat("a", 1<<17): -1,
	} {
		list := newListReader(strings.NewReader(text))
		count := 0
		var err error
		for err == nil {
			if _, err = list.next(); err == nil {
				count++
			}
		}
		if !errors.Is(err, io.EOF) {
			count = -1
		}
		if count != lines {
			t.Errorf("%.90q: read %d lines (%v), want %d", text, count, err, lines)
		}
	}
}

func FuzzListReader(f *testing.F) {
	f.Add([]byte(someHash + " 12\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list := newListReader(bytes.NewReader(text))
		var out bytes.Buffer
		again := newListWriter(&out)
		for {
			b, err := list.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return
			}
			must(t, again.add(b))
		}
		must(t, again.flush())
		if rest := newListReader(&out); len(text) > 0 {
			if _, err := rest.next(); err != nil {
				t.Errorf("what was read is not written back: %v", err)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":1,"id":"20260101T000000Z","files":[{"name":"code.tar.zst","size":1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(bytes.NewReader(text))
		if err == nil && m.Format != Format {
			t.Error("an unknown format was taken")
		}
		if err == nil {
			for _, file := range m.Files {
				if strings.Contains(file.Name, "/") || file.Name == ".." {
					t.Errorf("the name %q leads out", file.Name)
				}
			}
		}
	})
}
