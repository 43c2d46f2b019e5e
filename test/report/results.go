package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// event is one line of go test -json, see go doc test2json.
type event struct {
	Time                          time.Time
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

// result is one whole test, with what it says of itself.
type result struct {
	name, outcome string
	ended         time.Time
	took          time.Duration
	parts, failed int // subtests
	said          []string
}

var (
	// logged is the output of t.Log by a test itself.
	logged = regexp.MustCompile(`^ {4}\w+_test\.go:\d+: (?:proof: )?(.*)$`)
	// marked is what one of its subtests logs for this page; most of what they log is how it went, not what came of it.
	marked = regexp.MustCompile(`^ +\w+_test\.go:\d+: proof: (.*)$`)
)

// readResults are the tests in a stream of events, in the order in which they began. One that did not end has no outcome.
func readResults(r io.Reader) ([]*result, error) {
	var results []*result
	known := map[string]*result{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // what a compiler or a crash has printed in between
		}
		whole, sub, isPart := strings.Cut(e.Test, "/")
		if whole == "" {
			continue
		}
		one := known[e.Package+" "+whole]
		if one == nil {
			one = &result{name: whole, outcome: "DID NOT END"}
			known[e.Package+" "+whole], results = one, append(results, one)
		}
		one.ended = e.Time
		switch ended := e.Action == "pass" || e.Action == "fail" || e.Action == "skip"; {
		case ended && !isPart:
			one.outcome, one.took = map[string]string{"pass": "passed", "fail": "FAILED", "skip": "was skipped"}[e.Action], time.Duration(e.Elapsed*float64(time.Second))
		case ended && !strings.Contains(sub, "/"):
			one.parts++
			if e.Action == "fail" {
				one.failed++
			}
		case e.Action == "output":
			one.hear(sub, strings.TrimRight(e.Output, "\n"))
		}
	}
	return results, lines.Err()
}

// hear keeps what belongs on the page of a line that the test or one of its subtests has printed.
func (r *result) hear(part, line string) {
	if part == "" {
		if text := logged.FindStringSubmatch(line); text != nil && !strings.HasPrefix(text[1], "time=") { // not what the program logs
			r.said = append(r.said, text[1])
		}
	} else if text := marked.FindStringSubmatch(line); text != nil {
		r.said = append(r.said, strings.ReplaceAll(part, "_", " ")+": "+text[1])
	}
}

// tell is a list of tests, each with its words.
func tell(results []*result) string {
	var page strings.Builder
	for _, one := range results {
		fmt.Fprintf(&page, "- **%s** %s, %s, after %s", one.name, one.outcome, one.ended.UTC().Format("2006-01-02 15:04 UTC"), one.took.Round(time.Second))
		if one.parts > 0 {
			fmt.Fprintf(&page, "; %d parts, %d of them failed", one.parts, one.failed)
		}
		page.WriteString("\n")
		if len(one.said) > 0 {
			fmt.Fprintf(&page, "\n  ```\n  %s\n  ```\n\n", strings.Join(one.said, "\n  "))
		}
	}
	return page.String()
}
