package redis

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Info is what INFO tells: its numbers by their names there (redis.io/commands/info).
type Info struct {
	numbers map[string]uint64
}

// parseInfo reads lines "name:value" and keeps those that hold whole numbers.
func parseInfo(text string) (Info, error) {
	info := Info{numbers: map[string]uint64{}}
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !found {
			continue
		}
		if number, err := strconv.ParseUint(value, 10, 64); err == nil {
			info.numbers[name] = number
		}
	}
	if _, known := info.numbers["uptime_in_seconds"]; !known {
		return Info{}, errors.New("the answer to INFO does not tell how long the server has been up")
	}
	return info, nil
}

// Number is one number, if the server tells it.
func (i Info) Number(name string) (float64, bool) {
	number, known := i.numbers[name]
	return float64(number), known
}

// Loading says that the server is reading its data from disk, and refuses everything else meanwhile.
func (i Info) Loading() bool { return i.numbers["loading"] != 0 }

// Start is when the server was started: by its own clock where it tells it, which gives the same second each time,
// else by now.
func (i Info) Start(now time.Time) time.Time {
	seconds := uint64(max(now.Unix(), 0))
	if told, known := i.numbers["server_time_usec"]; known {
		seconds = told / 1e6
	}
	up := i.numbers["uptime_in_seconds"]
	if up >= seconds || seconds > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(seconds-up), 0)
}
