package nginx

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestFastCGIServers(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"nginx.conf": `http {
  upstream php { server unix:/run/php/group.sock weight=5; server 127.0.0.1:9001; }
  include sites/*;
}`,
		"sites/a": `server { root /srv/a; location ~ \.php$ { include ../nothing*; fastcgi_pass unix:/run/php/a.sock:; }
  location /b { root "/srv/b"; location ~ \.php$ { fastcgi_pass php; } } location /c { fastcgi_pass $pool; } location /d { fastcgi_pass unix:/run/php/a.sock; } }`,
		"sites/c": `server { root /srv/c; location ~ \.php$ { fastcgi_pass 127.0.0.1:9000; } }
server { location ~ \.php$ { fastcgi_pass 127.0.0.1:9009; } }`,
	})
	for root, want := range map[string][]string{
		"/srv/a": {"/run/php/a.sock"}, "/srv/b": {"/run/php/group.sock", "127.0.0.1:9001"}, "/srv/c": {"127.0.0.1:9000"}, "/srv/d": nil,
	} {
		got, err := FastCGIServers(filepath.Join(dir, "nginx.conf"), func(found string) bool { return found == root })
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", root, got, err)
		}
	}
	if _, err := FastCGIServers(filepath.Join(dir, "none"), func(string) bool { return true }); err == nil {
		t.Error("no file and no error")
	}
}
