package reactor

import (
	"errors"
	"io"
)

// A handler is called on the coroutine that runs the loop, as a plain function: where it does not wait, that costs no
// switch, and no stack stays with an idle connection. Where it does, it keeps that coroutine, and is a task like any
// other from then on; the loop goes on on another one.

// due has c's handler called, if it has one that is not at work.
func (c *conn) due() {
	if c.lazy && !c.calling && !c.closing {
		c.calling = true
		c.loop.calls.push(c.handle())
	}
}

// callHandlers calls the handlers that are due now, on co; those that become due meanwhile come after the next Poll. It
// returns early when co no longer carries the loop.
func (l *Loop) callHandlers(co *coroutine) {
	for n := l.calls.n; n > 0; n-- {
		h := l.calls.pop()
		c := h.c
		if c.generation != h.generation || !c.calling { // closed meanwhile, and perhaps another one already
			continue
		}
		t := co.task
		if t == nil {
			t = l.allocTask()
			t.co, co.task = co, t
		}
		t.serve(c)
		t.canceled, t.refusals, t.calls = l.stopping, 0, 0
		c.touched, c.took = false, false
		if c.in == nil && c.rare != nil { // else it hears of a deadline after the input
			c.rare.read.news = false
		}
		l.running = t
		l.stats.Calls++
		if l.debug != nil {
			l.debug.calls(t)
		}
		err := t.call()
		l.running = nil
		l.handled(t, err)
		if l.debug != nil {
			l.debug.called()
		}
		if l.carrier != co {
			return
		}
	}
}

// call calls the handler.
func (t *task) call() (err error) {
	returned := false
	defer func() {
		if !returned { // Goexit; see unwind
			t.loop.running = nil
			if err == nil {
				err = errGoexit
			}
			t.loop.handled(t, err)
			t.done = true
			t.loop.leave(t)
		}
	}()
	t.try(&err)
	returned = true
	return err
}

// try makes a panic of the handler an error. It is apart from call, for it may recover from one while Goexit goes on.
func (t *task) try(err *error) {
	defer func() {
		if v := recover(); v != nil {
			*err = newPanicError(v)
		}
	}()
	*err = t.conn.handler(t.serves())
}

// handled looks what comes next, once a handler has returned.
func (l *Loop) handled(t *task, err error) {
	h := t.serves()
	cause := t.leaveAll()
	l.endLateOf(t)
	t.forget()
	if t.enlisted || t.queued { // it has waited, and is a task that ends now, or was woken without having waited
		t.done = true
		t.co.task = nil
	}
	if t.enlisted {
		l.delist(t)
	}
	t.generation++
	if c := h.c; c.generation == h.generation {
		c.calling = false
		if err == nil {
			err = c.handlesOn()
		}
		if err != nil {
			c.close()
		}
	}
	if err != nil {
		l.ended(t, err, cause)
	}
}

var errNoProgress = errors.New("the handler was called twice and read nothing of the input that is there; it must read, or return an error")

// handlesOn has the handler, which has returned nil, called again if there is something left for it. The error is not nil
// if the connection is to be closed: with io.EOF, if the handler has seen the end of the input.
func (c *conn) handlesOn() error {
	c.returnLent()
	end := c.in == nil && c.readErr() != nil
	again := c.in != nil || end || c.rare != nil && c.rare.read.news
	switch {
	case end && !c.touched && !c.took:
		return io.EOF
	case again && !c.took && c.vain:
		return c.wrap("read", errNoProgress)
	}
	c.vain = again && !c.took
	if again {
		c.due()
	}
	if c.in == nil {
		c.receive(false)
	}
	return nil
}

// leaveLoop makes the call of a handler that has to wait a task like any other. The loop goes on on another coroutine.
func (l *Loop) leaveLoop(t *task) {
	l.carrier = nil
	l.running = nil
	l.stats.Waited++
	if c := t.conn; c.in != nil { // it has not read what it was called for
		c.markUnread()
	}
	l.enlist(t)
	if l.debug != nil {
		l.debug.enlists(t)
	}
}
