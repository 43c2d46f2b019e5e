package fastcgi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
)

// parseResponse takes the headers off a CGI answer (RFC 3875, section 6).
func parseResponse(output []byte) (*Response, error) {
	reader := bufio.NewReader(bytes.NewReader(output))
	header, err := textproto.NewReader(reader).ReadMIMEHeader()
	if err != nil {
		// The text of the error would quote what the program printed.
		return nil, fmt.Errorf("its answer of %d bytes does not begin with CGI headers", len(output))
	}
	response := &Response{Status: http.StatusOK, Header: header}
	if line := header.Get("Status"); line != "" {
		code, err := strconv.Atoi(line[:min(len(line), 3)])
		if err != nil || code < 100 {
			return nil, fmt.Errorf("its status %.40q is none of HTTP", line)
		}
		response.Status = code
	}
	if response.Body, err = io.ReadAll(reader); err != nil {
		return nil, fmt.Errorf("read its body: %w", err)
	}
	return response, nil
}
