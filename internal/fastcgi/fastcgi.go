// Package fastcgi asks a FastCGI server such as PHP-FPM directly, without a web server between: one request per
// connection (https://fastcgi-archives.github.io/FastCGI_Specification.html). The other end may be anything that
// listens there, so all that it sends is bounded in size and time.
package fastcgi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	// MaxResponse is how much a server may send as its answer, in bytes, headers included.
	MaxResponse = 1 << 20
	// maxStderr is how much of the server's error stream is kept, in bytes. The rest is read and dropped.
	maxStderr = 16 << 10
	// defaultTimeout bounds a request whose context has no deadline.
	defaultTimeout = 30 * time.Second
)

// ErrTooLarge is an answer of more than MaxResponse.
var ErrTooLarge = fmt.Errorf("the answer has more than %d bytes", MaxResponse)

// Request is what is asked for.
type Request struct {
	// Params are CGI variables (RFC 3875). PHP needs SCRIPT_FILENAME and REQUEST_METHOD, and CONTENT_LENGTH
	// where there is a body.
	Params map[string]string
	// Stdin is the body.
	Stdin []byte
}

// Response is what the server answered.
type Response struct {
	Status    int                 // of HTTP; 200 where the server names none
	Header    map[string][]string // canonical names
	Body      []byte
	Stderr    string // what the program complained about, cut after 16 KiB
	AppStatus uint32 // exit status of the program
}

// Do sends a request to the unix socket or TCP address (net.Dial) and reads the whole answer, until ctx ends, or for
// half a minute where it never does. A Status of 404 or 500 is an answer and no error.
func Do(ctx context.Context, network, address string, request Request) (*Response, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("ask FastCGI server: %w", err)
	}
	// Closing is the end of all reads and writes under way.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() { stop(); _ = conn.Close() }()
	response, err := exchange(conn, request)
	if ended := ctx.Err(); err != nil && ended != nil {
		err = ended
	}
	if err != nil {
		return nil, fmt.Errorf("ask FastCGI server %s: %w", address, err)
	}
	return response, nil
}

// exchange writes the request and reads the answer at the same time: a server may answer before it has read all, and
// would else wait for us as we wait for it.
func exchange(conn io.ReadWriteCloser, request Request) (*Response, error) {
	written := make(chan error, 1)
	go func() { written <- writeRequest(conn, request) }()
	response, err := readResponse(conn)
	// A writer that still waits has nobody left to write to.
	_ = conn.Close()
	// A failed write matters only where there is no answer: the server may have had enough of the body.
	if failed := <-written; err != nil && failed != nil && !errors.Is(failed, net.ErrClosed) {
		err = errors.Join(err, failed)
	}
	return response, err
}

// readResponse reads records until the one that ends the request.
func readResponse(from io.Reader) (*Response, error) {
	var stdout, stderr bytes.Buffer
	for {
		kind, content, err := readRecord(from)
		if err != nil {
			return nil, err
		}
		switch kind {
		case typeStdout:
			if stdout.Len()+len(content) > MaxResponse {
				return nil, ErrTooLarge
			}
			stdout.Write(content)
		case typeStderr:
			stderr.Write(content[:min(len(content), maxStderr-stderr.Len())])
		case typeEndRequest:
			appStatus, err := endOfRequest(content)
			if err != nil {
				return nil, err
			}
			response, err := parseResponse(stdout.Bytes())
			if err != nil {
				return nil, err
			}
			response.Stderr, response.AppStatus = stderr.String(), appStatus
			return response, nil
		default:
			return nil, fmt.Errorf("it does not speak FastCGI: record of type %d", kind)
		}
	}
}
