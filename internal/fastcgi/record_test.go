package fastcgi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// record is one record as a server sends it.
func record(kind byte, content string, padding int) string {
	header := []byte{1, kind, 0, 1, 0, 0, byte(padding), 0}
	binary.BigEndian.PutUint16(header[4:], uint16(len(content)))
	return string(header) + content + strings.Repeat("\xff", padding)
}

const ended = "\x00\x00\x00\x00\x00\x00\x00\x00"

func TestReadResponse(t *testing.T) {
	plain := "Content-Type: text/plain\r\n\r\nbody"
	for _, test := range []struct {
		name, sent, body, problem string
	}{
		{"plain", record(6, plain, 0) + record(6, "", 0) + record(3, ended, 0), "body", ""},
		{"split in odd places", record(6, plain[:9], 3) + record(7, "", 255) + record(6, plain[9:26], 0) + record(6, plain[26:], 1) + record(3, ended, 7), "body", ""},
		{"line feeds alone", record(6, "A: b\n\nbody\r\n\r\n", 0) + record(3, ended, 0), "body\r\n\r\n", ""},
		{"status", record(6, "Status: 404 Not Found\n\nbody", 0) + record(3, ended, 0), "body", ""},
		{"nothing after the end is read", record(6, plain, 0) + record(3, ended, 0) + "garbage", "body", ""},
		{"nothing at all", "", "", "unexpected EOF"},
		{"no end", record(6, plain, 0), "", "unexpected EOF"},
		{"short header", "\x01\x06", "", "unexpected EOF"},
		{"short content", record(6, plain, 0)[:20], "", "unexpected EOF"},
		{"padding missing", record(6, plain, 0) + record(3, ended, 9)[:20], "", "unexpected EOF"},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", "", "does not speak FastCGI: version 72"},
		{"other request", "\x01\x06\x00\x02\x00\x00\x00\x00", "", "answer to request 2"},
		{"unknown type", record(11, ended, 0), "", "record of type 11"},
		{"short end", record(6, plain, 0) + record(3, "\x00", 0), "", "too short"},
		{"overloaded", record(3, "\x00\x00\x00\x00\x02\x00\x00\x00", 0), "", "refused: it is overloaded"},
		{"unknown refusal", record(3, "\x00\x00\x00\x00\x09\x00\x00\x00", 0), "", "unknown state 9"},
		{"no headers", record(6, "secret words\r\n", 0) + record(3, ended, 0), "", "14 bytes does not begin with CGI headers"},
		{"empty", record(3, ended, 0), "", "0 bytes does not begin"},
		{"bad status", record(6, "Status: xx\n\n", 0) + record(3, ended, 0), "", `"xx" is none of HTTP`},
		{"too large", strings.Repeat(record(6, strings.Repeat("x", 65535), 255), 17), "", "more than 1048576 bytes"},
	} {
		for way, reader := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader} {
			response, err := readResponse(reader(strings.NewReader(test.sent)))
			switch {
			case test.problem == "" && err != nil:
				t.Errorf("%s, %s: %v", test.name, way, err)
			case test.problem == "" && string(response.Body) != test.body:
				t.Errorf("%s, %s: body %q", test.name, way, response.Body)
			case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem) || strings.Contains(err.Error(), "secret")):
				t.Errorf("%s, %s: %v, want %q", test.name, way, err, test.problem)
			}
		}
	}
}

func TestStderrIsCapped(t *testing.T) {
	sent := strings.Repeat(record(7, strings.Repeat("e", 65535), 0), 3) + record(6, "A: b\n\n", 0) + record(3, "\x00\x00\x01\x00\x00\x00\x00\x00", 0)
	response, err := readResponse(strings.NewReader(sent))
	if err != nil || len(response.Stderr) != maxStderr || response.AppStatus != 256 || response.Status != 200 {
		t.Errorf("%v, %v", response, err)
	}
}

// Lengths up to 127 take one byte, others four (specification, section 3.4).
func TestEncodeParam(t *testing.T) {
	short, long := strings.Repeat("w", 127), strings.Repeat("v", 128)
	for _, test := range []struct{ name, value, want string }{
		{"A", "", "\x01\x00A"}, {"BC", short, "\x02\x7fBC" + short}, {"D", long, "\x01\x80\x00\x00\x80D" + long}, {long, "x", "\x80\x00\x00\x80\x01" + long + "x"},
	} {
		if got, err := encodeParam(test.name, test.value); err != nil || string(got) != test.want {
			t.Errorf("%v: %q", err, got)
		}
	}
	if got, err := encodeParam("HUGE", strings.Repeat("x", 65536)); err == nil || len(err.Error()) > 200 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// PHP reads each record of parameters by itself.
func TestNoRecordEndsInsideAParameter(t *testing.T) {
	params, left := map[string]string{}, map[string]string{}
	for i := range 9 {
		params[strconv.Itoa(i)] = strings.Repeat("x", 1<<14)
	}
	var sent bytes.Buffer
	if err := writeParams(&sent, params); err != nil {
		t.Fatal(err)
	}
	records := 0
	for {
		kind, content, err := readRecord(&sent)
		if err != nil || kind != typeParams {
			t.Fatal(kind, err)
		}
		if len(content) == 0 {
			break
		}
		records++
		for len(content) > 0 {
			left[string(content[5:6])] = string(content[6 : 6+1<<14])
			content = content[6+1<<14:]
		}
	}
	if records != 3 || !maps.Equal(params, left) || sent.Len() > 0 {
		t.Errorf("%d records, %d parameters, %d bytes left", records, len(left), sent.Len())
	}
}

func TestWriteRequest(t *testing.T) {
	var sent bytes.Buffer
	if err := writeRequest(&sent, Request{Params: map[string]string{"A": "b"}, Stdin: bytes.Repeat([]byte("s"), 65536)}); err != nil {
		t.Fatal(err)
	}
	want := record(1, "\x00\x01\x00\x00\x00\x00\x00\x00", 0) + record(4, "\x01\x01Ab", 4) + record(4, "", 0) +
		record(5, strings.Repeat("s", 65535), 1) + record(5, "s", 7) + record(5, "", 0)
	plain := strings.NewReplacer("\xff", "\x00").Replace // padding may hold anything
	if got := sent.String(); plain(got) != plain(want) {
		t.Errorf("sent %d bytes, want %d", len(got), len(want))
	}
}

func FuzzReadResponse(f *testing.F) {
	f.Add([]byte(record(6, "A: b\r\n\r\nbody", 3) + record(7, "e", 7) + record(3, ended, 0)))
	f.Add([]byte(record(3, ended, 0)[:9]))
	f.Add([]byte("HTTP/1.1 200 OK"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		response, err := readResponse(bytes.NewReader(sent))
		if (response == nil) == (err == nil) {
			t.Fatalf("%v, %v", response, err)
		}
		if err != nil && errors.Is(err, io.EOF) {
			t.Fatalf("a broken answer looks like a proper end: %v", err)
		}
		if response != nil && (len(response.Body) > MaxResponse || len(response.Stderr) > maxStderr || response.Status < 100 || response.Status > 999) {
			t.Fatalf("out of bounds: %d bytes, %d of errors, status %d", len(response.Body), len(response.Stderr), response.Status)
		}
	})
}
