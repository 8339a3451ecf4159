package tests

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/redis/go-redis/v9"

	"github.com/eyewall/eyewall/reactor"
)

// Libraries with goroutines of their own cannot have a Conn, which is for the tasks of its loop. They get an error that
// says so, each time, and neither the process nor the loop comes to harm; with Shared they work.

// attempts is how often each is tried: their goroutines run at other times in each attempt.
const attempts = 20

// server serves each connection that comes with serve, by package net, until end is called.
func server(t *testing.T, serve func(net.Conn) error) (addr string, end func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "Listen", err)
	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				over := make(chan struct{})
				all.Go(func() {
					defer c.Close()
					select {
					case <-stop:
					case <-over:
					}
				})
				defer close(over)
				if err := serve(c); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
					t.Logf("the server: %v", err)
				}
			})
		}
	})
	return ln.Addr().String(), func() {
		close(stop)
		ln.Close()
		all.Wait()
	}
}

// wantWrongGoroutine fails a test whose error is not that of a wrong goroutine.
func wantWrongGoroutine(t *testing.T, err error) {
	t.Helper()
	want := reactor.ErrWrongGoroutine
	if err == nil || !errors.Is(err, want) && !strings.Contains(err.Error(), want.Error()) {
		t.Errorf("the error is %v, want %v", err, want)
	}
}

// noLog drops the log of go-redis.
type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

func TestRedis(t *testing.T) {
	redis.SetLogger(noLog{})
	type dial = func(ctx context.Context, network, address string) (net.Conn, error)
	use := func(addr string, dial dial) error {
		c := redis.NewClient(&redis.Options{Addr: addr, Dialer: dial, MaxRetries: -1, DialerRetries: 1})
		defer c.Close()
		if err := c.Set(context.Background(), "key", "value", 0).Err(); err != nil {
			return err
		}
		got, err := c.Get(context.Background(), "key").Result()
		if err == nil && got != "value" {
			err = fmt.Errorf("it got %q", got)
		}
		return err
	}
	t.Run("Conn", func(t *testing.T) {
		eachBackend(t, func(t *testing.T, l *reactor.Loop) {
			addr, end := server(t, answerRedis)
			defer end()
			for range attempts {
				wantWrongGoroutine(t, inTask(t, l, func(task reactor.Task) error {
					return use(addr, func(_ context.Context, network, address string) (net.Conn, error) {
						return reactor.Dial(task, network, address) // on a goroutine of the client's pool
					})
				}))
			}
		})
	})
	t.Run("Shared", func(t *testing.T) {
		eachBackend(t, func(t *testing.T, l *reactor.Loop) {
			addr, end := server(t, answerRedis)
			defer end()
			must(t, "use", use(addr, l.DialContext))
		})
	})
}

// answerRedis is as much of a Redis server as a client needs that sets and gets.
func answerRedis(c net.Conn) error {
	r := bufio.NewReader(c)
	line := func(kind byte) (int, error) {
		text, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if text[0] != kind {
			return 0, fmt.Errorf("%q does not begin with %c", text, kind)
		}
		return strconv.Atoi(strings.TrimSpace(text[1:]))
	}
	values := map[string]string{}
	for {
		n, err := line('*')
		if err != nil {
			return err
		}
		var args []string
		for range n {
			size, err := line('$')
			if err != nil {
				return err
			}
			arg := make([]byte, size+2)
			if _, err := io.ReadFull(r, arg); err != nil {
				return err
			}
			args = append(args, string(arg[:size]))
		}
		answer := "+OK\r\n"
		switch strings.ToLower(args[0]) {
		case "hello":
			answer = "-ERR unknown command\r\n"
		case "set":
			values[args[1]] = args[2]
		case "get":
			answer = fmt.Sprintf("$%d\r\n%s\r\n", len(values[args[1]]), values[args[1]])
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return err
		}
	}
}

func TestPostgres(t *testing.T) {
	// use sends a query that is too large for the server to take, until pgconn reads meanwhile, on a goroutine of its
	// own.
	use := func(t *testing.T, dial pgconn.DialFunc) error {
		writing, reads := make(chan struct{}), make(chan struct{})
		addr, end := server(t, func(c net.Conn) error { return answerPostgres(c, reads) })
		defer end()
		cfg, err := pgconn.ParseConfig("postgres://user@" + addr + "/db?sslmode=disable")
		must(t, "ParseConfig", err)
		cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return watchedConn{c, writing, sync.OnceFunc(func() { close(reads) })}, err
		}
		ctx := context.Background()
		c, err := pgconn.ConnectConfig(ctx, cfg)
		if err != nil {
			return err
		}
		defer func() {
			c.Close(ctx)
			<-c.CleanupDone()
		}()
		return c.Exec(ctx, "select '"+strings.Repeat("x", querySize)+"'").Close() // ReadAll hides the reason
	}
	t.Run("Conn", func(t *testing.T) {
		eachBackend(t, func(t *testing.T, l *reactor.Loop) {
			for range attempts {
				wantWrongGoroutine(t, inTask(t, l, func(task reactor.Task) error {
					var c reactor.Conn
					defer func() { c.Close() }() // which pgconn does on a goroutine of its own
					return use(t, func(_ context.Context, network, address string) (_ net.Conn, err error) {
						c, err = reactor.Dial(task, network, address)
						return c, err
					})
				}))
			}
		})
	})
	t.Run("Shared", func(t *testing.T) {
		eachBackend(t, func(t *testing.T, l *reactor.Loop) { must(t, "use", use(t, l.DialContext)) })
	})
}

// querySize is more than a connection has room for.
const querySize = 8 << 20

// watchedConn calls read before each Read that comes while much is being written.
type watchedConn struct {
	net.Conn
	writing chan struct{} // closed when it is
	read    func()
}

func (c watchedConn) Write(p []byte) (int, error) {
	if len(p) >= querySize {
		close(c.writing)
	}
	return c.Conn.Write(p)
}

func (c watchedConn) Read(p []byte) (int, error) {
	select {
	case <-c.writing:
		c.read()
	default:
	}
	return c.Conn.Read(p)
}

// answerPostgres is as much of a PostgreSQL server as a client needs that asks for something. It takes no query before
// reads is closed.
func answerPostgres(c net.Conn, reads <-chan struct{}) error {
	if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		return err
	}
	b := pgproto3.NewBackend(c, c)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return err
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := b.Flush(); err != nil {
		return err
	}
	select {
	case <-reads:
	case <-time.After(20 * time.Second):
		return errors.New("nothing was read while the query was sent")
	}
	for {
		msg, err := b.Receive()
		if err != nil {
			return err
		}
		if _, ok := msg.(*pgproto3.Query); ok {
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 0")})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			if err := b.Flush(); err != nil {
				return err
			}
		}
	}
}
