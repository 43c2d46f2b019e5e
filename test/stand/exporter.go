package stand

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// ExporterOptions says how the built binary is run.
type ExporterOptions struct {
	Binary      string   // path of moodle-exporter
	Port        int      // loopback TCP port; 0 picks a free one
	Environment []string // NAME=value, added to this process's own
	Args        []string // flags, such as --config.file=…
}

// StartExporter runs moodle-exporter serve, with its output in dir/exporter/output.log, and
// returns once it says that it is ready. It ends with ctx or Close.
func StartExporter(ctx context.Context, dir string, o ExporterOptions) (*WebServer, error) {
	if o.Port == 0 {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		o.Port = port
	}
	binary, err := filepath.Abs(o.Binary)
	if err != nil {
		return nil, fmt.Errorf("start the exporter: %w", err)
	}
	own := Account{UID: os.Getuid()}
	home := filepath.Join(dir, "exporter")
	if err := makeOwned(home, own, 0o755); err != nil {
		return nil, err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port))
	argv := append([]string{binary, "serve", "--web.listen-address=" + address}, o.Args...)
	w := &WebServer{URL: "http://" + address}
	w.process, err = startProcess(ctx, "moodle-exporter", filepath.Join(home, "output.log"), own, home, o.Environment, argv...)
	if err != nil {
		return nil, err
	}
	return w, w.process.await(ctx, answers(w.URL+"/-/ready"))
}

// ExporterBinary returns the exporter to test: $MOODLE_EXPORTER_BINARY where it is set, as make does, else
// one built from this repository into dir.
func ExporterBinary(dir string) (string, error) {
	if built := os.Getenv("MOODLE_EXPORTER_BINARY"); built != "" {
		if _, err := os.Stat(built); err != nil {
			return "", fmt.Errorf("the exporter in MOODLE_EXPORTER_BINARY: %w", err)
		}
		return filepath.Abs(built)
	}
	binary := filepath.Join(dir, "moodle-exporter")
	build := exec.Command("go", "build", "-o", binary, "github.com/moodle-exporter/moodle-exporter/cmd/moodle-exporter")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the exporter: %w: %s", err, out)
	}
	return binary, nil
}
