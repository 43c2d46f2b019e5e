package stand

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"
)

// Message is one mail that arrived at the sink.
type Message struct {
	From    string // of the envelope, as are To
	To      []string
	Subject string // decoded
	Body    string
}

// SMTPSink is a mail server in this process that takes every mail and keeps it.
type SMTPSink struct {
	Address string // host:port

	listener net.Listener
	arrived  func(Message)
	mu       sync.Mutex
	messages []Message
	changed  chan struct{} // closed and replaced with every mail
	sessions sync.WaitGroup
}

// StartSMTPSink starts a sink on a free loopback port. arrived, if not nil, is called with every mail.
func StartSMTPSink(ctx context.Context, arrived func(Message)) (*SMTPSink, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the mail sink: %w", err)
	}
	s := &SMTPSink{Address: l.Addr().String(), listener: l, arrived: arrived, changed: make(chan struct{})}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	s.sessions.Go(s.serve)
	return s, nil
}

func (s *SMTPSink) serve() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.sessions.Go(func() {
			defer c.Close()
			// A client that hangs must not keep Close waiting for ever.
			_ = c.SetDeadline(time.Now().Add(startTimeout))
			s.session(c)
		})
	}
}

// session speaks as much SMTP (RFC 5321) as a mailer needs: EHLO, MAIL, RCPT, DATA, RSET, QUIT.
func (s *SMTPSink) session(c io.ReadWriter) {
	text := textproto.NewReader(bufio.NewReader(c))
	say := func(line string) bool { _, err := io.WriteString(c, line+"\r\n"); return err == nil }
	say("220 sink ESMTP")
	var m Message
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		answer := "250 ok"
		switch strings.ToUpper(verb) {
		case "EHLO", "HELO":
			answer = "250 sink"
		case "MAIL":
			m = Message{From: angleAddress(rest)}
		case "RCPT":
			m.To = append(m.To, angleAddress(rest))
		case "DATA":
			say("354 go on")
			if err := s.receive(text.DotReader(), m); err != nil {
				answer = "554 " + strings.ReplaceAll(err.Error(), "\n", " ")
			}
		case "RSET", "NOOP":
		case "QUIT":
			say("221 bye")
			return
		default:
			answer = "502 not implemented"
		}
		if !say(answer) {
			return
		}
	}
}

func (s *SMTPSink) receive(data io.Reader, m Message) error {
	parsed, err := mail.ReadMessage(data)
	if err != nil {
		return fmt.Errorf("read the mail: %w", err)
	}
	body, err := io.ReadAll(parsed.Body)
	if err != nil {
		return fmt.Errorf("read the mail: %w", err)
	}
	m.Subject, m.Body = decodeHeader(parsed.Header.Get("Subject")), string(body)
	s.mu.Lock()
	s.messages = append(s.messages, m)
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	if s.arrived != nil {
		s.arrived(m)
	}
	return nil
}

// Messages returns the mails so far, oldest first.
func (s *SMTPSink) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// ErrNoMail says that no such mail came in time.
var ErrNoMail = errors.New("no such mail arrived")

// WaitFor returns the first mail, past or to come within timeout, that satisfies wanted.
// The error wraps ErrNoMail and names the subjects that did come.
func (s *SMTPSink) WaitFor(wanted func(Message) bool, timeout time.Duration) (Message, error) {
	deadline := time.After(timeout)
	for {
		s.mu.Lock()
		messages, changed := s.messages, s.changed
		s.mu.Unlock()
		if i := slices.IndexFunc(messages, wanted); i >= 0 {
			return messages[i], nil
		}
		select {
		case <-changed:
		case <-deadline:
			var subjects []string
			for _, m := range messages {
				subjects = append(subjects, m.Subject)
			}
			return Message{}, fmt.Errorf("%w within %v; subjects of those that did: %q", ErrNoMail, timeout, subjects)
		}
	}
}

// Close ends the sink once its open sessions are over.
func (s *SMTPSink) Close() error {
	err := s.listener.Close()
	s.sessions.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// angleAddress takes the address out of "FROM:<a@b> SIZE=1".
func angleAddress(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}

func decodeHeader(s string) string {
	if decoded, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
		return decoded
	}
	return s
}
