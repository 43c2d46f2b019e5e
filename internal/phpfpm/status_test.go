package phpfpm

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestParseStatus(t *testing.T) {
	// Of PHP-FPM 8.2.
	status, err := parseStatus([]byte(`{"pool":"www","process manager":"static","start time":1795363406,"start since":5,"accepted conn":1,` +
		`"listen queue":3,"max listen queue":3,"listen queue len":4096,"idle processes":0,"active processes":1,"total processes":1,` +
		`"max active processes":1,"max children reached":0,"slow requests":7}`))
	if err != nil || status.Pool != "www" || status.StartTime().Unix() != 1795363406 || *status.ListenQueue != 3 || *status.SlowRequests != 7 || *status.Idle != 0 || *status.Active != 1 {
		t.Errorf("%+v, %v", status, err)
	}
	for _, body := range []string{"", "null", "[]", "<html>", `{"pool":7}`, `{"pool":"www"}`, `{"active processes":"x","idle processes":1}`, `{"active processes":1}`} {
		if status, err := parseStatus([]byte(body)); err == nil {
			t.Errorf("%q gives %+v", body, status)
		}
	}
	if status, err := parseStatus([]byte(`{"active processes":1,"idle processes":2}`)); err != nil || !status.StartTime().IsZero() || status.Accepted != nil {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestDialable(t *testing.T) {
	for listen, want := range map[string][2]string{
		"/run/php/fpm.sock": {"unix", "/run/php/fpm.sock"}, "127.0.0.1:9001": {"tcp", "127.0.0.1:9001"}, "9001": {"tcp", "127.0.0.1:9001"},
		"*:9001": {"tcp", "127.0.0.1:9001"}, "0.0.0.0:9001": {"tcp", "127.0.0.1:9001"}, "[::]:9001": {"tcp", "[::1]:9001"}, "[::1]:9001": {"tcp", "[::1]:9001"},
	} {
		network, address := Dialable(listen)
		if network != want[0] || address != want[1] {
			t.Errorf("%s: %s %s", listen, network, address)
		}
	}
}

func TestTargets(t *testing.T) {
	www82 := Pool{Name: "www", Version: "8.2", Listen: "/run/82.sock", StatusListen: "9001", StatusPath: "/s", MaxChildren: 5}
	www83 := Pool{Name: "www", Version: "8.3", Listen: "/run/83.sock", StatusListen: "9002"}
	redhat := Pool{Name: "www", Listen: "/run/php-fpm/www.sock"}
	got := Targets([]Pool{www82, www83, redhat, www82})
	want := []Target{
		{Server: "8.2", Pool: "www", Address: "9001", Path: "/s", Known: www82},
		{Server: "8.3", Pool: "www", Missing: "pm.status_path", Known: www83},
		{Server: "/run/php-fpm/www.sock", Pool: "www", Missing: "pm.status_listen", Known: redhat},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	pools := []Pool{www82, www83, redhat}
	for _, test := range []struct {
		address, path string
		want          Target
	}{
		{"127.0.0.1:9001", "", Target{Server: "8.2", Pool: "www", Address: "127.0.0.1:9001", Path: "/s", Known: www82}},
		{"127.0.0.1:9001", "/t", Target{Server: "8.2", Pool: "www", Address: "127.0.0.1:9001", Path: "/t", Known: www82}},
		{"/run/83.sock", "", Target{Server: "8.3", Pool: "www", Address: "/run/83.sock", Path: "/status", Known: www83}},
		{"10.0.0.1:9001", "", Target{Server: "10.0.0.1:9001", Address: "10.0.0.1:9001", Path: "/status"}},
	} {
		if got := TargetAt(test.address, test.path, pools); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v", test.address, got)
		}
	}
}

func TestRemovedPHP(t *testing.T) {
	if !installed("") || installed("5.2") {
		t.Error("a PHP without a version counts as there, PHP 5.2 does not")
	}
}

func TestSocketQueue(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "net"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := `Num       RefCount Protocol Flags    Type St Inode Path
0000000046a70839: 00000002 00000000 00010000 0001 01 293235 /run/php/a b.sock
00000000fa0f8cc7: 00000003 00000000 00000000 0001 02     0 /run/php/a b.sock
00000000c2745790: 00000003 00000000 00000000 0001 02     0 /run/php/a b.sock
00000000a1deb895: 00000003 00000000 00000000 0001 03 293250 /run/php/a b.sock
00000000c2745791: 00000003 00000000 00000000 0001 02     0 /run/php/other.sock
00000000c2745792: 00000003 00000000 00000000 0001 03 18
00000000c2745793: 00000003 00000000 00000000 0001 02     0 /x /run/php/a b.sock
`
	if err := os.WriteFile(filepath.Join(root, "net/unix"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if waiting, known, err := SocketQueue(root, "/run/php/a b.sock"); waiting != 2 || !known || err != nil {
		t.Error(waiting, known, err)
	}
	if waiting, known, err := SocketQueue(root, "/run/php/other.sock"); known || err != nil {
		t.Error(waiting, known, err)
	}
	if _, known, err := SocketQueue(t.TempDir(), "/x"); known || err == nil {
		t.Error(known, err)
	}
}
