//go:build linux

package load

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/bench/internal/control"
)

// idle opens connections in two steps, and does nothing with them but to send one message on each when told. Between
// the steps the benchmark looks at the server's memory: the first connection is there to have made the server ready.
func idle(spec *control.Spec, commands <-chan string) error {
	d, err := newDialer(spec.Addr, spec.Conns)
	if err != nil {
		return err
	}
	if _, err := d.dialAll(1); err != nil {
		return err
	}
	control.Say(control.Event{Name: control.Warm})
	if err := expect(commands, control.Go); err != nil {
		return err
	}
	began := nanotime()
	fds, err := d.dialAll(spec.Conns)
	if err != nil {
		return err
	}
	took := float64(nanotime()-began) / 1e9
	control.Say(control.Event{Name: control.Connected, Conns: len(fds)})
	if err := expect(commands, control.Go); err != nil {
		return err
	}
	r := &control.Result{Conns: len(fds), Seconds: took}
	if err := pingAll(fds, spec.Size, 0); err != nil {
		r.Errors++
		r.FirstError = err.Error()
	}
	control.Say(control.Event{Name: control.Done, Result: r})
	err = expect(commands, control.Stop)
	for _, fd := range fds {
		abort(fd)
	}
	return err
}

// pingAll has each connection carry one message there and back.
func pingAll(fds []int, size int, firstID uint64) error {
	m := newMessages(size)
	for from := 0; from < len(fds); from += perProbe {
		if err := ping(fds[from:min(from+perProbe, len(fds))], &m, firstID+uint64(from)); err != nil {
			return err
		}
	}
	return nil
}

// ping sends one message on each of some connections and waits for the echoes.
func ping(fds []int, m *messages, firstID uint64) error {
	for i, fd := range fds {
		if _, err := unix.Write(fd, m.from(firstID+uint64(i), 0, 1, 0)); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	for i, fd := range fds {
		if err := pong(fd, m, firstID+uint64(i)); err != nil {
			return err
		}
	}
	return nil
}

// pong waits for the echo on one connection.
func pong(fd int, m *messages, id uint64) error {
	var back []byte
	for len(back) < m.size {
		p := make([]byte, m.size-len(back))
		n, err := unix.Read(fd, p)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case n == 0:
			return errEOF
		default:
			back = append(back, p[:n]...)
		}
	}
	if !m.check(back, id, 0, 0) {
		return errors.New("an echo that is none")
	}
	return nil
}
