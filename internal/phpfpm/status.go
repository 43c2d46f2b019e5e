package phpfpm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/fastcgi"
)

// Status is what a pool's status page tells. What it does not tell is nil. The page for ?full, which names requests
// and scripts and so people, is never asked for.
type Status struct {
	Pool               string   `json:"pool"`
	Start              *int64   `json:"start time"` // Unix seconds; a reload is a start
	Accepted           *float64 `json:"accepted conn"`
	ListenQueue        *float64 `json:"listen queue"`
	ListenQueueLen     *float64 `json:"listen queue len"`
	Idle               *float64 `json:"idle processes"`
	Active             *float64 `json:"active processes"`
	MaxChildrenReached *float64 `json:"max children reached"`
	SlowRequests       *float64 `json:"slow requests"`
}

// StartTime is when the pool was started or reloaded, the zero time where that is not told.
func (s Status) StartTime() time.Time {
	if s.Start == nil || *s.Start <= 0 {
		return time.Time{}
	}
	return time.Unix(*s.Start, 0)
}

// ReadStatus asks for a pool's status. Address is a pm.status_listen, where an answer comes even while all children
// are busy, or the pool's own listen, where it does not.
func ReadStatus(ctx context.Context, address, path string) (Status, error) {
	network, address := Dialable(address)
	answer, err := fastcgi.Do(ctx, network, address, fastcgi.Request{Params: map[string]string{
		"SCRIPT_NAME": path, "SCRIPT_FILENAME": path, "REQUEST_METHOD": http.MethodGet, "QUERY_STRING": "json",
	}})
	if err != nil {
		return Status{}, fmt.Errorf("read PHP-FPM status: %w", err)
	}
	if answer.Status == http.StatusNotFound {
		return Status{}, fmt.Errorf("read PHP-FPM status: %s knows no %s; is it the pool's pm.status_path?", address, path)
	}
	if answer.Status != http.StatusOK {
		return Status{}, fmt.Errorf("read PHP-FPM status: %s answers %s with status %d", address, path, answer.Status)
	}
	return parseStatus(answer.Body)
}

func parseStatus(body []byte) (Status, error) {
	var status Status
	if err := json.Unmarshal(body, &status); err != nil {
		// A script at that path may have answered: its text is not for the log.
		return Status{}, errors.New("read PHP-FPM status: the answer is no status page")
	}
	if status.Active == nil || status.Idle == nil {
		return Status{}, errors.New("read PHP-FPM status: the answer names no processes")
	}
	return status, nil
}

// Dialable is a listen directive as net.Dial wants it: a port alone or every address means this host.
func Dialable(listen string) (network, address string) {
	if strings.HasPrefix(listen, "/") {
		return "unix", listen
	}
	host, port, found := cutLast(listen, ":")
	if !found {
		host, port = "", listen
	}
	switch host {
	case "", "*", "0.0.0.0":
		host = "127.0.0.1"
	case "[::]":
		host = "[::1]"
	}
	return "tcp", host + ":" + port
}

func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}
