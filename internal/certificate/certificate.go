// Package certificate reads what a certificate says of itself, from a PEM file or from a TLS server.
package certificate

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// maxSize bounds what is read of a certificate file, in bytes; a long chain has some ten thousand.
const maxSize = 1 << 20

// Summary is what a certificate says of itself.
type Summary struct {
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Subject   string    `json:"subject"` // distinguished names as of RFC 2253
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"` // hexadecimal, lower case
}

// File is the certificate that a PEM file gives a server: its first one.
type File struct {
	Path string `json:"path"`
	Summary
}

// Summarize reads a parsed certificate.
func Summarize(c *x509.Certificate) Summary {
	return Summary{
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), Serial: fmt.Sprintf("%x", c.SerialNumber),
	}
}

// ReadFile reads the first certificate in a PEM file; keys and parameters beside it are passed over.
func ReadFile(path string) (File, error) {
	content, err := read(path)
	if err != nil {
		return File{}, fmt.Errorf("read certificate: %w", err)
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return File{}, fmt.Errorf("read certificate %s: %w", path, err)
		}
		return File{Path: path, Summary: Summarize(parsed)}, nil
	}
	return File{}, fmt.Errorf("read certificate %s: there is none in it; a PEM file with BEGIN CERTIFICATE is needed", path)
}

// read reads a regular file; another kind could block or never end.
func read(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the administrator names the file
	if err != nil {
		return nil, err //nolint:wrapcheck // names the path
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the path
	}
	if !info.Mode().IsRegular() || info.Size() > maxSize {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", path, maxSize)
	}
	return io.ReadAll(io.LimitReader(file, maxSize)) //nolint:wrapcheck // names the path
}
