package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/moodle-exporter/moodle-exporter/internal/certificate"
	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

func (p *Probe) lookAtHost(ctx context.Context, host *HostFacts) {
	note := func(what string, err error) {
		if err != nil && ctx.Err() == nil {
			host.Problems = append(host.Problems, fmt.Sprintf("%s: %v", what, err))
			p.Logger.Warn("part of the privileged look failed", "part", what, "err", err)
		}
	}
	var err error
	host.Pools, err = phpfpm.ReadPools(p.Finder.PoolFiles...)
	note("PHP-FPM pools", err)
	host.Nginx, err = p.statusPages()
	note("nginx", err)
	host.Services = p.Config.Services
	if len(host.Services) == 0 && p.Services != nil {
		host.Services, err = p.Services(ctx)
		note("services", err)
	}
	patterns := p.Config.Certificates.Files
	if len(patterns) == 0 {
		patterns = p.CertificateFiles
	}
	host.Certificates, err = certificates(patterns)
	note("certificate files", err)
	host.Secrets, err = p.lookAtHostSecrets()
	note("secrets", err)
}

// statusPages are where nginx tells its status, unless the configuration says it.
func (p *Probe) statusPages() ([]string, error) {
	if p.Config.Nginx != nil {
		return nil, nil
	}
	pages, err := nginx.StatusPages(p.NginxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return pages, err
}

func certificates(patterns []string) ([]certificate.File, error) {
	var found []certificate.File
	var problems []error
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 && filepath.Clean(pattern) == pattern && !hasMeta(pattern) {
			paths = []string{pattern} // named outright: its absence must be said
		}
		for _, path := range paths {
			file, err := certificate.ReadFile(path)
			if err != nil {
				problems = append(problems, err)
				continue
			}
			found = append(found, file)
		}
	}
	return found, errors.Join(problems...)
}

func hasMeta(pattern string) bool {
	for _, c := range pattern {
		if c == '*' || c == '?' || c == '[' {
			return true
		}
	}
	return false
}
