package phpfpm

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestReadPools(t *testing.T) {
	path := filepath.Join(t.TempDir(), "www.conf")
	content := `
; comment
[global]
error_log = /var/log/fpm.log
[www]
user = www-data ; who
listen = /run/php/$pool.sock
pm.max_children = 12
pm.status_path = /status
pm.status_listen = "127.0.0.1:9001"
env[MOODLE_DBPASS] = "a;b"
env[PATH] = $PATH
;user = root
[second]
user = 'moodle'
`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	pools, err := ReadPools(path, "/nonexistent/*.conf")
	want := []Pool{
		{Name: "www", File: path, User: "www-data", Listen: "/run/php/www.sock", MaxChildren: 12, StatusPath: "/status",
			StatusListen: "127.0.0.1:9001", Env: []string{"MOODLE_DBPASS=a;b"}},
		{Name: "second", File: path, User: "moodle"},
	}
	if err != nil || !reflect.DeepEqual(pools, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, pools, want)
	}
}
