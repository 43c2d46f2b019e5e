package phpfpm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/fastcgi"
)

// ReadRequests asks a pool how long each of the requests that it is working on has taken so far, that for its status
// left out. The page that tells this names addresses and scripts as well, and so people: nothing but the times is read.
// Address and path are those of ReadStatus.
func ReadRequests(ctx context.Context, address, path string) ([]time.Duration, error) {
	network, address := Dialable(address)
	answer, err := fastcgi.Do(ctx, network, address, fastcgi.Request{Params: map[string]string{
		"SCRIPT_NAME": path, "SCRIPT_FILENAME": path, "REQUEST_METHOD": http.MethodGet, "QUERY_STRING": "json&full",
	}})
	if err != nil {
		return nil, fmt.Errorf("read PHP-FPM requests: %w", err)
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("read PHP-FPM requests: %s answers %s with status %d; is it the pool's pm.status_path?", address, path, answer.Status)
	}
	return parseRequests(answer.Body, path)
}

func parseRequests(body []byte, own string) ([]time.Duration, error) {
	var status struct {
		Processes []struct {
			State    string `json:"state"`
			Duration int64  `json:"request duration"` // microseconds; of a request at work: up to now
			Script   string `json:"script"`
		} `json:"processes"`
	}
	if err := json.Unmarshal(body, &status); err != nil || status.Processes == nil {
		return nil, errors.New("read PHP-FPM requests: the answer is no status page")
	}
	var times []time.Duration
	for _, process := range status.Processes {
		if process.State != "Idle" && process.Script != own {
			times = append(times, time.Duration(process.Duration)*time.Microsecond)
		}
	}
	return times, nil
}
