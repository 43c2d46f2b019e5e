package phpfpm

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// SocketQueue counts the connections that wait at a unix socket for a free child, by the kernel's list of sockets:
// PHP-FPM itself knows the queue of TCP ports only and tells 0 for unix sockets, which most pools listen on. known is
// false where nobody listens at the path, as seen from here.
func SocketQueue(procRoot, path string) (waiting int, known bool, err error) {
	file, err := os.Open(filepath.Join(procRoot, "net/unix")) //nolint:gosec // the kernel's own
	if err != nil {
		return 0, false, fmt.Errorf("read queue of %s: %w", path, err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		flags, state, found := socketLine(lines.Text(), path)
		switch {
		case !found:
		case flags == listening:
			known = true
		case state == notAccepted:
			waiting++
		}
	}
	if err := lines.Err(); err != nil {
		return 0, false, fmt.Errorf("read queue of %s: %w", path, err)
	}
	return waiting, known, nil
}

// States in /proc/net/unix (net/unix/af_unix.c, unix_seq_show): a socket that is connected but that nobody has
// accepted yet counts as connecting.
const (
	listening   = "00010000"
	notAccepted = "02"
)

// socketLine reads flags and state of a line "Num: RefCount Protocol Flags Type St Inode Path" if it is that path's.
func socketLine(line, path string) (flags, state string, found bool) {
	if !strings.HasSuffix(line, " "+path) {
		return "", "", false
	}
	fields := strings.Fields(strings.TrimSuffix(line, path))
	if len(fields) != 7 {
		return "", "", false
	}
	return fields[3], fields[5], true
}
