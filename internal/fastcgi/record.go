package fastcgi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// Record types, roles and protocol states of the specification, section 8.
const (
	version          = 1
	typeBeginRequest = 1
	typeEndRequest   = 3
	typeParams       = 4
	typeStdin        = 5
	typeStdout       = 6
	typeStderr       = 7

	roleResponder   = 1
	requestID       = 1
	headerLength    = 8
	endLength       = 8
	maxContent      = math.MaxUint16
	longLengthFlag  = 1 << 31
	shortLengthMost = 127
	maxLengths      = 8 // bytes that the two lengths of a pair take
)

// refusals are the protocol states of an END_REQUEST that was not served.
var refusals = map[byte]string{
	1: "it does not take several requests over one connection",
	2: "it is overloaded",
	3: "it does not know the role responder",
}

// writeRequest writes a whole request. No flag to keep the connection: the server closes it.
func writeRequest(to io.Writer, request Request) error {
	if err := writeRecord(to, typeBeginRequest, []byte{0, roleResponder, 0, 0, 0, 0, 0, 0}); err != nil {
		return err
	}
	if err := writeParams(to, request.Params); err != nil {
		return err
	}
	return writeStream(to, typeStdin, request.Stdin)
}

// writeParams writes name-value pairs, sorted by name. PHP reads each record by itself, so none ends inside a pair.
func writeParams(to io.Writer, params map[string]string) error {
	var part []byte
	for _, name := range slices.Sorted(maps.Keys(params)) {
		pair, err := encodeParam(name, params[name])
		if err != nil {
			return err
		}
		if len(part)+len(pair) > maxContent && len(part) > 0 {
			if err := writeRecord(to, typeParams, part); err != nil {
				return err
			}
			part = part[:0]
		}
		part = append(part, pair...)
	}
	return writeStream(to, typeParams, part)
}

// encodeParam writes a pair with the lengths of both before it.
func encodeParam(name, value string) ([]byte, error) {
	if len(name)+len(value) > maxContent-maxLengths {
		return nil, fmt.Errorf("parameter %.40q is too long: %d bytes", name, len(value))
	}
	var out []byte
	for _, text := range []string{name, value} {
		if length := len(text); length > shortLengthMost {
			out = binary.BigEndian.AppendUint32(out, uint32(length)|longLengthFlag) //nolint:gosec // bounded above
		} else {
			out = append(out, byte(length))
		}
	}
	return append(append(out, name...), value...), nil
}

// writeStream cuts content into records and ends with the empty one that closes a stream.
func writeStream(to io.Writer, kind byte, content []byte) error {
	for part := range slices.Chunk(content, maxContent) {
		if err := writeRecord(to, kind, part); err != nil {
			return err
		}
	}
	return writeRecord(to, kind, nil)
}

// writeRecord writes one record, padded to a multiple of eight bytes as the specification recommends.
func writeRecord(to io.Writer, kind byte, content []byte) error {
	padding := -len(content) & 7
	record := make([]byte, 0, headerLength+len(content)+padding)
	record = append(record, version, kind, 0, requestID)
	record = binary.BigEndian.AppendUint16(record, uint16(len(content))) //nolint:gosec // at most maxContent
	record = append(record, byte(padding), 0)
	record = append(record, content...)
	record = append(record, make([]byte, padding)...)
	if _, err := to.Write(record); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// readRecord reads one record of our request and drops its padding.
func readRecord(from io.Reader) (kind byte, content []byte, err error) {
	var header [headerLength]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return 0, nil, brokenOff(err)
	}
	if header[0] != version {
		return 0, nil, fmt.Errorf("it does not speak FastCGI: version %d", header[0])
	}
	if id := binary.BigEndian.Uint16(header[2:]); id != requestID {
		return 0, nil, fmt.Errorf("it does not speak FastCGI: answer to request %d", id)
	}
	length := int(binary.BigEndian.Uint16(header[4:]))
	content = make([]byte, length+int(header[6]))
	if _, err := io.ReadFull(from, content); err != nil {
		return 0, nil, brokenOff(err)
	}
	return header[1], content[:length], nil
}

// brokenOff is what the end of the stream means before the end of the request.
func brokenOff(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read its answer: %w", err)
}

// endOfRequest reads the exit status of the program from the content of END_REQUEST.
func endOfRequest(content []byte) (appStatus uint32, err error) {
	if len(content) < endLength {
		return 0, errors.New("it does not speak FastCGI: end of request is too short")
	}
	if state := content[4]; state != 0 {
		if refusal, known := refusals[state]; known {
			return 0, errors.New("refused: " + refusal)
		}
		return 0, fmt.Errorf("refused with unknown state %d", state)
	}
	return binary.BigEndian.Uint32(content), nil
}
