package live_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// host is a small Moodle host of its own on this machine: a database server with two sites, PHP-FPM,
// nginx with TLS, and the exporter.
type host struct {
	dir      string
	binary   string
	flags    []string
	database *stand.MariaDBServer
	fpm      *stand.PHPFPMServer
	nginx    *stand.NginxServer
	lms      *stand.Site
	exam     *stand.Site
	exporter *stand.WebServer
	client   *http.Client
	target   string // where Prometheus scrapes it
	visited  bool   // its login pages are
}

// startHost starts everything, makes a first backup of both sites, and starts the exporter last.
func startHost(t *testing.T, binary string) *host {
	t.Helper()
	h := &host{dir: stand.TempDir(t), binary: binary, client: http.DefaultClient}
	h.mountDisk(t)
	var err error
	h.database, err = stand.StartMariaDB(t.Context(), h.dir, stand.MariaDBOptions{})
	must(t, err)
	closing(t, h.database)
	port, err := stand.FreePort()
	must(t, err)
	url := "https://localhost:" + strconv.Itoa(port)
	for name, site := range map[string]**stand.Site{"lms": &h.lms, "exam": &h.exam} {
		*site, err = stand.NewSite(t.Context(), h.dir, h.database, stand.SiteOptions{Name: name, Socket: true, WWWRoot: url + "/" + name})
		must(t, err)
	}
	h.fpm, err = stand.StartPHPFPM(t.Context(), h.dir)
	must(t, err)
	closing(t, h.fpm)
	h.nginx, err = stand.StartNginx(t.Context(), h.dir, h.front(t), h.fpm, stand.NginxOptions{Port: port})
	must(t, err)
	closing(t, h.nginx)
	h.configure(t)
	h.run(t, "backup")
	h.startExporter(t, 0)
	t.Cleanup(func() { closeNow(t, h.exporter) })
	h.target = unreliable(t, h.exporter.URL, http.DefaultTransport)
	return h
}

// configure says what is not where it would be on an ordinary host. Of this machine nothing is watched: its
// units have a test of their own on a booted one, and its disk may be as full as it is, but for the last thousandth.
func (h *host) configure(t *testing.T) {
	t.Helper()
	type object = map[string]any
	sites := []object{}
	for _, site := range []*stand.Site{h.lms, h.exam} {
		sites = append(sites, object{
			"name": site.Name, "dir": site.CodeDir, "user": site.Web.Name,
			"database": object{
				"monitor": object{"user": h.database.RootUser(), "socket": h.database.Socket},
				"admin":   object{"user": h.database.RootUser(), "socket": h.database.Socket},
			},
		})
	}
	text, err := yaml.Marshal(object{
		"sites":        sites,
		"phpfpm":       []object{{"listen": h.fpm.StatusListen, "path": h.fpm.StatusPath}},
		"nginx":        []string{h.nginx.StubStatusURL},
		"certificates": object{"files": []string{filepath.Join(h.dir, "letsencrypt", "*.pem")}},
		"backup": object{
			"dir": h.backups(), "config_paths": []string{filepath.Join(h.dir, "nginx", "nginx.conf")},
			"log_paths": []string{filepath.Join(h.dir, "nginx", "access.log")}, "system_paths": []string{"/etc/os-release"},
		},
		"thresholds": object{"disk_free_ratio_warning": 0.002, "disk_free_ratio_critical": 0.001, "memory_available_ratio": 0, "cpu_busy_ratio": 2},
	})
	must(t, err)
	file := filepath.Join(h.dir, "moodle-exporter.yml")
	must(t, os.WriteFile(file, text, 0o600))
	h.flags = []string{"--config.file=" + file, "--state.dir=" + filepath.Join(h.dir, "state")}
}

// mountDisk gives the moodledata of the site exam a disk of its own, which no other host of this machine shows. Who may not
// mount one skips the test, but not under CI.
func (h *host) mountDisk(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 && os.Getenv("CI") == "" {
		t.Skipf("%s not tested: a disk that can be filled takes root", t.Name())
	}
	disk := filepath.Join(h.dir, "examdata")
	must(t, os.Mkdir(disk, 0o755))
	must(t, unix.Mount("none", disk, "tmpfs", 0, "size=16m"))
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Errorf("unmount %s: %v", disk, err)
		}
	})
}

// front is what nginx serves: both sites, each below its name.
func (h *host) front(t *testing.T) *stand.Site {
	t.Helper()
	front := *h.lms
	front.DocRoot = filepath.Join(h.dir, "www")
	must(t, os.Mkdir(front.DocRoot, 0o755))
	for _, site := range []*stand.Site{h.lms, h.exam} {
		must(t, os.Symlink(site.DocRoot, filepath.Join(front.DocRoot, site.Name)))
	}
	return &front
}

func (h *host) backups() string { return filepath.Join(h.dir, "backups") }

func (h *host) command(t *testing.T, command ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), h.binary, append(command, h.flags...)...)
}

// run runs one command of the exporter, which must succeed.
func (h *host) run(t *testing.T, command ...string) {
	t.Helper()
	if out, err := h.command(t, command...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}

// startExporter starts it without what looks at this machine. The login page is visited once a minute whatever the speed
// of the rules, and once it starts: where it is visited, a fault is one from a restart on.
func (h *host) startExporter(t *testing.T, port int) {
	t.Helper()
	var err error
	h.exporter, err = stand.StartExporter(t.Context(), h.dir, stand.ExporterOptions{
		Binary: h.binary, Port: port, Environment: []string{"SSL_CERT_FILE=" + h.nginx.CertificateFile},
		Args: append([]string{"--no-collector.service", fmt.Sprintf("--%scollector.web", map[bool]string{false: "no-"}[h.visited])}, h.flags...),
	})
	must(t, err)
}

// restartExporter is what every upgrade of the exporter does.
func (h *host) restartExporter(t *testing.T) {
	t.Helper()
	_, port, _ := strings.Cut(hostPort(h.exporter.URL), ":")
	number, err := strconv.Atoi(port)
	must(t, err)
	closeNow(t, h.exporter)
	h.startExporter(t, number)
}

// awaitSeries waits until the exporter shows every wanted line, or beginning of one.
func (h *host) awaitSeries(t *testing.T, wanted ...string) {
	t.Helper()
	poll(t, func() error {
		page, err := get(h.client, h.exporter.URL+"/metrics")
		if err != nil {
			return err
		}
		var missing []error
		for _, line := range wanted {
			if !strings.Contains(page, "\nmoodle_"+line) {
				missing = append(missing, fmt.Errorf("no moodle_%s in /metrics", line))
			}
		}
		return errors.Join(missing...)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func closing(t *testing.T, part io.Closer) {
	t.Helper()
	t.Cleanup(func() { closeNow(t, part) })
}

func closeNow(t *testing.T, part io.Closer) {
	t.Helper()
	if err := part.Close(); err != nil {
		t.Error(err)
	}
}

// patience bounds the wait for one condition.
const patience = time.Minute

func poll(t *testing.T, ready func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func get(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return string(body), err
}
