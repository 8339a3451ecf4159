package reactor

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Control sees each socket before it is bound or connected, and its error is that of dialing or listening.
func TestControl(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": filepath.Join(t.TempDir(), "s")} {
				var seen []string
				set := func(network, address string, c syscall.RawConn) error {
					seen = append(seen, network+" "+address)
					var err error
					must(t, "Control", c.Control(func(fd uintptr) {
						err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 50_000)
					}))
					if err := c.Read(func(uintptr) bool { return true }); !errors.Is(err, errors.ErrUnsupported) {
						t.Errorf("a new socket is read: %v", err)
					}
					return err
				}
				plain, err := Listen(task, network, address)
				if network == "tcp6" && err != nil {
					continue // no IPv6 here
				}
				must(t, "Listen", err)
				plain.Close()
				ln, err := (&ListenConfig{Control: set}).Listen(task, network, address)
				must(t, "Listen", err)
				c, err := (&Dialer{Control: set}).Dial(task, network, ln.Addr().String())
				must(t, "Dial", err)
				if len(seen) != 2 || seen[0] != network+" "+address || seen[1] != network+" "+ln.Addr().String() {
					t.Errorf("%s: Control was called for %q", network, seen)
				}
				for _, fd := range []int{ln.fd, c.FD()} {
					if size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); size < 50_000 || size > 100_000 || err != nil {
						t.Errorf("%s: what Control has set is %d, %v", network, size, err)
					}
				}
				refused := errors.New("not this one")
				refuse := func(string, string, syscall.RawConn) error { return refused }
				_, err = (&Dialer{Control: refuse}).Dial(task, network, ln.Addr().String())
				wantOpError(t, "Dial", err, "dial", refused)
				c.Close()
				ln.Close()
				_, err = (&ListenConfig{Control: refuse}).Listen(task, network, address)
				wantOpError(t, "Listen", err, "listen", refused)
			}
		})
	})
}

// Names are looked up by the Dialer's own resolver where it has one.
func TestDialerResolver(t *testing.T) {
	eachBackend(t, func(t *testing.T, name string) {
		run(t, name, func(task Task) {
			asked := errors.New("it was asked")
			r := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, asked }}
			_, err := (&Dialer{Resolver: r}).Dial(task, "tcp", "no-such-name.invalid:80")
			var e *net.DNSError
			if !errors.As(err, &e) || e.Name != "no-such-name.invalid" || e.Err != asked.Error() {
				t.Errorf("Dial: %v", err)
			}
		})
	})
}
