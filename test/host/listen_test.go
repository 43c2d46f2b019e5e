package host

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// The password "look", by bcrypt.
const lookHash = "$2a$04$U3eoXzTund1spgDtGr2xIexljbTChLojKDPG1qjeSgAHsOZoq0HYC"

// TestProtected: TLS and a password, on two addresses at once. Who has the password sees the details from anywhere.
func TestProtected(t *testing.T) {
	t.Parallel()
	i := theHost(t).install(t, nil)
	certificate, key := filepath.Join(i.dir, "web.crt"), filepath.Join(i.dir, "web.key")
	must(t, stand.WriteCertificate(certificate, key, stand.CertificateOptions{}))
	web := filepath.Join(i.dir, "web.yml")
	must(t, os.WriteFile(web, []byte("tls_server_config: {cert_file: web.crt, key_file: web.key}\nbasic_auth_users: {admin: '"+lookHash+"'}\n"), 0o600))
	other, err := stand.FreePort()
	must(t, err)
	trusted := x509.NewCertPool()
	pem, err := os.ReadFile(certificate)
	must(t, err)
	trusted.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &authorised{&http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}}
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}

	port, err := stand.FreePort()
	must(t, err)
	e := i.launch(t, i.command(t.Context(), t, "serve", "--web.config.file="+web,
		"--web.listen-address=127.0.0.1:"+strconv.Itoa(port), "--web.listen-address=127.0.0.1:"+strconv.Itoa(other)))
	for _, port := range []int{port, other} {
		e.url = "https://127.0.0.1:" + strconv.Itoa(port)
		e.await(t, client)
		if a, err := ask(client, http.MethodGet, e.url+"/", "X-Forwarded-For", "192.0.2.7"); err != nil || !strings.Contains(a.body, detail) {
			t.Errorf("with the password: %d (%v)", a.status, err)
		}
		if a, err := ask(client, http.MethodPost, e.url+"/-/reload"); err != nil || a.status != http.StatusOK {
			t.Errorf("reload with the password: %d %s (%v)", a.status, a.body, err)
		}
		for _, path := range []string{"/", "/metrics", "/-/reload", "/runbooks/", "/-/healthy"} {
			if a, err := ask(stranger, http.MethodGet, e.url+path); err != nil || a.status != http.StatusUnauthorized {
				t.Errorf("%s without a password: %d (%v)", path, a.status, err)
			}
		}
		if a, err := ask(http.DefaultClient, http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(port)+"/metrics"); err == nil && a.status == http.StatusOK {
			t.Error("answered without TLS")
		}
	}
	if code := e.stop(t); code != 0 {
		t.Errorf("ended with %d: %s", code, e.log)
	}
	must(t, os.WriteFile(web, []byte("tls_server_config: {cert_file: nowhere.crt, key_file: web.key}\n"), 0o600))
	if o := i.run(t, "serve", "--web.config.file="+web, "--web.listen-address=127.0.0.1:"+strconv.Itoa(port)); o.code != 1 || !strings.Contains(o.stderr, "nowhere.crt") {
		t.Errorf("with a bad web configuration: %d %s", o.code, o.stderr)
	}
}

// authorised sends the password with every request.
type authorised struct{ next http.RoundTripper }

func (a *authorised) RoundTrip(r *http.Request) (*http.Response, error) {
	r.SetBasicAuth("admin", "look")
	return a.next.RoundTrip(r)
}

// TestAddressTaken: what keeps it from listening is an error with an exit code, not a silence.
func TestAddressTaken(t *testing.T) {
	t.Parallel()
	i := theHost(t).install(t, nil)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	if o := i.run(t, "serve", "--web.listen-address="+taken.Addr().String()); o.code != 1 || !strings.Contains(o.stderr, "address already in use") {
		t.Errorf("ended with %d: %s", o.code, o.stderr)
	}
}

// TestFewCollectors: only those that are asked for.
func TestFewCollectors(t *testing.T) {
	t.Parallel()
	e := theHost(t).install(t, nil).serve(t, "--collector.disable-defaults", "--collector.cpu", "--web.disable-exporter-metrics", "--web.telemetry-path=/numbers")
	for name := range e.scrape(t, "/numbers") {
		if !slices.Contains([]string{"moodle_exporter", "moodle_scrape", "moodle_host"}, strings.Join(strings.Split(name, "_")[:2], "_")) || strings.HasPrefix(name, "moodle_host_memory") {
			t.Errorf("unasked for: %s", name)
		}
	}
	if a, err := e.ask(http.MethodGet, "/numbers?collect[]=memory"); err != nil || a.status != http.StatusBadRequest {
		t.Errorf("a collector that is off can be asked for: %d (%v)", a.status, err)
	}
	if a, err := e.ask(http.MethodGet, "/metrics"); err != nil || a.status != http.StatusNotFound {
		t.Errorf("/metrics: %d (%v)", a.status, err)
	}
}

// TestShutdown: a scrape under way is answered, then the exporter ends with 0, and its port is free.
func TestShutdown(t *testing.T) {
	t.Parallel()
	i := theHost(t).install(t, nil)
	socket := filepath.Join(i.dir, "no-bus")
	asked := make(chan struct{}, 100)
	listener, err := net.Listen("unix", socket)
	must(t, err)
	defer listener.Close()
	go func() {
		for {
			if _, err := listener.Accept(); err != nil {
				return
			}
			asked <- struct{}{}
		}
	}()
	e := i.serve(t)
	for len(asked) > 0 {
		<-asked
	}
	answered := make(chan error, 1)
	go func() {
		text, err := e.scrapeWithin(4 * time.Second)
		if err == nil && !strings.Contains(text, "moodle_service_up") {
			err = errors.New("no services in it")
		}
		answered <- err
	}()
	<-asked // the scrape waits for the bus, which does not answer
	if code := e.stop(t); code != 0 {
		t.Errorf("ended with %d: %s", code, e.log)
	}
	must(t, <-answered)
	if _, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://")); err == nil {
		t.Error("the port is still open")
	}
}

// TestSocketActivation: systemd opens the port and hands it over as descriptor 3, sd_listen_fds(3).
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	i := theHost(t).install(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	file, err := listener.(*net.TCPListener).File()
	must(t, err)
	// LISTEN_PID has to be the pid of the program, which only a shell that becomes it can know.
	inner := i.command(t.Context(), t, "serve", "--web.systemd-socket")
	command := exec.Command("sh", append([]string{"-c", `export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"`, "sh"}, inner.Args...)...)
	command.Env, command.Dir, command.ExtraFiles = inner.Env, inner.Dir, []*os.File{file}
	e := i.launch(t, command)
	must(t, listener.Close(), file.Close())
	e.url = "http://" + listener.Addr().String()
	e.await(t, http.DefaultClient)
	e.scrape(t, "/metrics").want(t, 1, "exporter_config_last_reload_successful")
	if code := e.stop(t); code != 0 {
		t.Errorf("ended with %d: %s", code, e.log)
	}
}

// TestSlowReader: a client that sends its request in bits, or reads nothing, keeps nobody else from an answer.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	e := theHost(t).install(t, nil).serve(t, "--web.max-requests=2")
	address := strings.TrimPrefix(e.url, "http://")
	for range 50 {
		c, err := net.Dial("tcp", address)
		must(t, err)
		defer c.Close()
		_, err = fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
		must(t, err)
	}
	e.scrape(t, "/metrics").want(t, 1, "exporter_config_last_reload_successful")
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	_, err = fmt.Fprint(c, "NONSENSE\r\n\r\n")
	must(t, err)
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "400") {
		t.Errorf("nonsense is answered with %q (%v)", line, err)
	}
	must(t, e.process.Process.Signal(syscall.SIGTERM))
	eventually(t, func() error {
		select {
		case <-e.ended:
			return nil
		default:
			return errors.New("slow clients keep it from ending")
		}
	})
}
