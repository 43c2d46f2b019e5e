package redis

import (
	"bufio"
	"context"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestCountKeys(t *testing.T) {
	server := start(t, hardPassword)
	c := client(t, server.Address, "", hardPassword)
	for i := range 2500 {
		tell(t, c, "SET", "odd[*]?\\session_"+strconv.Itoa(i), "x")
	}
	for _, key := range []string{"oddX", "odd[*]?\\session_1.lock", "odd[*]?\\user_2", "session_0", "oddXY?\\session_1"} {
		tell(t, c, "SET", key, "x")
	}
	tell(t, c, "SELECT", "3")
	tell(t, c, "SET", "session_3", "x")
	for _, test := range []struct {
		database int
		prefix   string
		want     int
	}{{0, "odd[*]?\\session_", 2500}, {0, "session_", 1}, {0, "none", 0}, {3, "session_", 1}, {3, "odd", 0}} {
		got, err := CountKeys(t.Context(), c.Login(), test.database, test.prefix)
		if err != nil || got != test.want {
			t.Errorf("%q in %d: %d (%v), want %d", test.prefix, test.database, got, err, test.want)
		}
	}
	if _, err := CountKeys(t.Context(), Login{Address: server.Address}, 0, ""); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without the password: %v", err)
	}
	if _, err := CountKeys(t.Context(), c.Login(), 9999, ""); err == nil {
		t.Error("a database that is not there")
	}
	ended, end := context.WithTimeout(t.Context(), time.Nanosecond)
	defer end()
	if _, err := CountKeys(ended, c.Login(), 0, ""); err == nil {
		t.Error("counted after its time")
	}
}

func TestReadScan(t *testing.T) {
	for text, want := range map[string]int{
		"*2\r\n$1\r\n7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n": 2, "*2\r\n$1\r\n0\r\n*0\r\n": 0, "*3\r\n": -1, "*-1\r\n": -1, "-ERR x\r\n": -1, "$1\r\na\r\n": -1,
		"*2\r\n$1\r\n7\r\n*99999999\r\n": -1, "*2\r\n$1\r\n7\r\n*1\r\n*1\r\n": -1, "": -1, "*2\r\n": -1,
	} {
		_, keys, err := readScan(bufio.NewReader(strings.NewReader(text)))
		if (err != nil) != (want < 0) || err == nil && len(keys) != want {
			t.Errorf("%q: %d keys (%v), want %d", text, len(keys), err, want)
		}
	}
}

func FuzzReadScan(f *testing.F) {
	f.Add("*2\r\n$1\r\n7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, keys, err := readScan(bufio.NewReader(strings.NewReader(text)))
		if err == nil && len(keys)*4 > len(text) {
			t.Errorf("%d keys in %d bytes", len(keys), len(text))
		}
	})
}
