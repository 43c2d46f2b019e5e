package dbserver

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"
)

func nothing(context.Context, *sql.Conn) error { return nil }

// TestUseSharesFailure: who waited while another failed to connect does not try again; who comes later does.
func TestUseSharesFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		attempts, answer := 0, make(chan error)
		c := NewConnection(func() (*mysql.Config, error) {
			attempts++
			return nil, <-answer
		})
		defer c.Close()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := c.Use(t.Context(), nothing); !errors.Is(err, refused) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait() // one asks, four wait
		answer <- refused
		all.Wait()
		if attempts != 1 {
			t.Errorf("%d attempts to connect for five who asked together, want 1", attempts)
		}
		all.Go(func() { _ = c.Use(t.Context(), nothing) })
		answer <- refused
		all.Wait()
		if attempts != 2 {
			t.Errorf("%d attempts after one who asked later, want 2", attempts)
		}
	})
}

// TestUseGivesUp: who waits for a busy connection ends with its own time, and leaves the connection usable.
func TestUseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan error)
		c := NewConnection(func() (*mysql.Config, error) { return nil, <-answer })
		defer c.Close()
		var all sync.WaitGroup
		all.Go(func() { _ = c.Use(t.Context(), nothing) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Use(ctx, nothing); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "busy") {
			t.Errorf("got %v", err)
		}
		answer <- errors.New("refused")
		all.Wait()
	})
}

// TestUseHungUp: a server, or a proxy in front of none, that hangs up during the login is tried once.
func TestUseHungUp(t *testing.T) {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	attempts := make(chan int)
	go func() {
		count := 0
		for {
			conn, err := listener.Accept()
			if err != nil {
				attempts <- count
				return
			}
			count++
			_ = conn.Close()
		}
	}()
	c := NewConnection(func() (*mysql.Config, error) {
		driver := mysql.NewConfig()
		driver.Net, driver.Addr, driver.User, driver.Passwd = "tcp", listener.Addr().String(), "reader", "geheim"
		driver.Logger = &mysql.NopLogger{}
		return driver, nil
	})
	defer c.Close()
	err = c.Use(t.Context(), nothing)
	if !errors.Is(err, errHungUp) || !strings.Contains(err.Error(), listener.Addr().String()+" as reader") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("got %v", err)
	}
	_ = listener.Close()
	if count := <-attempts; count != 1 {
		t.Errorf("%d attempts to connect, want 1", count)
	}
}
