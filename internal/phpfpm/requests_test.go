package phpfpm

import (
	"slices"
	"testing"
	"time"
)

func TestParseRequests(t *testing.T) {
	// Of PHP-FPM 8.2, shortened.
	got, err := parseRequests([]byte(`{"pool":"www","active processes":2,"idle processes":1,"processes":[
		{"pid":1,"state":"Running","request duration":1500000,"request uri":"/login/index.php?x=secret","user":"someone","script":"/srv/login/index.php"},
		{"pid":2,"state":"Idle","request duration":900,"script":"-"},
		{"pid":3,"state":"Running","request duration":80,"script":"/status"},
		{"pid":4,"state":"Reading headers","request duration":70,"script":"-"}]}`), "/status")
	if want := []time.Duration{1500 * time.Millisecond, 70 * time.Microsecond}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, body := range []string{"", "null", "<html>", `{"pool":"www"}`, `{"processes":7}`} {
		if got, err := parseRequests([]byte(body), "/status"); err == nil {
			t.Errorf("%q gives %v", body, got)
		}
	}
}
