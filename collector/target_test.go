package collector

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// wantSeries compares all that c emits with a golden text of lines "name{labels} value", where a value of * is that of
// the moment but not 0. It lints the page and returns the error of the update.
func wantSeries(t *testing.T, c Collector, text string) error {
	t.Helper()
	page, updateErr := once(t, c)
	lint(t, page)
	families, err := page.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got, want := values(families), map[string]string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			cut := strings.LastIndexByte(line, ' ')
			want[line[:cut]] = line[cut+1:]
		}
	}
	for _, series := range slices.Sorted(maps.Keys(want)) {
		value, there := got[series]
		shown := strconv.FormatFloat(value, 'g', -1, 64)
		if !there || want[series] != shown && (want[series] != "*" || value == 0) {
			t.Errorf("%s is %s (there: %v), want %s", series, shown, there, want[series])
		}
	}
	for _, series := range slices.Sorted(maps.Keys(got)) {
		if _, wanted := want[series]; !wanted {
			t.Errorf("unexpected: %s %v", series, got[series])
		}
	}
	return updateErr
}

// wantTrouble is an error that says all these words, and none of the secrets.
func wantTrouble(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
}

// silent accepts connections and never answers.
func silent(t *testing.T) (address string) {
	t.Helper()
	return stand.AnswerLoopback(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// brieflyUpdate updates c with little time, and returns what it emitted all the same.
func brieflyUpdate(t *testing.T, c Collector) (map[string]float64, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var emitted buffer
	err := c.Update(ctx, emitted.add)
	families, inconsistent := assemble(emitted.close())
	if inconsistent != nil {
		t.Error(inconsistent)
	}
	return values(families), err
}

// eventually polls until check has nothing to say.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestTargetsAreReadSideBySide(t *testing.T) {
	met := make(chan struct{})
	err := sideBySide(t.Context(), []int{0, 1, 2, 3}, func(ctx context.Context, i int) error {
		switch i {
		case 0:
			met <- struct{}{}
			return errors.New("first")
		case 1:
			<-met
			return nil
		case 2:
			panic("oh")
		}
		if _, limited := ctx.Deadline(); !limited {
			t.Error("no deadline")
		}
		return errors.New("last")
	})
	text := err.Error()
	if !strings.HasPrefix(text, "first\npanic: oh") || !strings.HasSuffix(text, "\nlast") {
		t.Error(text)
	}
}
