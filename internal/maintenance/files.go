package maintenance

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// Trees is what both tasks that clean need of the host.
type Trees struct {
	// Protect names directories that are left alone wherever they lie: sites, their data, backups, our own state.
	Protect  func(context.Context) []string
	ProcRoot string // /proc: files that are open stay
	Clock    func() time.Time
}

// spared are names below /tmp that belong to programs which come back to them without touching them: systemd.exec(5) and
// tmpfiles.d/x11.conf, systemd-tmp.conf; snapd; the locks of X servers and of MySQL's and PostgreSQL's sockets.
var spared = []string{
	"systemd-private-*", "snap-private-tmp", "snap.*", ".X11-unix", ".ICE-unix", ".XIM-unix", ".font-unix", ".Test-unix", ".X*-lock",
	"*.sock.lock", ".s.PGSQL.*.lock", "tmux-*", "screen*", "uscreen*", ".mount_*", "lost+found", "aquota.*", "quota.*", "ssh-*", "dbus-*",
}

// NewTmp makes the task tmp: files that nobody has read, written or changed for the configured time go, directories stay.
// Like systemd-tmpfiles, it takes the newest of a file's times: an unpacked archive brings old ones along.
func NewTmp(settings config.Cleaning, trees Trees) Task {
	return newCleaning("tmp", trees, cleaner{
		Cleaning: settings,
		used: func(s *unix.Stat_t) time.Time {
			return slices.MaxFunc([]time.Time{moment(s.Atim), moment(s.Mtim), moment(s.Ctim)}, time.Time.Compare)
		},
		takes: func(string, int64) bool { return true },
		spares: func(name string) bool {
			return slices.ContainsFunc(spared, func(pattern string) bool {
				matched, err := filepath.Match(pattern, name)
				return matched && err == nil
			})
		},
	})
}

// logName is a log, or what logrotate has made of one: x.log, x.log.1, x.log.2.gz, x.log-20260131.zst, x.log.old.
var logName = regexp.MustCompile(`(?s)\.log([.-](old|[0-9]+(-[0-9]+)*))?(\.(gz|xz|bz2|zst))?$`)

// NewLogs makes the task logs: logs, rotated ones too, that nobody has written to for the configured time go. Only writing
// counts: a backup reads them all, and logrotate renames them.
func NewLogs(settings config.Cleaning, trees Trees) Task {
	return newCleaning("logs", trees, cleaner{
		Cleaning: settings,
		used:     func(s *unix.Stat_t) time.Time { return moment(s.Mtim) },
		// An empty one is a place that somebody has prepared for a server to write to: no space would be won.
		takes:  func(name string, size int64) bool { return size > 0 && logName.MatchString(name) },
		spares: func(string) bool { return false },
	})
}

func newCleaning(name string, trees Trees, rules cleaner) Task {
	rules.procRoot, rules.clock = trees.ProcRoot, trees.Clock
	return Task{
		Name: name,
		Run: func(ctx context.Context, run *job.Run) error {
			c := rules
			c.protect, c.logger = trees.Protect(ctx), run.Logger
			err := c.run(ctx)
			run.Logger.Info("cleaned", "task", name, "roots", strings.Join(c.Roots, " "), "files", c.found.files, "size", c.found.bytes,
				"left_open", c.found.open, "left_linked", c.found.linked, "failed", c.found.failed)
			return err
		},
		Preview: func(ctx context.Context, to io.Writer) error {
			c := rules
			c.protect, c.list = trees.Protect(ctx), to
			err := c.run(ctx)
			_, _ = fmt.Fprintf(to, "would remove %d files, %d bytes, untouched for %s below %s; leaves %d that are open and %d that have another name\n",
				c.found.files, c.found.bytes, c.Age, strings.Join(c.Roots, ", "), c.found.open, c.found.linked)
			return err
		},
	}
}

func moment(t unix.Timespec) time.Time { return time.Unix(t.Unix()) }
