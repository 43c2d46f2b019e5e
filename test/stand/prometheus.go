package stand

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// WebServer is a running Prometheus, Alertmanager or exporter.
type WebServer struct {
	URL        string // http://127.0.0.1:port
	ConfigFile string // empty for the exporter
	process    *process
}

// StartPrometheus starts Prometheus in dir/prometheus with the given configuration (YAML), in
// which relative paths are relative to that directory. It ends with ctx or Close.
func StartPrometheus(ctx context.Context, dir, config string) (*WebServer, error) {
	// Prometheus finds its Alertmanager after 5 s; what fired before is sent again soon, not after a minute.
	return startWebServer(ctx, dir, "prometheus", config, "--storage.tsdb.path", "--log.level=warn", "--rules.alert.resend-delay=1s")
}

// StartAlertmanager starts Alertmanager in dir/prometheus-alertmanager, alone, without a cluster.
func StartAlertmanager(ctx context.Context, dir, config string) (*WebServer, error) {
	return startWebServer(ctx, dir, "prometheus-alertmanager", config, "--storage.path", "--cluster.listen-address=")
}

func startWebServer(ctx context.Context, dir, program, config, storageFlag string, flags ...string) (*WebServer, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	account, err := accountOf("prometheus", "nobody")
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, program)
	if err := makeOwned(home, account, 0o755); err != nil {
		return nil, err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	w := &WebServer{URL: "http://" + address, ConfigFile: filepath.Join(home, "config.yml")}
	if err := os.WriteFile(w.ConfigFile, []byte(config), 0o644); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	argv := append([]string{
		program, "--config.file=" + w.ConfigFile, storageFlag + "=" + filepath.Join(home, "data"), "--web.listen-address=" + address,
	}, flags...)
	w.process, err = startProcess(ctx, program, filepath.Join(home, "output.log"), account, home, nil, argv...)
	if err != nil {
		return nil, err
	}
	return w, w.process.await(ctx, answers(w.URL+"/-/ready"))
}

// answers is ready once the URL gives 200.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s says %s", url, response.Status)
		}
		return nil
	}
}

// Reload makes the program read its configuration file again.
func (w *WebServer) Reload() error { return w.process.signal(syscall.SIGHUP) }

// Pid is the process id.
func (w *WebServer) Pid() int { return w.process.pid }

// Close ends the program.
func (w *WebServer) Close() error { return w.process.stop() }
