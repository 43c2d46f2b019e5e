package maintenance

import (
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	found, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The hours that summer time takes away and gives back, in zones that do it by an hour, by half an hour and at midnight.
func TestNext(t *testing.T) {
	for _, c := range []struct{ zone, cron, after, want string }{
		{"Europe/Berlin", "0 2 * * *", "2026-11-22T02:00:00+01:00", "2026-11-23T02:00:00+01:00"},
		{"Europe/Berlin", "0 2 * * *", "2026-11-22T01:59:59+01:00", "2026-11-22T02:00:00+01:00"},
		{"Europe/Berlin", "30 2 * * *", "2027-03-28T01:59:00+01:00", "2027-03-28T03:00:00+02:00"}, // missing
		{"Europe/Berlin", "*/15 2 * * *", "2027-03-28T01:59:00+01:00", "2027-03-28T03:00:00+02:00"},
		{"Europe/Berlin", "*/15 2 * * *", "2027-03-28T03:00:00+02:00", "2027-03-29T02:00:00+02:00"}, // all four at once
		{"Europe/Berlin", "30 2 * * *", "2026-10-25T00:00:00+02:00", "2026-10-25T02:30:00+02:00"},   // doubled: the first
		{"Europe/Berlin", "30 2 * * *", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},   // and not again
		{"Europe/Berlin", "30 2 * * *", "2026-10-25T02:10:00+01:00", "2026-10-26T02:30:00+01:00"},
		{"Europe/Berlin", "0 3 * * *", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"},
		{"America/New_York", "30 2 8 3 *", "2026-03-01T00:00:00-05:00", "2026-03-08T03:00:00-04:00"},
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-04T01:00:00+10:30", "2026-10-04T02:30:00+11:00"}, // half an hour is missing
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-05T01:40:00+11:00", "2026-04-05T01:45:00+11:00"},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"},
		{"America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00:00-03:00", "2018-11-04T01:00:00-02:00"}, // midnight is missing
		{"Asia/Kathmandu", "0 3 * * 0", "2026-11-22T03:00:01+05:45", "2026-11-29T03:00:00+05:45"},
		{"Pacific/Apia", "0 12 30 12 *", "2011-12-29T13:00:00-10:00", "2011-12-31T00:00:00+14:00"}, // a whole day is missing
		{"UTC", "0 4 1 * *", "2026-12-01T04:00:00Z", "2027-01-01T04:00:00Z"},
		{"UTC", "0 4 29 2 *", "2026-12-01T04:00:00Z", "2028-02-29T04:00:00Z"},
	} {
		schedule, err := config.ParseCron(c.cron)
		if err != nil {
			t.Fatal(err)
		}
		in := zone(t, c.zone)
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := next(schedule, after, in).Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %q after %s is %s, want %s", c.zone, c.cron, c.after, got, c.want)
		}
	}
}

func TestWindow(t *testing.T) {
	for _, c := range []struct{ zone, window, at, opens, closes string }{
		{"Europe/Berlin", "02:00-05:00", "2026-11-22T03:00:00+01:00", "2026-11-22T03:00:00+01:00", "2026-11-22T05:00:00+01:00"},
		{"Europe/Berlin", "02:00-05:00", "2026-11-22T05:00:00+01:00", "2026-11-23T02:00:00+01:00", ""},
		{"Europe/Berlin", "22:00-04:00", "2026-11-22T23:00:00+01:00", "2026-11-22T23:00:00+01:00", "2026-11-23T04:00:00+01:00"},
		{"Europe/Berlin", "22:00-04:00", "2026-11-22T03:59:00+01:00", "2026-11-22T03:59:00+01:00", "2026-11-22T04:00:00+01:00"},
		{"Europe/Berlin", "22:00-04:00", "2026-11-22T04:00:00+01:00", "2026-11-22T22:00:00+01:00", ""},
		{"Europe/Berlin", "02:00-03:00", "2027-03-28T00:00:00+01:00", "2027-03-29T02:00:00+02:00", ""}, // missing that day
		{"Europe/Berlin", "02:30-04:00", "2027-03-28T00:00:00+01:00", "2027-03-28T03:00:00+02:00", ""},
		{"Europe/Berlin", "02:00-05:00", "2026-10-25T02:30:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T05:00:00+01:00"},
		{"Europe/Berlin", "01:00-02:30", "2026-10-25T02:10:00+01:00", "2026-10-25T02:10:00+01:00", "2026-10-25T02:30:00+01:00"},
		{"UTC", "00:00-24:00", "2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z", "2026-11-23T00:00:00Z"},
	} {
		var window config.Window
		if err := window.UnmarshalText([]byte(c.window)); err != nil {
			t.Fatal(err)
		}
		in := zone(t, c.zone)
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := opens(window, at, in).In(in).Format(time.RFC3339); got != c.opens {
			t.Errorf("%s at %s opens at %s, want %s", c.window, c.at, got, c.opens)
		}
		if isOpen := open(window, at, in); isOpen != (c.closes != "") {
			t.Errorf("%s at %s: open %v", c.window, c.at, isOpen)
		}
		if c.closes != "" {
			if got := closes(window, at, in).In(in).Format(time.RFC3339); got != c.closes {
				t.Errorf("%s at %s closes at %s, want %s", c.window, c.at, got, c.closes)
			}
		}
	}
}
