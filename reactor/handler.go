package reactor

// A handler is called on the coroutine that runs the loop, as a plain function: where it does not wait, that costs no
// switch, and no stack stays with an idle connection. Where it does, it keeps that coroutine, and is a task like any
// other from then on; the loop goes on on another one.

// callQueue is the connections whose handler is to be called, the oldest first.
type callQueue struct {
	list []*conn
	at   int // of list, what comes next
}

func (q *callQueue) n() int { return len(q.list) - q.at }

func (q *callQueue) push(c *conn) { q.list = append(q.list, c) }

func (q *callQueue) pop() *conn {
	c := q.list[q.at]
	q.list[q.at] = nil
	if q.at++; q.at == len(q.list) {
		q.list, q.at = q.list[:0], 0
	}
	return c
}

// due has c's handler called, if it has one that is not at work.
func (c *conn) due() {
	if c.lazy && !c.calling && !c.closing {
		c.calling = true
		c.loop.calls.push(c)
	}
}

// callHandlers calls the handlers that are due now, on co; those that become due meanwhile come after the next Poll. It
// returns early when co no longer carries the loop.
func (l *Loop) callHandlers(co *coroutine) {
	for n := l.calls.n(); n > 0; n-- {
		c := l.calls.pop()
		if !c.calling || c.closing { // closed meanwhile, and perhaps another one already
			continue
		}
		t := co.task
		if t == nil {
			t = l.allocTask()
			t.co, co.task = co, t
		}
		t.serve(c)
		t.canceled, t.refusals = l.stopping, 0
		c.touched = false
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
		if !returned { // Goexit; see run
			t.loop.running = nil
			if err == nil {
				err = errGoexit
			}
			t.loop.handled(t, err)
			t.done = true
			t.loop.bury(t)
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
		switch {
		case err != nil || c.readErr() != nil && !c.touched: // it knows of the end, or would be called for ever
			c.close()
		default:
			c.returnLent()
			if c.readErr() != nil || c.in != nil && c.touched {
				c.due()
			}
			if c.in == nil {
				c.receive(false)
			}
		}
	}
	if err != nil {
		l.ended(t, err, cause)
	}
}

// leaveLoop makes the call of a handler that has to wait a task like any other. The loop goes on on another coroutine.
func (l *Loop) leaveLoop(t *task) {
	l.carrier = nil
	l.running = nil
	l.stats.Waited++
	l.enlist(t)
	if l.debug != nil {
		l.debug.enlists(t)
	}
}
