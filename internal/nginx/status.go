// Package nginx reads the status page of an nginx (stub_status) and finds it in the server's configuration.
package nginx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Status is what stub_status tells (ngx_http_stub_status_module). Accepted, Handled and Requests count since the start.
type Status struct {
	Accepted, Handled, Requests float64
	Reading, Writing, Waiting   float64
}

// maxPage is more than any status page has, in bytes.
const maxPage = 4 << 10

// NewClient makes an HTTP client for status pages: it asks the named server and no other, over a new connection each
// time, so that a reload of nginx need not wait for it.
func NewClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSHandshakeTimeout: 5 * time.Second,
		},
	}
}

// ReadStatus reads the page at the address.
func ReadStatus(ctx context.Context, client *http.Client, address string) (Status, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Status{}, fmt.Errorf("read nginx status: %w", plain(err))
	}
	request.Header.Set("User-Agent", "moodle-exporter")
	answer, err := client.Do(request)
	if err != nil {
		return Status{}, fmt.Errorf("read nginx status: %w", plain(err))
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return Status{}, fmt.Errorf("read nginx status: the answer has status %d; does a location with stub_status answer there, and allow this host?", answer.StatusCode)
	}
	page, err := io.ReadAll(io.LimitReader(answer.Body, maxPage))
	if err != nil {
		return Status{}, fmt.Errorf("read nginx status: %w", plain(err))
	}
	return ParseStatus(string(page))
}

// plain is an error without the address, which may hold more than belongs into a log.
func plain(err error) error {
	var failure *url.Error
	if errors.As(err, &failure) {
		return failure.Err
	}
	return err
}

var errNoStatus = errors.New("read nginx status: the answer is no page of stub_status")

// ParseStatus reads the text of a status page:
//
//	Active connections: 291
//	server accepts handled requests
//	 16630948 16630948 31070465
//	Reading: 6 Writing: 179 Waiting: 106
func ParseStatus(page string) (Status, error) {
	words := strings.Fields(page)
	labels := []string{"Active", "connections:", "", "server", "accepts", "handled", "requests", "", "", "", "Reading:", "", "Writing:", "", "Waiting:", ""}
	if len(words) != len(labels) {
		return Status{}, errNoStatus
	}
	var numbers []float64
	for i, label := range labels {
		if label != "" {
			if words[i] != label {
				return Status{}, errNoStatus
			}
			continue
		}
		number, err := strconv.ParseUint(words[i], 10, 64)
		if err != nil {
			return Status{}, errNoStatus
		}
		numbers = append(numbers, float64(number))
	}
	return Status{
		Accepted: numbers[1], Handled: numbers[2], Requests: numbers[3],
		Reading: numbers[4], Writing: numbers[5], Waiting: numbers[6],
	}, nil
}

// Server is the label of a status page: host:port of its address.
func Server(address string) string {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return address
	}
	if parsed.Port() != "" {
		return parsed.Host
	}
	port := "80"
	if parsed.Scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(parsed.Hostname(), port)
}
