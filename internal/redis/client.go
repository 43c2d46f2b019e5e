// Package redis asks a Redis server how it is: one command, INFO, over a kept connection. Answers are bounded and
// believed only where they are understood; what a server says is never put into an error together with a password.
package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// defaultTimeout bounds a question whose context has no deadline.
const defaultTimeout = 5 * time.Second

// Login is where a server is and how it is logged in to.
type Login struct {
	Address      string // host:port, or the path of a unix socket
	User         string // of an ACL; empty for the default user
	PasswordFile string // empty for none
}

// Client keeps a connection to one server, so that it still gets answers when the server takes no new ones.
type Client struct {
	login Login

	mu     sync.Mutex
	conn   net.Conn
	reader *bufio.Reader
}

// NewClient makes a client, which connects when it is first asked.
func NewClient(login Login) *Client { return &Client{login: login} }

// Login is what the client was made with.
func (c *Client) Login() Login { return c.login }

// Close ends the connection.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
}

// Info asks the server how it is, until ctx ends, or for five seconds where it never does. A kept connection that has
// gone meanwhile is made anew.
func (c *Client) Info(ctx context.Context) (Info, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	kept := c.conn != nil
	info, err := c.ask(ctx)
	if err != nil && kept && ctx.Err() == nil {
		info, err = c.ask(ctx)
	}
	if ended := ctx.Err(); err != nil && ended != nil {
		err = ended
	}
	if err != nil {
		return Info{}, fmt.Errorf("read Redis status: %w", err)
	}
	return info, nil
}

// ask connects if needed and asks. After an error there is no connection.
func (c *Client) ask(ctx context.Context) (info Info, err error) {
	defer func() {
		if err != nil {
			c.drop()
		}
	}()
	fresh := c.conn == nil
	if fresh {
		if err := c.dial(ctx); err != nil {
			return Info{}, err
		}
	}
	conn := c.conn
	// Closing is the end of all reads and writes under way.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if fresh {
		if err := c.authenticate(); err != nil {
			return Info{}, err
		}
	}
	text, err := c.command("INFO")
	if err != nil {
		return Info{}, c.explain(err)
	}
	return parseInfo(text)
}

func (c *Client) dial(ctx context.Context) error {
	network := "tcp"
	if strings.HasPrefix(c.login.Address, "/") {
		network = "unix"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, c.login.Address)
	if err != nil {
		return err
	}
	c.conn, c.reader = conn, bufio.NewReader(conn)
	return nil
}

func (c *Client) drop() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.conn, c.reader = nil, nil
}

// authenticate logs in.
func (c *Client) authenticate() error {
	if c.login.User == "" && c.login.PasswordFile == "" {
		return nil
	}
	var password config.Secret
	if c.login.PasswordFile != "" {
		var err error
		if password, err = config.ReadSecretFile(c.login.PasswordFile); err != nil {
			return err
		}
	}
	words := []string{"AUTH", password.Reveal()}
	if c.login.User != "" {
		words = []string{"AUTH", c.login.User, password.Reveal()}
	}
	_, err := c.command(words...)
	var refused *ServerError
	if errors.As(err, &refused) {
		return c.refusal(refused)
	}
	return err
}

// refusal puts the refusal of a login into our own words: the server's may repeat the password.
func (c *Client) refusal(refused *ServerError) error {
	switch {
	case refused.full():
		return errFull
	case refused.Code == "WRONGPASS":
		return fmt.Errorf("the server refuses the login: the password in %s is wrong, or the user does not exist", c.login.PasswordFile)
	}
	return fmt.Errorf("the server refuses the login; does it know passwords, and is the one in %s that of its requirepass or ACL?", c.login.PasswordFile)
}

func (c *Client) command(words ...string) (string, error) {
	if _, err := c.conn.Write(encode(words)); err != nil {
		return "", err
	}
	return readReply(c.reader)
}

// explain says what to do where the server wants to know who asks.
func (c *Client) explain(err error) error {
	var refused *ServerError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case "ERR":
		if refused.full() {
			return errFull
		}
	case "NOAUTH":
		return fmt.Errorf("the server wants a password (NOAUTH); write it to a file that root owns and the group moodle-exporter may read (0640), "+
			"and name it in the configuration: redis: [{address: %q, password_file: /etc/moodle-exporter/redis.password}]", c.login.Address)
	case "NOPERM":
		return errors.New("the account may not ask for INFO (NOPERM); give it the right with ACL SETUSER … +info")
	}
	return err
}
