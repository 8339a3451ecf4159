package tests

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// eachTLS runs test over every backend, meeting and version of TLS.
func eachTLS(t *testing.T, test func(t *testing.T, m meeting, a *authority, server, client *tls.Config)) {
	a := newAuthority(t)
	eachMeeting(t, func(t *testing.T, m meeting) {
		for _, version := range tlsVersions {
			t.Run(strings.ReplaceAll(tls.VersionName(version), " ", ""), func(t *testing.T) {
				server, client := a.configs(t, version)
				test(t, m, a, server, client)
			})
		}
	})
}

// tlsServer is an end that talks TLS; the handshake is done when talk begins.
func tlsServer(config *tls.Config, talk func(c *tls.Conn) error) talk {
	return func(c net.Conn) error { return secure(tls.Server(c, config), talk) }
}

func tlsClient(config *tls.Config, talk func(c *tls.Conn) error) talk {
	return func(c net.Conn) error { return secure(tls.Client(c, config), talk) }
}

func secure(c *tls.Conn, talk func(*tls.Conn) error) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	if err := talk(c); err != nil {
		return err
	}
	return c.Close()
}

// say writes text, and hear reads it.
func say(c net.Conn, text string) error {
	n, err := io.WriteString(c, text)
	if err == nil && n != len(text) {
		err = fmt.Errorf("%d bytes of %d are written", n, len(text))
	}
	return err
}

func hear(c net.Conn, text string) error {
	buf := make([]byte, len(text))
	if _, err := io.ReadFull(c, buf); err != nil {
		return err
	}
	if string(buf) != text {
		return fmt.Errorf("%.100q came, and not %.100q", buf, text)
	}
	return nil
}

// hearEnd reads the end, which for TLS is the peer's close_notify.
func hearEnd(c net.Conn) error {
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("%d bytes and error %v came in place of the end", n, err)
	}
	return nil
}

// Records of every size pass in both directions: single bytes, whole records, and more than any buffer holds.
func TestTLSRecords(t *testing.T) {
	small := strings.Repeat("a word and a half ", 10)
	large := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		m.good(t, tlsServer(server, func(c *tls.Conn) error {
			for i := range small {
				if err := hear(c, small[i:i+1]); err != nil {
					return err
				}
			}
			for i := range small {
				if err := say(c, small[i:i+1]); err != nil {
					return err
				}
			}
			for _, size := range []int{16<<10 - 1, 16 << 10, 16<<10 + 1, len(large)} {
				if err := hear(c, large[:size]); err != nil {
					return fmt.Errorf("%d bytes: %w", size, err)
				}
				if err := say(c, large[:size]); err != nil {
					return fmt.Errorf("%d bytes: %w", size, err)
				}
			}
			return hearEnd(c)
		}), tlsClient(client, func(c *tls.Conn) error {
			for i := range small {
				if err := say(c, small[i:i+1]); err != nil {
					return err
				}
			}
			if err := hear(c, small); err != nil {
				return err
			}
			for _, size := range []int{16<<10 - 1, 16 << 10, 16<<10 + 1, len(large)} {
				if err := say(c, large[:size]); err != nil {
					return fmt.Errorf("%d bytes: %w", size, err)
				}
				if err := hear(c, large[:size]); err != nil {
					return fmt.Errorf("%d bytes: %w", size, err)
				}
			}
			return nil
		}))
	})
}

// Who has said close_notify can still read, and the other still write. The end of the stream within a
// record is an error.
func TestTLSEnds(t *testing.T) {
	request, answer := strings.Repeat("?", 100_000), strings.Repeat("!", 300_000)
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		m.good(t, tlsServer(server, func(c *tls.Conn) error {
			got, err := io.ReadAll(c)
			if err != nil || string(got) != request {
				return fmt.Errorf("%d bytes of the request, %v", len(got), err)
			}
			if err := say(c, answer); err != nil {
				return err
			}
			return c.CloseWrite()
		}), tlsClient(client, func(c *tls.Conn) error {
			if err := say(c, request); err != nil {
				return err
			}
			if err := c.CloseWrite(); err != nil {
				return err
			}
			got, err := io.ReadAll(c)
			if err != nil || string(got) != answer {
				return fmt.Errorf("%d bytes of the answer, %v", len(got), err)
			}
			if _, err := c.Write([]byte("more")); err == nil {
				return errors.New("Write after CloseWrite passes")
			}
			return nil
		}))

		cut := func(c *tls.Conn) error {
			if err := say(c, "all there is"); err != nil {
				return err
			}
			if err := say(c.NetConn(), "\x17\x03\x03\x00\x20 not all of a record"); err != nil {
				return err
			}
			if err := c.NetConn().(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				return err
			}
			_, err := io.Copy(io.Discard, c.NetConn())
			return err
		}
		uncut := func(c *tls.Conn) error {
			got, err := io.ReadAll(c)
			if string(got) != "all there is" || !errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("%q, %v", got, err)
			}
			return nil
		}
		bare := func(c *tls.Conn, talk func(*tls.Conn) error) error { // does not say close_notify
			if err := c.Handshake(); err != nil {
				return err
			}
			return talk(c)
		}
		m.good(t, func(c net.Conn) error { return bare(tls.Server(c, server), cut) },
			func(c net.Conn) error { return bare(tls.Client(c, client), uncut) })
		m.good(t, func(c net.Conn) error { return bare(tls.Server(c, server), uncut) },
			func(c net.Conn) error { return bare(tls.Client(c, client), cut) })
	})
}

// The protocol is agreed on, or the handshake fails.
func TestTLSProtocol(t *testing.T) {
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		server.NextProtos = []string{"third", "second"}
		agreed := func(c *tls.Conn) error {
			if p := c.ConnectionState().NegotiatedProtocol; p != "second" {
				return fmt.Errorf("the protocol is %q", p)
			}
			return nil
		}
		client.NextProtos = []string{"first", "second"}
		m.good(t, tlsServer(server, func(c *tls.Conn) error { return errors.Join(agreed(c), hearEnd(c)) }), tlsClient(client, agreed))

		client.NextProtos = []string{"first"}
		serverErr, clientErr := m.run(candid(tlsServer(server, nothing)), tlsClient(client, nothing))
		if serverErr == nil || !strings.Contains(serverErr.Error(), "application protocol") {
			t.Errorf("server: %v", serverErr)
		}
		if clientErr == nil || !strings.Contains(clientErr.Error(), "no application protocol") {
			t.Errorf("client: %v", clientErr)
		}
	})
}

func nothing(c *tls.Conn) error { return nil }

// candid is an end that, once it has failed, does not close before its peer has, so that a reset does not overtake the
// alert that says why.
func candid(end talk) talk {
	return func(c net.Conn) error {
		err := end(c)
		if err != nil {
			c.(interface{ CloseWrite() error }).CloseWrite()
			io.Copy(io.Discard, c)
		}
		return err
	}
}

// A client shows its certificate where the server asks, and who has none, or another's, is refused.
func TestTLSClientCertificates(t *testing.T) {
	stranger := newAuthority(t).sign(t, "stranger")
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, a.roots
		greet := tlsServer(server, func(c *tls.Conn) error {
			return say(c, "hello, "+c.ConnectionState().PeerCertificates[0].Subject.CommonName)
		})
		shows := func(cert ...tls.Certificate) talk {
			config := client.Clone()
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(cert) == 0 {
					return new(tls.Certificate), nil
				}
				return &cert[0], nil
			}
			return tlsClient(config, func(c *tls.Conn) error { return hear(c, "hello, client") })
		}
		m.good(t, greet, shows(a.sign(t, "client")))

		var unverified *tls.CertificateVerificationError
		serverErr, clientErr := m.run(candid(greet), shows(stranger))
		if !errors.As(serverErr, &unverified) {
			t.Errorf("a stranger's certificate: server: %v", serverErr)
		}
		if clientErr == nil || !strings.Contains(clientErr.Error(), "remote error: tls:") {
			t.Errorf("a stranger's certificate: client: %v", clientErr)
		}
		serverErr, clientErr = m.run(candid(greet), shows())
		if serverErr == nil || !strings.Contains(serverErr.Error(), "client didn't provide a certificate") {
			t.Errorf("no certificate: server: %v", serverErr)
		}
		if clientErr == nil || !strings.Contains(clientErr.Error(), "remote error: tls:") {
			t.Errorf("no certificate: client: %v", clientErr)
		}
	})
}

// A client that does not trust the server ends the handshake, and tells.
func TestTLSUntrusted(t *testing.T) {
	other := newAuthority(t)
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		client.RootCAs = other.roots
		serverErr, clientErr := m.run(tlsServer(server, hearEndTLS), candid(tlsClient(client, nothing)))
		var unverified *tls.CertificateVerificationError
		if !errors.As(clientErr, &unverified) {
			t.Errorf("client: %v", clientErr)
		}
		if serverErr == nil || !strings.Contains(serverErr.Error(), "remote error: tls: bad certificate") {
			t.Errorf("server: %v", serverErr)
		}
	})
}

func hearEndTLS(c *tls.Conn) error { return hearEnd(c) }

// A later connection resumes the session of an earlier one.
func TestTLSResumption(t *testing.T) {
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		for i := range 3 {
			resumed := func(c *tls.Conn) error {
				if did := c.ConnectionState().DidResume; did != (i > 0) {
					return fmt.Errorf("connection %d resumes: %v", i, did)
				}
				return nil
			}
			m.good(t, tlsServer(server, func(c *tls.Conn) error {
				return errors.Join(resumed(c), say(c, "hello"), hearEnd(c))
			}), tlsClient(client, func(c *tls.Conn) error {
				return errors.Join(resumed(c), hear(c, "hello")) // the ticket comes before it
			}))
		}
	})
}

// What is no TLS ends the handshake.
func TestTLSNonsense(t *testing.T) {
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		nonsense := func(c net.Conn) error {
			if err := say(c, "GET / HTTP/1.1\r\n\r\n"); err != nil {
				return err
			}
			io.Copy(io.Discard, c)
			return nil
		}
		var header tls.RecordHeaderError
		if serverErr, _ := m.run(tlsServer(server, nothing), nonsense); !errors.As(serverErr, &header) {
			t.Errorf("server: %v", serverErr)
		}
		if _, clientErr := m.run(nonsense, tlsClient(client, nothing)); !errors.As(clientErr, &header) {
			t.Errorf("client: %v", clientErr)
		}
	})
}

// Many connections of one loop talk at once, each to its own end.
func TestTLSMany(t *testing.T) {
	eachTLS(t, func(t *testing.T, m meeting, a *authority, server, client *tls.Config) {
		results := make(chan error)
		const n = 10
		for i := range n {
			text := strings.Repeat(string(rune('a'+i)), 20_000)
			go func() {
				serverErr, clientErr := m.run(tlsServer(server, func(c *tls.Conn) error {
					got := make([]byte, len(text))
					for range 5 {
						if _, err := io.ReadFull(c, got); err != nil {
							return err
						}
						if _, err := c.Write(bytes.ToUpper(got)); err != nil {
							return err
						}
					}
					return hearEnd(c)
				}), tlsClient(client, func(c *tls.Conn) error {
					for range 5 {
						if err := errors.Join(say(c, text), hear(c, strings.ToUpper(text))); err != nil {
							return err
						}
					}
					return nil
				}))
				results <- errors.Join(serverErr, clientErr)
			}()
		}
		for range n {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}
