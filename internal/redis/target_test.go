package redis

import (
	"reflect"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

func TestAddress(t *testing.T) {
	for written, want := range map[string]string{
		"127.0.0.1:6379": "127.0.0.1:6379", "localhost": "127.0.0.1:6379", "localhost:6380": "127.0.0.1:6380", "redis.example.org": "redis.example.org:6379",
		"::1": "[::1]:6379", "[::1]:7": "[::1]:7", "/run/redis.sock": "/run/redis.sock", "unix:///run/redis.sock": "/run/redis.sock", " a:1 ": "a:1",
		"": "", ":6379": "", "a:0": "", "a:x": "", "a:70000": "", "tls://a:6380": "", "[tls://a:6380]:6379": "", "a:1,b:2": "", "a b": "", "a\nb": "", "ü": "",
		"user:password@host": "", strings.Repeat("a", 256): "",
	} {
		if got, usable := Address(written); got != want || usable != (want != "") {
			t.Errorf("%q gives %q, %v", written, got, usable)
		}
	}
}

func TestTargets(t *testing.T) {
	configured := []config.Redis{{Address: "localhost:6379", User: "u", PasswordFile: "/p"}, {Address: "other"}}
	got := Targets(configured, []string{"127.0.0.1:6379", "sessions", "", "tls://x"}, []string{"127.0.0.1", "cache:6380", "cache:6380"})
	want := []Target{
		{Login{"127.0.0.1:6379", "u", "/p"}, "both"}, {Login{Address: "other:6379"}, "other"}, {Login{Address: "sessions:6379"}, "session"}, {Login{Address: "cache:6380"}, "cache"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := Targets([]config.Redis{}, []string{"a"}, []string{"b"}); got != nil {
		t.Errorf("an empty list means none: %+v", got)
	}
	if got := Targets(nil, []string{"a"}, nil); len(got) != 1 || got[0].Role != RoleSession {
		t.Errorf("%+v", got)
	}
}
