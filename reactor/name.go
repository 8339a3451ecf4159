package reactor

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
)

// SetName gives the task a name, for Loop.Dump, DeadlockError and debug mode. Those without one need none: see Name. It
// is a no-op where the task has ended.
func (t Task) SetName(name string) {
	if t.Done() {
		return
	}
	l := t.t.loop
	if l.names == nil {
		l.names = map[*task]string{}
	}
	l.names[t.t] = name
	if l.debug != nil {
		l.debug.renames(t.t)
	}
}

// Name is what SetName has given the task; else the remote address of the connection that it serves, or its function's
// name. It is "" where the task has ended.
func (t Task) Name() string {
	if t.Done() {
		return ""
	}
	return t.t.name()
}

func (t *task) name() string {
	if name, ok := t.loop.names[t]; ok {
		return name
	}
	fn := t.childFn()
	if fn == nil {
		fn = t.fn
	}
	switch {
	case fn != nil:
		return funcName(fn)
	case t.conn == nil:
		return ""
	case t.conn.generation != t.connGeneration:
		return "a connection that is closed"
	}
	return t.conn.name()
}

// childFn is the function that t runs as a child of a group, or nil.
func (t *task) childFn() func(Task) error {
	if t.scope == nil {
		return nil
	}
	if c := t.outermost().child; c != nil {
		return c.fn
	}
	return nil
}

// forget forgets a name that was set, and what debug mode knows, when the task has ended.
func (t *task) forget() {
	if t.loop.names != nil {
		delete(t.loop.names, t)
	}
	if t.loop.debug != nil {
		delete(t.loop.debug.tasks, t)
	}
}

// name is the remote address. Few Unix sockets have one: for those it tells which it is.
func (c *conn) name() string {
	remote := c.remoteAddr().String()
	if c.unix && (remote == "" || remote == "@") {
		return fmt.Sprintf("%v, descriptor %d", c.localAddr(), c.fd)
	}
	return remote
}

// funcName is the name of a function, with its package's but without that one's path.
func funcName(fn func(Task) error) string {
	name := runtime.FuncForPC(reflect.ValueOf(fn).Pointer()).Name()
	name = name[strings.LastIndexByte(name, '/')+1:]
	return strings.TrimSuffix(name, "-fm")
}
