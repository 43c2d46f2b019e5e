package collector

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func pagesOf(addresses ...string) func() NginxPages {
	return func() NginxPages { return NginxPages{Addresses: addresses, Hidden: true} }
}

// startNginx starts a real nginx and returns it with its configuration file.
func startNginx(t *testing.T) (server *stand.NginxServer, config string) {
	t.Helper()
	stand.Need(t, stand.Nginx)
	dir := stand.TempDir(t)
	web, err := stand.WebUser()
	if err != nil {
		t.Fatal(err)
	}
	// It serves its status alone: the site and its PHP need not be there.
	server, err = stand.StartNginx(t.Context(), dir, &stand.Site{Web: web, DocRoot: dir}, &stand.PHPFPMServer{Socket: dir + "/none.sock"}, stand.NginxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server, dir + "/nginx/nginx.conf"
}

func TestNginx(t *testing.T) {
	server, config := startNginx(t)
	found, err := nginx.StatusPages(config)
	if err != nil || len(found) != 1 || found[0] != server.StubStatusURL {
		t.Fatalf("found %q in the configuration, %v", found, err)
	}
	label := nginx.Server(server.StubStatusURL)
	c := NewNginx(pagesOf(found[0], found[0]+"?again"))
	// nginx counts the connection that the stand makes to see whether it is there.
	got, err := seriesOf(t, c)
	if err != nil {
		t.Fatal(err)
	}
	before := got["nginx_requests_total{"+label+"}"]
	err = wantSeries(t, c, strings.ReplaceAll(fmt.Sprintf(`
		nginx_up{S} 1
		nginx_connections{S,reading} 0
		nginx_connections{S,writing} 1
		nginx_connections{S,waiting} 0
		nginx_connections_accepted_total{S} *
		nginx_connections_handled_total{S} *
		nginx_requests_total{S} %v`, before+1), "S", label))
	if err != nil {
		t.Error(err)
	}
}

func TestNginxWithoutStatusPage(t *testing.T) {
	err := wantSeries(t, NewNginx(pagesOf()), "nginx_up{localhost} 0")
	wantTrouble(t, err, "stub_status", "config check")
	if err := wantSeries(t, NewNginx(func() NginxPages { return NginxPages{} }), ""); err != nil {
		t.Error(err)
	}
}

func TestNginxDown(t *testing.T) {
	server, _ := startNginx(t)
	good := nginx.Server(server.StubStatusURL)
	answer := func(head string, body []byte) string {
		return stand.AnswerLoopback(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write(append([]byte("HTTP/1.1 "+head+"\r\n\r\n"), body...))
		})
	}
	closed, hung, garbage := closedPort(t), silent(t), answer("200 OK", []byte("<html>Welcome</html>"))
	endless := answer("200 OK", bytes.Repeat([]byte("x"), 1<<20))
	elsewhere := answer("302 Found\r\nLocation: "+server.StubStatusURL, nil)
	c := NewNginx(pagesOf(server.StubStatusURL, "http://"+closed+"/s", "http://"+hung+"/s?token=secret", "http://"+garbage+"/", "http://"+endless+"/", "http://"+elsewhere+"/",
		"http://127.0.0.1:1/%zz"))
	got, err := brieflyUpdate(t, c)
	wantTrouble(t, err, "nginx "+closed+": ", "connection refused", "nginx "+hung+": ", "deadline exceeded", "nginx "+garbage+": ", "no page of stub_status", "nginx "+endless+": ",
		"nginx "+elsewhere+": read nginx status: the answer has status 302")
	wantValues(t, got, map[string]float64{
		"nginx_up{" + good + "}": 1, "nginx_up{" + closed + "}": 0, "nginx_up{" + hung + "}": 0, "nginx_up{" + garbage + "}": 0, "nginx_up{" + endless + "}": 0, "nginx_up{" + elsewhere + "}": 0,
	})
	if len(got) != 13 {
		t.Errorf("more than what is known: %v", got)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the address is told: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := brieflyUpdate(t, c); got["nginx_up{"+good+"}"] != 0 || len(got) != 7 {
		t.Errorf("after its end: %v", got)
	}
}

// A wrong path is a status of HTTP.
func TestNginxElsewhere(t *testing.T) {
	server, _ := startNginx(t)
	_, err := seriesOf(t, NewNginx(pagesOf(server.StubStatusURL+"x")))
	wantTrouble(t, err, fmt.Sprint(http.StatusNotFound), "stub_status")
}
