package collector

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// mount is one line of mountinfo, proc_pid_mountinfo(5).
type mount struct {
	id, parent int
	// device is major:minor of the filesystem, the same for all mounts of it.
	device string
	// root is the directory of the filesystem that is mounted; not / for a bind mount of a part.
	root   string
	point  string
	fstype string
	// readonly is that of the filesystem. Of the mount it would be true of everything in a service's sandbox.
	readonly bool
}

// pseudo filesystems have no disk behind them, or are always full. tmpfs and overlay count where they have a role.
var pseudo = regexp.MustCompile(`^(aufs|autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|erofs|` +
	`fuse\.(gvfsd-fuse|lxcfs|portal|snapfuse)|fusectl|hugetlbfs|iso9660|mqueue|nfsd|nsfs|overlay|proc|pstore|ramfs|` +
	`rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tmpfs|tracefs|udf)$`)

// private mounts belong to container engines and to systemd; the filesystem below them is counted already.
var private = regexp.MustCompile(`^/(dev|proc|sys|run/credentials|var/lib/(docker|containers/storage|kubelet/pods))(/|$)`)

// readMounts returns the mounts of this process' own namespace, the one that statfs will look at.
func readMounts(procRoot string) ([]mount, error) {
	content, err := os.ReadFile(filepath.Join(procRoot, "self", "mountinfo")) //nolint:gosec // below /proc
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	var mounts []mount
	for line := range bytes.Lines(content) {
		m, ok := parseMount(string(line))
		if !ok {
			err = fmt.Errorf("read mounts: cannot understand the line %q", line)
			continue
		}
		mounts = append(mounts, m)
	}
	return visible(mounts), err
}

// parseMount reads "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue".
func parseMount(line string) (mount, bool) {
	left, right, found := strings.Cut(line, " - ")
	fields, kind := strings.Fields(left), strings.Fields(right)
	if !found || len(fields) < 6 || len(kind) < 2 {
		return mount{}, false
	}
	id, errID := strconv.Atoi(fields[0])
	parent, errParent := strconv.Atoi(fields[1])
	m := mount{
		id: id, parent: parent, device: fields[2],
		root: unescape(fields[3]), point: unescape(fields[4]), fstype: unescape(kind[0]),
		readonly: slices.Contains(strings.Split(kind[len(kind)-1], ","), "ro"),
	}
	return m, errID == nil && errParent == nil
}

// unescape undoes the kernel's \ooo for space, tab, line break, backslash and number sign.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				plain.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		plain.WriteByte(text[i])
	}
	return plain.String()
}

// place is where a mount hangs: on a directory of its parent.
type place struct {
	parent int
	point  string
}

// visible leaves out mounts that another one hides, on the same directory or on one above: asking their path would
// answer for another filesystem. It walks to each mount as the kernel does.
func visible(mounts []mount) []mount {
	ids := make(map[int]bool, len(mounts))
	for _, m := range mounts {
		ids[m.id] = true
	}
	const outside = -1
	top := mount{id: outside}
	hanging := make(map[place]mount, len(mounts))
	for _, m := range mounts {
		// The root hangs on something outside of this namespace.
		if parent := m.parent; m.point == "/" && (!ids[parent] || parent == m.id) {
			top = m
		}
	}
	for _, m := range mounts {
		parent := m.parent
		if !ids[parent] {
			parent = top.id
		}
		if m.id != top.id && parent != m.id {
			hanging[place{parent, m.point}] = m
		}
	}
	seen := make([]mount, 0, len(mounts))
	for _, m := range mounts {
		if walk(top, m.point, hanging).id == m.id {
			seen = append(seen, m)
		}
	}
	return seen
}

// walk returns the mount that path lies on, from top downwards.
func walk(top mount, path string, hanging map[place]mount) mount {
	at := top
	for end := 0; end <= len(path); end++ {
		if end != 1 && end != len(path) && path[end] != '/' || end == 0 {
			continue
		}
		// Mounts on one directory are stacked; each hangs on the one below, so there are no more than mounts.
		for range len(hanging) {
			next, stacked := hanging[place{at.id, path[:end]}]
			if !stacked {
				break
			}
			at = next
		}
	}
	return at
}

// within says whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// printable makes a path fit for a label: bytes that are not UTF-8 are written as \xff.
func printable(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	quoted := strconv.Quote(path)
	return quoted[1 : len(quoted)-1]
}
