package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// pool starts a real PHP-FPM with a script in its reach.
func pool(t *testing.T, script string) (fpm *stand.PHPFPMServer, path string) {
	t.Helper()
	stand.Need(t, stand.PHPFPM)
	dir := stand.TempDir(t)
	fpm, err := stand.StartPHPFPM(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fpm.Close() })
	path = filepath.Join(dir, "script.php")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	return fpm, path
}

func TestScriptInThePool(t *testing.T) {
	fpm, script := pool(t, `<?php
header('X-Long: ' . strlen($_SERVER['LONG']));
http_response_code((int)$_GET['code']);
file_put_contents('php://stderr', "complaint\n");
error_log('logged');
$in = file_get_contents('php://input');
echo md5($in), ' ', strlen($in), ' ', $_SERVER['LONG'] === str_repeat('ü', 30000) ? 'same' : 'different', ' ', $_SERVER['EMPTY'], "\n";
echo str_repeat('x', (int)$_GET['size']);
`)
	ask := func(code, size int, body []byte) (*Response, error) {
		return Do(t.Context(), "unix", fpm.Socket, Request{Stdin: body, Params: map[string]string{
			"SCRIPT_FILENAME": script, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": strconv.Itoa(len(body)), "CONTENT_TYPE": "application/octet-stream",
			"QUERY_STRING": fmt.Sprintf("code=%d&size=%d", code, size), "LONG": strings.Repeat("ü", 30000), "MORE": strings.Repeat("x", 60000), "EMPTY": "", strings.Repeat("N", 200): "long name",
		}})
	}
	body := []byte(strings.Repeat("0123456789", 20000))
	answer, err := ask(418, 300000, body)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(answer.Body), "\n")
	if answer.Status != 418 || answer.Header["X-Long"][0] != "60000" || !strings.HasSuffix(first, " 200000 same ") || len(rest) != 300000 {
		t.Errorf("status %d, headers %v, %q and %d bytes", answer.Status, answer.Header, first, len(rest))
	}
	if !strings.Contains(answer.Stderr, "logged") {
		t.Errorf("error stream %q", answer.Stderr)
	}
	if _, err := ask(200, MaxResponse, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large an answer: %v", err)
	}
	if answer, err := ask(200, 0, nil); err != nil || answer.Status != 200 {
		t.Errorf("afterwards: %v, %v", answer, err)
	}
}

func TestNoSuchScript(t *testing.T) {
	fpm, script := pool(t, "")
	answer, err := Do(t.Context(), "unix", fpm.Socket, Request{Params: map[string]string{"SCRIPT_FILENAME": script + ".none", "REQUEST_METHOD": "GET"}})
	if err != nil || answer.Status != 404 || !strings.Contains(answer.Stderr, "script unknown") {
		t.Errorf("%+v, %v", answer, err)
	}
}

// A server that crashes in the middle of a request is not one that has answered.
func TestWorkerKilled(t *testing.T) {
	fpm, script := pool(t, "<?php echo 'x'; ob_flush(); flush(); posix_kill(getmypid(), 9);")
	answer, err := Do(t.Context(), "unix", fpm.Socket, Request{Params: map[string]string{"SCRIPT_FILENAME": script, "REQUEST_METHOD": "GET"}})
	if err == nil {
		t.Errorf("%+v", answer)
	}
}

func TestSilentServer(t *testing.T) {
	for name, handle := range map[string]func(net.Conn){
		"accepts and never reads": func(net.Conn) { <-t.Context().Done() },
		"reads and never answers": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"half a record":           func(c net.Conn) { _, _ = c.Write([]byte{1, 6, 0, 1}); <-t.Context().Done() },
		"one byte at a time": func(c net.Conn) {
			for _, err := c.Write([]byte{1, 6, 0, 1, 0, 0, 0, 0}); err == nil; _, err = c.Write([]byte{1, 7, 0, 1, 0, 1, 0, 0, 'x'}) {
			}
		},
	} {
		address := stand.AnswerLoopback(t, handle)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := Do(ctx, "tcp", address, Request{Stdin: make([]byte, 8<<20)})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	if _, err := Do(t.Context(), "unix", filepath.Join(t.TempDir(), "none.sock"), Request{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
