package host

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// installForNobody is install for an exporter that runs as its unit runs it: with facts that root has taken, under an
// account that may read them and cannot write anything, and with an account of its own in the database.
func (h *host) installForNobody(t *testing.T, overrides object) *installation {
	t.Helper()
	needRoot(t)
	const watcher = "watcher of sites"
	dir := stand.TempDir(t)
	password := filepath.Join(dir, "watcher.password")
	must(t, os.WriteFile(password, []byte(hardPassword+"\n"), 0o644))
	monitored := func(site *stand.Site) object {
		return object{"name": site.Name, "dir": site.CodeDir, "database": object{"monitor": object{"user": watcher, "password_file": password}}}
	}
	must(t, h.db.CreateAccount(t.Context(), watcher, hardPassword, "%", "SELECT"))
	t.Cleanup(func() {
		must(t, h.db.Exec(context.Background(), "DROP USER '"+watcher+"'@localhost", "DROP USER '"+watcher+"'@127.0.0.1"))
	})
	all := object{"sites": []object{monitored(h.lms), monitored(h.campus)}, "redis": []object{}}
	for name, value := range overrides {
		all[name] = value
	}
	i, err := h.installIn(dir, all)
	must(t, err)
	i.mustRun(t, "probe")
	i.letRead(t)
	return i
}

// nobody is the account of an exporter without rights.
func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	account, err := user.Lookup("nobody")
	must(t, err)
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	must(t, err)
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	must(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}
}

// letRead gives the group of that account what the group moodle-exporter has on a real host.
func (i *installation) letRead(t *testing.T) {
	t.Helper()
	group := int(nobody(t).Gid)
	must(t, os.Chmod(i.config, 0o644), filepath.WalkDir(i.state, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, 0, group)
		}
		return err
	}))
}

// serveAsNobody is serve without rights.
func (i *installation) serveAsNobody(t *testing.T, args ...string) *exporter {
	t.Helper()
	port, err := stand.FreePort()
	must(t, err)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	command := i.command(context.Background(), t, append([]string{"serve", "--web.listen-address=" + address}, args...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t)}
	e := i.launch(t, command)
	e.url = "http://" + address
	e.await(t, http.DefaultClient)
	return e
}

// failing are the collectors whose success is 0.
func (p page) failing() []string {
	var names []string
	for _, metric := range p["moodle_scrape_collector_success"].GetMetric() {
		if metric.GetGauge().GetValue() == 0 {
			names = append(names, metric.GetLabel()[0].GetValue())
		}
	}
	return names
}

// errorLines are those of the log that tell a failure or its end.
func (e *exporter) errorLines() (lines []string) {
	for line := range strings.Lines(e.log.String()) {
		if strings.Contains(line, "reading") {
			lines = append(lines, line)
		}
	}
	return lines
}
