package tests

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// gobwas/ws upgrades and talks in tasks, with TLS and without: messages of every form of length, in fragments too, pings,
// and a close that both have said.
func TestWebSocket(t *testing.T) {
	eachMeeting(t, func(t *testing.T, m meeting) { m.good(t, echoWebSocket, talkWebSocket) })
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		m.good(t, tlsServer(server, func(c *tls.Conn) error { return echoWebSocket(c) }),
			tlsClient(client, func(c *tls.Conn) error { return talkWebSocket(c) }))
	})
}

// What is no upgrade is refused, and told so.
func TestWebSocketRefused(t *testing.T) {
	eachMeeting(t, func(t *testing.T, m meeting) {
		serverErr, clientErr := m.run(func(c net.Conn) error {
			_, err := ws.Upgrade(c)
			return err
		}, func(c net.Conn) error {
			if err := say(c, "GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
				"Sec-WebSocket-Version: 13\r\n\r\n"); err != nil {
				return err
			}
			return hear(c, "HTTP/1.1 400 Bad Request\r\n")
		})
		if !errors.Is(serverErr, ws.ErrHandshakeBadSecKey) || clientErr != nil {
			t.Errorf("server: %v, client: %v", serverErr, clientErr)
		}
	})
}

func echoWebSocket(c net.Conn) error {
	if _, err := ws.Upgrade(c); err != nil {
		return err
	}
	for {
		data, op, err := wsutil.ReadClientData(c)
		if closed := new(wsutil.ClosedError); errors.As(err, closed) {
			if closed.Code != ws.StatusNormalClosure || closed.Reason != "done" {
				return err
			}
			return nil
		}
		if err != nil {
			return err
		}
		if err := wsutil.WriteServerMessage(c, op, data); err != nil {
			return err
		}
	}
}

func talkWebSocket(c net.Conn) error {
	r, _, err := ws.Dialer{}.Upgrade(c, &url.URL{Scheme: "ws", Host: "here", Path: "/"})
	if err != nil {
		return err
	}
	if r != nil {
		return errors.New("the server talks first")
	}
	back := func(op ws.OpCode, want string) error {
		got, gotOp, err := wsutil.ReadServerData(c)
		if err != nil || string(got) != want || gotOp != op {
			return fmt.Errorf("message %v of %d bytes for %v of %d, %v", gotOp, len(got), op, len(want), err)
		}
		return nil
	}
	for _, size := range []int{0, 1, 125, 126, 1<<16 - 1, 1 << 16, 300_000} {
		text := strings.Repeat("w", size)
		if err := wsutil.WriteClientText(c, []byte(text)); err != nil {
			return err
		}
		if err := back(ws.OpText, text); err != nil {
			return err
		}
	}
	frames := []ws.Frame{ // a ping may come between fragments
		ws.NewFrame(ws.OpBinary, false, []byte("one, ")),
		ws.NewPingFrame([]byte("there?")),
		ws.NewFrame(ws.OpContinuation, false, []byte("two, ")),
		ws.NewFrame(ws.OpContinuation, true, []byte("three")),
	}
	for _, f := range frames {
		if err := ws.WriteFrame(c, ws.MaskFrame(f)); err != nil {
			return err
		}
	}
	pong, err := ws.ReadFrame(c)
	if err != nil || pong.Header.OpCode != ws.OpPong || string(pong.Payload) != "there?" {
		return fmt.Errorf("%v %q for the ping, %v", pong.Header.OpCode, pong.Payload, err)
	}
	if err := back(ws.OpBinary, "one, two, three"); err != nil {
		return err
	}
	end := ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "done"))
	if err := ws.WriteFrame(c, ws.MaskFrame(end)); err != nil {
		return err
	}
	f, err := ws.ReadFrame(c)
	if err != nil || f.Header.OpCode != ws.OpClose {
		return fmt.Errorf("%v for the close, %v", f.Header.OpCode, err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		return err
	}
	return nil
}
