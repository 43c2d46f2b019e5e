package boot_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestWebExample follows docs/examples/web.yml and prometheus-tls.yml as they are written, with other directories, a free
// port and a password: certificate and hash are made by the commands in them.
func TestWebExample(t *testing.T) {
	stand.Need(t, stand.PHP, stand.Prometheus)
	t.Parallel()
	const password = `look & "see"`
	dir := stand.TempDir(t)
	text := strings.ReplaceAll(read(t, "../../docs/examples", "web.yml"), "/etc/moodle-exporter", dir)
	shell := func(command, input string) string {
		t.Helper()
		cmd := exec.Command("sh", "-ec", command)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		return string(out)
	}
	advised := func(program string) string {
		t.Helper()
		line := regexp.MustCompile(`(?m)^#   ` + program + ` .*$`).FindString(text)
		if line == "" {
			t.Fatalf("web.yml does not say how to call %s", program)
		}
		return strings.TrimPrefix(line, "#   ")
	}
	shell(advised("openssl"), "")
	hash := strings.TrimSpace(strings.TrimPrefix(shell(advised("php"), password+"\n"), "Password: "))
	placeholder := "put the line here that begins with $2y$"
	web, port := filepath.Join(dir, "web.yml"), freePort(t)
	binary, err := stand.ExporterBinary(dir)
	if err != nil {
		t.Fatal(err)
	}
	command := func() *exec.Cmd {
		return exec.CommandContext(t.Context(), binary, "serve", "--collector.disable-defaults", "--collector.cpu",
			"--web.listen-address=127.0.0.1:"+port, "--web.config.file="+web, "--state.dir="+dir+"/state")
	}
	// With what stands there it does not start: nobody gets in by a password that everybody can read.
	write(t, web, text)
	if out, err := command().CombinedOutput(); err == nil || !strings.Contains(string(out), "bcrypt") {
		t.Errorf("with the placeholder it ended with %v: %s", err, out)
	}
	write(t, web, strings.ReplaceAll(text, placeholder, hash))
	running := command()
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = running.Process.Signal(syscall.SIGTERM), running.Wait() })
	client := httpsClient(t, filepath.Join(dir, "web.crt"), port)
	for _, c := range []struct {
		user, password string
		want           int
	}{
		{"prometheus", password, http.StatusOK},
		{"prometheus", "wrong", http.StatusUnauthorized},
		{"", "", http.StatusUnauthorized},
		{"root", password, http.StatusUnauthorized},
	} {
		if err := until(t, func() error {
			if code, err := ask(client, c.user, c.password); err != nil || code != c.want {
				return fmt.Errorf("%q with %q: %d (%w), want %d", c.user, c.password, code, err, c.want)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	if response, err := http.Get("http://127.0.0.1:" + port + "/metrics"); err == nil {
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("without TLS it answers as well")
		}
	}
	old := httpsClient(t, filepath.Join(dir, "web.crt"), port)
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
	if code, err := ask(old, "prometheus", password); err == nil {
		t.Errorf("TLS 1.1 is spoken: %d", code)
	}
	scrapeExample(t, dir, port, password)
	// A changed password is taken up without a restart, as it says.
	changed := strings.TrimSpace(strings.TrimPrefix(shell(advised("php"), "new\n"), "Password: "))
	write(t, web, strings.ReplaceAll(text, placeholder, changed))
	for password, want := range map[string]int{password: http.StatusUnauthorized, "new": http.StatusOK} {
		if code, err := ask(client, "prometheus", password); err != nil || code != want {
			t.Errorf("after the change %q is answered with %d (%v), want %d", password, code, err, want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// scrapeExample has a real Prometheus scrape it by the other example.
func scrapeExample(t *testing.T, dir, port, password string) {
	t.Helper()
	text := strings.NewReplacer("/etc/prometheus/moodle", dir, "lms.example.org:10059", "127.0.0.1:"+port, "scrape_timeout: 15s", "scrape_interval: 1s").
		Replace(read(t, "../../docs/examples", "prometheus-tls.yml"))
	text = regexp.MustCompile(`(?m)^( +)ca_file: .*$`).ReplaceAllString(text, "$0\n${1}server_name: lms.example.org")
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(password), 0o644); err != nil {
		t.Fatal(err)
	}
	prometheus, err := stand.StartPrometheus(t.Context(), dir, text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prometheus.Close() })
	if err := until(t, func() error {
		response, err := http.Get(prometheus.URL + "/api/v1/query?query=" + url.QueryEscape(`up{job="moodle"}`))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && !strings.Contains(string(body), `,"1"]`) {
			err = fmt.Errorf("prometheus says %s", body)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	port, err := stand.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

// httpsClient trusts one certificate, and finds its host name here.
func httpsClient(t *testing.T, certificate, port string) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(read(t, "", certificate))) {
		t.Fatal("the certificate cannot be read")
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
}

// ask asks for the metrics with a password and returns the status.
func ask(client *http.Client, user, password string) (int, error) {
	request, err := http.NewRequest(http.MethodGet, "https://lms.example.org:10059/metrics", nil)
	if err != nil {
		return 0, err
	}
	if user != "" {
		request.SetBasicAuth(user, password)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// until tries it until it is well, with this package's patience.
func until(t *testing.T, check func() error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
