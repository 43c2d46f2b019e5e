package collector

import (
	"log/slog"
	"regexp"
	"sync"
	"time"
)

// maxReason bounds what one failure may put into the log, in bytes. It holds a panic with the top of its stack.
const maxReason = 2000

// volatile parts of an error text, such as ports, addresses and durations, do not make it another error.
var volatile = regexp.MustCompile(`0x[0-9a-f]+|[0-9]+(\.[0-9]+)?(ns|µs|ms|m|s|h)?`)

// health logs a failure when it starts, when its reason changes and when it ends, not at every scrape.
type health struct {
	logger *slog.Logger
	clock  func() time.Time

	mu     sync.Mutex
	reason string
	text   string // of the last failure, "" while all is well
	since  time.Time
}

// report takes the result of one run.
func (h *health) report(err error) {
	reason, text := "", ""
	if err != nil {
		text = err.Error()
		text = text[:min(len(text), maxReason)]
		reason = volatile.ReplaceAllString(text, "#")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = text
	switch {
	case reason == h.reason:
		return
	case reason == "":
		h.logger.Info("reading works again", "failed_for", h.clock().Sub(h.since).Round(time.Second))
	case h.reason == "":
		h.since = h.clock()
		h.logger.Error("reading failed, metrics are missing or incomplete", "err", text)
	default:
		h.logger.Error("reading still fails, for another reason", "err", text)
	}
	h.reason = reason
}

// failure is what is wrong now, or nothing.
func (h *health) failure() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text
}
