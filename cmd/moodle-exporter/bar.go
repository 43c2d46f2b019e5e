package main

import (
	"io"
	"os"
	"sync"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// bar shows a running job on a terminal, and nothing anywhere else: cron mails whatever is written.
type bar struct {
	to    io.Writer
	title string

	mu   sync.Mutex
	line *progressbar.ProgressBar
}

func newBar(to io.Writer, title string) *bar {
	if !terminal(to) {
		to = nil
	}
	return &bar{to: to, title: title}
}

func (b *bar) show(record job.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.to == nil || record.State != job.Running {
		return
	}
	if b.line == nil {
		b.line = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(b.to), progressbar.OptionShowBytes(true),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetWidth(20), progressbar.OptionThrottle(0))
	}
	title := b.title
	if step := record.AtWork(); step != "" {
		title += ": " + step
	}
	b.line.Describe(title)
	if record.TotalBytes > 0 && record.TotalBytes != b.line.GetMax64() {
		b.line.ChangeMax64(max(record.TotalBytes, record.DoneBytes))
	}
	_ = b.line.Set64(min(record.DoneBytes, max(record.TotalBytes, 0)))
}

// clear takes the bar away until it is shown again, so that a line can be written in its place.
func (b *bar) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line != nil {
		_ = b.line.Clear()
	}
}

// end takes the bar away, so that what is said next stands on a line of its own.
func (b *bar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line != nil {
		_ = b.line.Clear()
		b.to = nil
	}
}

// terminal says whether somebody is looking.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
