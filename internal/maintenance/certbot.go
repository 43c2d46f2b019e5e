package maintenance

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// LetsEncrypt are the files that certbot tells servers to read.
const LetsEncrypt = "/etc/letsencrypt/live/*/fullchain.pem"

// Certificates are what the task certbot-renew looks at.
type Certificates struct {
	Files     []string // patterns of the files that servers read, such as LetsEncrypt
	Endpoints func(context.Context) []string
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	Bus       Units
}

// NewCertbotRenew makes the task certbot-renew: certbot decides what is to be renewed; where a file has changed since, the
// web server is told to read it. Then what is served is compared with the files, for a renewed certificate that no
// server has read expires as well.
func NewCertbotRenew(c Certificates) Task {
	return Task{
		Name: "certbot-renew",
		Run:  c.renew,
		Preview: func(_ context.Context, to io.Writer) error {
			_, err := fmt.Fprintln(to, "would run certbot renew, reload the web server if a certificate has changed, and look at what is served")
			return err
		},
	}
}

func (c Certificates) renew(ctx context.Context, run *job.Run) error {
	before, _ := readLeaves(c.Files) // what is broken now may be whole afterwards
	renewal := certbot(ctx, run)
	// Also after a failure: of several certificates, others may have been renewed.
	after, err := readLeaves(c.Files)
	failures := []error{renewal, err}
	if changed(before, after) {
		failures = append(failures, c.reload(ctx, run))
	}
	for _, endpoint := range c.Endpoints(ctx) {
		failures = append(failures, c.compare(ctx, run.Logger, endpoint, after))
	}
	return errors.Join(failures...)
}

func certbot(ctx context.Context, run *job.Run) error {
	program, err := command.Look("certbot", "/snap/bin/certbot")
	if err != nil {
		return fmt.Errorf("renew certificates: %w", err)
	}
	said := &lines{logger: run.Logger}
	defer said.end()
	return command.Run(ctx, command.Command{Name: program, Args: []string{"renew", "--non-interactive"}, Stdout: said, Files: run.LockFiles(), Started: run.ChildStarted})
}

// reload lets the web servers that run read their certificates anew, without dropping a connection.
func (c Certificates) reload(ctx context.Context, run *job.Run) error {
	s := &services{[]string{"nginx.service", "apache2.service", "httpd.service"}, c.Bus}
	names, err := s.names(ctx)
	failures := []error{err}
	for _, unit := range names {
		failures = append(failures, s.apply(ctx, run, "reload", unit))
	}
	return errors.Join(failures...)
}

// readLeaves reads the first certificate of each file, by path. Files that cannot be read are named in the error, beside
// what the others hold.
func readLeaves(patterns []string) (map[string]*x509.Certificate, error) {
	leaves := map[string]*x509.Certificate{}
	var failures []error
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		failures = append(failures, err)
		for _, path := range paths {
			leaf, err := readLeaf(path)
			if err != nil {
				failures = append(failures, fmt.Errorf("read certificate %s: %w", path, err))
			} else if leaf != nil {
				leaves[path] = leaf
			}
		}
	}
	return leaves, errors.Join(failures...)
}

// readLeaf is nil for a file that begins with something else, such as a key.
func readLeaf(path string) (*x509.Certificate, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the administrator names the files
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped with the path
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, nil //nolint:nilnil // as said above
	}
	return x509.ParseCertificate(block.Bytes) //nolint:wrapcheck // wrapped with the path
}

func changed(before, after map[string]*x509.Certificate) bool {
	for path, leaf := range after {
		if old := before[path]; old == nil || !old.Equal(leaf) {
			return true
		}
	}
	return false
}
