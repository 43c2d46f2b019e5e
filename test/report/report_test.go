package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const events = `{"Time":"2026-11-22T21:00:00Z","Action":"run","Package":"p","Test":"TestAttacked"}
{"Time":"2026-11-22T21:00:00Z","Action":"output","Package":"p","Test":"TestAttacked","Output":"    proof_test.go:45: 200 kills of the run\n"}
{"Time":"2026-11-22T21:00:00Z","Action":"output","Package":"p","Test":"TestAttacked","Output":"    proof_test.go:46: time=2026-11-22T21:00:00Z level=INFO msg=x\n"}
not an event
{"Time":"2026-11-22T21:00:01Z","Action":"output","Package":"p","Test":"TestAttacked/001","Output":"        a_test.go:1: of a part\n"}
{"Time":"2026-11-22T21:00:01Z","Action":"output","Package":"p","Test":"TestAttacked/the_001","Output":"        a_test.go:2: proof: closed for 2 s\n"}
{"Time":"2026-11-22T21:00:01Z","Action":"pass","Package":"p","Test":"TestAttacked/001","Elapsed":1}
{"Time":"2026-11-22T21:00:02Z","Action":"fail","Package":"p","Test":"TestAttacked/002","Elapsed":1}
{"Time":"2026-11-22T21:00:02Z","Action":"fail","Package":"p","Test":"TestAttacked","Elapsed":2}
{"Time":"2026-11-22T21:00:03Z","Action":"run","Package":"p","Test":"TestOther"}
{"Time":"2026-11-22T21:00:03Z","Action":"fail","Package":"p","Elapsed":3}
`

func TestReport(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"2-kills.title": "Attacked\n", "2-kills.json": events, "1-bench.title": "Speed", "1-bench.txt": "ours is 2.0 x as fast\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var page strings.Builder
	if err := report(&page, dir); err != nil {
		t.Fatal(err)
	}
	const want = "\n## Speed\n\n```\nours is 2.0 x as fast\n```\n\n## Attacked\n\n" +
		"- **TestAttacked** FAILED, 2026-11-22 21:00 UTC, after 2s; 2 parts, 1 of them failed\n" +
		"\n  ```\n  200 kills of the run\n  the 001: closed for 2 s\n  ```\n\n" +
		"- **TestOther** DID NOT END, 2026-11-22 21:00 UTC, after 0s\n"
	if _, parts, _ := strings.Cut(page.String(), "Machine: "); !strings.HasSuffix(parts, want) {
		t.Errorf("%s", page.String())
	}
	if err := report(&page, t.TempDir()); err == nil {
		t.Error("a page of nothing")
	}
}
