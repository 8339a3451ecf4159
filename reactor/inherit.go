package reactor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/eyewall/eyewall/internal/sock"
)

// InheritedFiles are the sockets that a service manager such as systemd has passed to this process, by LISTEN_PID,
// LISTEN_FDS and LISTEN_FDNAMES; see sd_listen_fds(3). A file is named as LISTEN_FDNAMES says. ListenFile and
// Group.ServeFile take those that listen. The variables are removed, so that the processes which this one starts do not
// take them for theirs, and a second call finds none. The caller closes the files. Any goroutine may call it.
//
// It is an error if the variables are not right: they are no numbers, or a descriptor that they promise is not open, or
// is close-on-exec and so was not passed: this process has opened it itself. No file is returned then.
func InheritedFiles() ([]*os.File, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	if pid == "" || count == "" {
		return nil, nil
	}
	if p, err := strconv.Atoi(pid); err != nil {
		return nil, fmt.Errorf("reactor: LISTEN_PID is %q; it must be a process's number", pid)
	} else if p != os.Getpid() { // for another one
		return nil, nil
	}
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("reactor: LISTEN_FDS is %q; it must be a number of descriptors", count)
	}
	const first = 3 // SD_LISTEN_FDS_START
	for fd := first; fd < first+int(n); fd++ {
		if err := wasPassed(fd); err != nil {
			return nil, fmt.Errorf("reactor: LISTEN_FDS is %d, and descriptor %d was not passed to this process: %w",
				n, fd, err)
		}
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		os.Unsetenv(name)
	}
	named := strings.Split(names, ":")
	var files []*os.File
	for i := range int(n) {
		name := "LISTEN_FD_" + strconv.Itoa(first+i)
		if i < len(named) && named[i] != "" {
			name = named[i]
		}
		unix.CloseOnExec(first + i)
		files = append(files, os.NewFile(uintptr(first+i), name))
	}
	return files, nil
}

// wasPassed returns why descriptor fd cannot have been passed to this process when that was started; else nil.
func wasPassed(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	switch {
	case err != nil:
		return os.NewSyscallError("fcntl", err)
	case flags&unix.FD_CLOEXEC != 0:
		return errors.New("it is close-on-exec, as what a process opens for itself is")
	}
	return nil
}

// ListenFile listens on a socket that was made elsewhere. See ListenConfig.ListenFile.
func ListenFile(t Task, f *os.File) (*Listener, error) { return new(ListenConfig).ListenFile(t, f) }

// ListenFile listens, for the task's loop, on a socket that was made elsewhere: one of InheritedFiles, or of
// Listener.File in the process that has started this one. It uses a duplicate; f stays the caller's. The socket
// becomes non-blocking and gets cfg's options, but Backlog and ReusePort, in each process that has it. A Unix
// socket's file is not removed when the listener is closed, unless SetUnlinkOnClose says so.
func (cfg *ListenConfig) ListenFile(t Task, f *os.File) (*Listener, error) {
	s, err := t.current()
	if err == nil {
		err = s.refused()
	}
	if err != nil {
		return nil, fileError(f, err)
	}
	ln, err := cfg.listenFile(f)
	if err != nil {
		return nil, err
	}
	s.loop.addListener(ln)
	if s.loop.debug != nil {
		s.loop.debug.opensListener(ln)
	}
	return ln, nil
}

// listenFile makes a listener of a duplicate of f. It belongs to no loop yet.
func (cfg *ListenConfig) listenFile(f *os.File) (*Listener, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, fileError(f, err)
	}
	fd := -1
	if failed := raw.Control(func(of uintptr) { fd, err = sock.Dup(int(of)) }); failed != nil {
		err = failed
	}
	if err != nil {
		return nil, fileError(f, err)
	}
	ln := &Listener{fd: fd}
	if ln.addr, err = sock.Listening(fd); err == nil {
		_, ln.unix = ln.addr.(*net.UnixAddr)
		err = cfg.setUpFile(fd, ln.unix)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fileError(f, err)
	}
	return ln, nil
}

func (cfg *ListenConfig) setUpFile(fd int, ofUnix bool) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if err := cfg.setBuffers(fd); err != nil || ofUnix {
		return err
	}
	if err := sock.SetInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, boolInt(!cfg.Delay)); err != nil {
		return err
	}
	return sock.KeepAlive(fd, orDefault(cfg.KeepAlive, defaultKeepAlive))
}

func fileError(f *os.File, err error) error {
	return &net.OpError{Op: "listen", Net: "file+net", Addr: fileAddr(f.Name()), Err: err}
}

// fileAddr is a file in the place of an address, as package net has it.
type fileAddr string

func (fileAddr) Network() string  { return "file+net" }
func (a fileAddr) String() string { return string(a) }

// ServeFile is Serve on a socket that was made elsewhere; see ListenConfig.ListenFile. One loop accepts for all. The old
// process of a restart serves on f, too, and passes it on: once the new one serves, Shutdown in the old one stops it from
// accepting, and no connection is refused or dropped meanwhile.
func (g *Group) ServeFile(f *os.File, handle func(Conn) error) (net.Addr, error) {
	return g.serveFile(f, handle, false)
}

// HandleFile is ServeFile with the form of handler that the function Handle describes.
func (g *Group) HandleFile(f *os.File, handle func(Conn) error) (net.Addr, error) {
	return g.serveFile(f, handle, true)
}

func (g *Group) serveFile(f *os.File, handle func(Conn) error, lazy bool) (net.Addr, error) {
	if handle == nil {
		return nil, errors.New("reactor: a server needs a handler")
	}
	return g.add(handle, lazy, true, func(cfg *ListenConfig) (*Listener, error) { return cfg.listenFile(f) })
}
