package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// mountPatience is how long a filesystem may take to answer before it counts as hung. A healthy one takes microseconds.
const mountPatience = time.Second

var (
	filesystemSize       = filesystemDesc("size_bytes", "Size of the filesystem.")
	filesystemAvail      = filesystemDesc("avail_bytes", "Space left for ordinary users.")
	filesystemFree       = filesystemDesc("free_bytes", "Space left, with what is reserved for root.")
	filesystemFiles      = filesystemDesc("files", "Files (inodes) there can be; absent where there is no limit.")
	filesystemFilesFree  = filesystemDesc("files_free", "Files (inodes) that can still be made.")
	filesystemReadonly   = filesystemDesc("readonly", "1 if the filesystem is read-only, as after a disk error.")
	filesystemResponding = filesystemDesc("responding", "0 if the filesystem hangs or gives an error; its sizes are then absent.")
	filesystemRole       = desc("host", "filesystem_role_info", "What the filesystem is used for.", "mountpoint", "role")
)

// filesystemDesc names a metric of one mount.
func filesystemDesc(name, help string) *prometheus.Desc {
	return desc("host", "filesystem_"+name, help, "mountpoint", "fstype")
}

// Filesystem reads the size of every real filesystem, and of any that has a role.
type Filesystem struct {
	procRoot string
	roles    *roles
	calls    *statfsCalls
}

// NewFilesystem reads the mounts below procRoot and asks them with statfs: /proc and Statfs but in tests.
func NewFilesystem(procRoot string, list []Role, statfs func(path string) (unix.Statfs_t, error)) *Filesystem {
	return &Filesystem{
		procRoot: procRoot, roles: newRoles(list),
		calls: &statfsCalls{statfs: statfs, pending: map[int]*statfsCall{}},
	}
}

// Name implements Collector.
func (*Filesystem) Name() string { return "filesystem" }

// Update implements Collector. A mount that hangs is no error of the collector: responding says it.
func (f *Filesystem) Update(ctx context.Context, emit Emit) error {
	looking, cancel := context.WithTimeout(ctx, mountPatience)
	defer cancel()
	mounts, err := readMounts(f.procRoot)
	f.roles.look(looking.Done())
	byMount := f.roles.byMount(mounts)
	// The mounts get a time of their own: a role's path that hangs must not make all of them look hung.
	ctx, cancel = context.WithTimeout(ctx, mountPatience)
	defer cancel()

	chosen := relevant(mounts, byMount)
	calls := make([]*statfsCall, len(chosen))
	for i, m := range chosen {
		calls[i] = f.calls.ask(m)
	}
	errs := []error{err}
	taken := map[string]bool{}
	for i, m := range chosen {
		label := printable(m.point)
		if taken[label] {
			continue // two paths that are not UTF-8 can look the same
		}
		taken[label] = true
		errs = append(errs, emitMount(emit, m, label, byMount[m.point], wait(ctx, calls[i])))
	}
	return errors.Join(errs...)
}

// relevant picks the mounts with a role, and each other real filesystem once, at its shortest path.
func relevant(mounts []mount, byMount map[string][]string) []mount {
	covered := map[string]bool{}
	var chosen, rest []mount
	for _, m := range mounts {
		switch {
		case m.fstype == "autofs":
		case len(byMount[m.point]) > 0:
			chosen = append(chosen, m)
			covered[m.device] = true
		case !pseudo.MatchString(m.fstype) && !private.MatchString(m.point):
			rest = append(rest, m)
		}
	}
	slices.SortStableFunc(rest, func(a, b mount) int { return len(a.point) - len(b.point) })
	for _, m := range rest {
		if !covered[m.device] {
			covered[m.device] = true
			chosen = append(chosen, m)
		}
	}
	return chosen
}

// wait returns the call if it came back before ctx ended, else nil. An answer that is there counts even then.
func wait(ctx context.Context, call *statfsCall) *statfsCall {
	if call == nil {
		return nil
	}
	select {
	case <-call.done:
		return call
	case <-ctx.Done():
	}
	select {
	case <-call.done:
		return call
	default:
		return nil
	}
}

// emitMount emits one mount; call is nil if it does not answer. An error is one of the collector only where the site
// stands on the mount. The mounts of other users' FUSE programs are closed to us, and nothing is wrong with them.
func emitMount(emit Emit, m mount, label string, roleNames []string, call *statfsCall) error {
	var err error
	if call != nil && call.err != nil && len(roleNames) > 0 {
		err = fmt.Errorf("ask the filesystem on %s for its size: %w", label, call.err)
	}
	if call != nil && errors.Is(call.err, unix.EACCES) && len(roleNames) == 0 {
		return nil
	}
	answered := call != nil && call.err == nil
	emit.gauge(filesystemResponding, flag(answered), label, m.fstype)
	emit.gauge(filesystemReadonly, flag(m.readonly), label, m.fstype)
	if answered {
		emitSizes(emit, label, m.fstype, call.answer)
	}
	slices.Sort(roleNames)
	for _, name := range slices.Compact(roleNames) {
		emit.gauge(filesystemRole, 1, label, name)
	}
	return err
}

// emitSizes counts in f_frsize, the unit of f_blocks by statvfs(3); only FUSE has f_bsize differ from it.
func emitSizes(emit Emit, label, fstype string, answer unix.Statfs_t) {
	unit := float64(answer.Frsize)
	if unit <= 0 {
		unit = float64(answer.Bsize)
	}
	emit.gauge(filesystemSize, float64(answer.Blocks)*unit, label, fstype)
	emit.gauge(filesystemAvail, float64(answer.Bavail)*unit, label, fstype)
	emit.gauge(filesystemFree, float64(answer.Bfree)*unit, label, fstype)
	if answer.Files > 0 { // btrfs and vfat have no limit and say 0
		emit.gauge(filesystemFiles, float64(answer.Files), label, fstype)
		emit.gauge(filesystemFilesFree, float64(answer.Ffree), label, fstype)
	}
}
