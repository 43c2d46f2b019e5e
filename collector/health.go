package collector

import (
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxReason bounds what one failure may put into the log, in bytes. It holds a panic with the top of its stack.
const maxReason = 2000

// volatile parts of an error text, such as ports, addresses and durations, do not make it another error.
var volatile = regexp.MustCompile(`0x[0-9a-f]+|[0-9]+(\.[0-9]+)?(ns|µs|ms|m|s|h)?`)

// maxTold bounds the reasons that one failure is logged with. What hangs shows itself in many words, in turn.
const maxTold = 8

// health logs a failure when it starts, each new reason once, and its end, not every scrape.
type health struct {
	logger *slog.Logger
	clock  func() time.Time

	mu    sync.Mutex
	told  map[string]bool // reasons logged since the failure began, none while all is well
	text  string          // of the last failure, "" while all is well
	since time.Time
}

// report takes the result of one run.
func (h *health) report(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		if h.text != "" {
			h.logger.Info("reading works again", "failed_for", h.clock().Sub(h.since).Round(time.Second))
		}
		h.text, h.told = "", nil
		return
	}
	begun := h.text == ""
	text := err.Error()
	h.text = text[:min(len(text), maxReason)]
	reason := reasonOf(h.text)
	if h.told[reason] || len(h.told) >= maxTold {
		return
	}
	if begun {
		h.since, h.told = h.clock(), map[string]bool{reason: true}
		h.logger.Error("reading failed, metrics are missing or incomplete", "err", h.text)
		return
	}
	h.told[reason] = true
	h.logger.Error("reading still fails, for another reason", "err", h.text)
}

// reasonOf makes texts equal that tell the same: the errors of several sites come in any order.
func reasonOf(text string) string {
	lines := strings.Split(volatile.ReplaceAllString(text, "#"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// failure is what is wrong now, or nothing.
func (h *health) failure() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text
}
