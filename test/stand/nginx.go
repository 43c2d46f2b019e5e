package stand

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// NginxOptions changes how nginx serves a site.
type NginxOptions struct {
	Port        int // of HTTPS; 0 picks a free one
	Certificate CertificateOptions
	// EitherLayout serves the directory public of the code where there is one: a site may move to 5.1 and back.
	EitherLayout bool
}

// NginxServer serves one site over TLS through a PHP-FPM pool.
type NginxServer struct {
	Port            int
	Address         string // host:port of HTTPS
	URL             string // https://localhost:port
	StubStatusURL   string // plain HTTP on loopback
	CertificateFile string
	keyFile         string
	process         *process
}

// StartNginx serves site through fpm, in dir/nginx, with a self-signed certificate. It ends with ctx or Close.
func StartNginx(ctx context.Context, dir string, site *Site, fpm *PHPFPMServer, o NginxOptions) (*NginxServer, error) {
	home := filepath.Join(dir, "nginx")
	own := Account{UID: os.Getuid()}
	for _, sub := range []string{"", "body", "fastcgi", "proxy", "uwsgi", "scgi"} {
		if err := makeOwned(filepath.Join(home, sub), own, 0o755); err != nil {
			return nil, err
		}
	}
	n := &NginxServer{Port: o.Port, CertificateFile: filepath.Join(home, "site.crt"), keyFile: filepath.Join(home, "site.key")}
	statusPort, err := FreePort()
	if err != nil {
		return nil, err
	}
	if n.Port == 0 {
		if n.Port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	n.Address = net.JoinHostPort("localhost", strconv.Itoa(n.Port))
	n.URL = "https://" + n.Address
	n.StubStatusURL = fmt.Sprintf("http://127.0.0.1:%d/nginx_status", statusPort)
	if err := WriteCertificate(n.CertificateFile, n.keyFile, o.Certificate); err != nil {
		return nil, err
	}
	config := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(config, []byte(n.config(home, site, fpm, statusPort, o.EitherLayout)), 0o644); err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	n.process, err = startProcess(ctx, "nginx", filepath.Join(home, "output.log"), own, home, nil, "nginx", "-p", home, "-c", config)
	if err != nil {
		return nil, err
	}
	return n, n.process.await(ctx, dials("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(n.Port))))
}

// Its PHP location is Moodle's documented one: a path may follow the script's name.
const nginxConfig = `{user}daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log;
events { worker_connections 128; }
http {
  access_log {home}/access.log;
  client_body_temp_path {home}/body; fastcgi_temp_path {home}/fastcgi; proxy_temp_path {home}/proxy;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  server {
    listen 127.0.0.1:{statusport};
    location = /nginx_status { stub_status; access_log off; }
    location / { return 404; }
  }
  server {
    listen 127.0.0.1:{port} ssl;
    server_name _;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    {root}
    index index.php;
    location ~ [^/]\.php(/|$) {
      fastcgi_split_path_info ^(.+\.php)(/.+)$;
      fastcgi_pass unix:{socket};
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_param PATH_INFO $fastcgi_path_info;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param SCRIPT_NAME $fastcgi_script_name;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param REMOTE_ADDR $remote_addr;
      fastcgi_param SERVER_NAME $host;
      fastcgi_param SERVER_PORT $server_port;
      fastcgi_param HTTPS on;
      fastcgi_param HTTP_PROXY "";
    }
  }
}
`

func (n *NginxServer) config(home string, site *Site, fpm *PHPFPMServer, statusPort int, either bool) string {
	root := "root " + site.DocRoot + ";"
	if public := filepath.Join(site.CodeDir, "public"); either {
		root = "set $moodle " + site.CodeDir + "; if (-d " + public + ") { set $moodle " + public + "; } root $moodle;"
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user " + site.Web.Name + ";\n"
	}
	return strings.NewReplacer("{user}", user, "{home}", home, "{statusport}", strconv.Itoa(statusPort), "{port}", strconv.Itoa(n.Port),
		"{certificate}", n.CertificateFile, "{key}", n.keyFile, "{root}", root, "{socket}", fpm.Socket).Replace(nginxConfig)
}

// Renew replaces the certificate, which may be one that has expired, and reloads nginx.
func (n *NginxServer) Renew(ctx context.Context, o CertificateOptions) error {
	if err := WriteCertificate(n.CertificateFile, n.keyFile, o); err != nil {
		return err
	}
	return n.Reload(ctx)
}

// Reload makes nginx read its configuration and certificate again, and returns once no worker
// with the old ones is left.
func (n *NginxServer) Reload(ctx context.Context) error {
	old, err := n.process.children()
	if err != nil {
		return fmt.Errorf("reload nginx: %w", err)
	}
	if err := n.process.signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload nginx: %w", err)
	}
	return n.process.await(ctx, func(context.Context) error {
		now, err := n.process.children()
		if err != nil {
			return err
		}
		if len(now) == 0 || slices.ContainsFunc(now, func(pid string) bool { return slices.Contains(old, pid) }) {
			return errors.New("old workers are still there")
		}
		return nil
	})
}

// TLS trusts nginx's current certificate and nothing else.
func (n *NginxServer) TLS() *tls.Config {
	pool := x509.NewCertPool()
	if pem, err := os.ReadFile(n.CertificateFile); err == nil {
		pool.AppendCertsFromPEM(pem)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// Client is an HTTP client that trusts nginx's current certificate.
func (n *NginxServer) Client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: n.TLS(), DisableKeepAlives: true}}
}

// Pid is the process id of the master.
func (n *NginxServer) Pid() int { return n.process.pid }

// Close ends nginx.
func (n *NginxServer) Close() error { return n.process.stop() }
