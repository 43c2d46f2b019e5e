package nginx

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

const page = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630947 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n"

func TestParseStatus(t *testing.T) {
	got, err := ParseStatus(page)
	if want := (Status{16630948, 16630947, 31070465, 6, 179, 106}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"empty": "", "HTML": "<html>Welcome to nginx!</html>", "cut": page[:90], "more": page + " x",
		"negative": strings.Replace(page, "291", "-1", 1), "not a number": strings.Replace(page, "6 W", "NaN W", 1), "huge": strings.Replace(page, "291", strings.Repeat("9", 30), 1),
		"other labels": strings.Replace(page, "Writing", "Written", 1),
	} {
		if got, err := ParseStatus(text); err == nil {
			t.Errorf("%s gives %+v", name, got)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add(page)
	f.Fuzz(func(t *testing.T, text string) {
		status, err := ParseStatus(text)
		if err != nil && status != (Status{}) {
			t.Error(status, err)
		}
	})
}

func TestServer(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:8080/x": "127.0.0.1:8080", "http://localhost/x": "localhost:80", "https://[::1]/x": "[::1]:443", "http://[::1]:8080/": "[::1]:8080",
	} {
		if got := Server(address); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}

func writeFiles(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestStatusPages(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"nginx.conf": `user www-data; # comment { with } signs;
events { worker_connections 768; }
http {
	log_format main '$remote_addr {"a;b"} \'x\'' "c#d";
	map $uri ${x}y { default 1; "~^/(a|b){2}" 2; "}" 3; }
	content_by_lua_block { if x then { y } end }
	include conf.d/*.conf;
	include ` + "{dir}" + `/sites/*;
	include missing.conf;
	server { listen 80; location = /public { stub_status; } }
}
stream { server { listen 127.0.0.1:1; location /no { stub_status; } } }`,
		"conf.d/status.conf": `server {
	listen 127.0.0.1:8089; listen [::1]:8089; listen 127.0.0.1:8443 ssl; listen unix:/run/x.sock; listen 127.0.0.1:8090 proxy_protocol;
	location = /nginx_status { stub_status on; access_log off; allow 127.0.0.1; deny all; }
	location ~ /regex$ { stub_status; }
	location @named { stub_status; }
	location / { location ^~ /nested/status { stub_status; } return 404; }
}`,
		"sites/a": "server { listen localhost; location /quoted\\ path { stub_status; } location \"/s\" { include ../snippet; stub_status; } }",
		"sites/b": "server{listen 127.0.0.1:8089;location = /nginx_status{stub_status;}}", "snippet": "allow 127.0.0.1;",
	})
	main := filepath.Join(dir, "nginx.conf")
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(main, []byte(strings.ReplaceAll(string(text), "{dir}", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := StatusPages(main)
	want := []string{
		"http://127.0.0.1:8089/nested/status", "http://127.0.0.1:8089/nginx_status", "http://[::1]:8089/nested/status", "http://[::1]:8089/nginx_status",
		"http://localhost:80/s",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %q\nwant %q", err, got, want)
	}
}

func TestBadConfiguration(t *testing.T) {
	for name, text := range map[string]string{
		"loop": "include nginx.conf;", "deep": strings.Repeat("a {", 100), "no name": "{}", "half": "http", "pipe": "include pipe;", "huge": "include huge;", "directory": "include dir;",
	} {
		dir := writeFiles(t, map[string]string{"nginx.conf": text, "dir/x": ""})
		if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
			t.Fatal(err)
		}
		huge := filepath.Join(dir, "huge")
		if err := os.WriteFile(huge, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(huge, 1<<40); err != nil {
			t.Fatal(err)
		}
		if got, err := StatusPages(filepath.Join(dir, "nginx.conf")); err == nil {
			t.Errorf("%s gives %q", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("http { server { listen 127.0.0.1:1; location /a { stub_status; } } }")
	f.Add(`a "b\"c" ${d} 'e' # f` + "\n;")
	f.Add("x_by_lua_block { { } }")
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := parse(&tokens{text: text}, 0)
		if err == nil {
			_ = statusPaths(tree)
			_ = loopbacks(tree)
		}
	})
}
