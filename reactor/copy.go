package reactor

import "io"

// WriteTo writes to w what comes, until the end of the stream, and returns how many bytes that was. Where w is a
// connection of the same loop that is Splice, again and again, so that io.Copy between two connections is a proxy without
// copies; what is received for anything else is lent to it.
func (h Conn) WriteTo(w io.Writer) (n int64, err error) {
	to, ok := w.(Conn)
	for {
		var moved int
		if ok {
			moved, err = h.Splice(to)
		} else {
			moved, err = h.lendTo(w)
		}
		n += int64(moved)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// lendTo lends what has come to w.
func (h Conn) lendTo(w io.Writer) (int, error) {
	data, err := h.Next()
	if err != nil {
		return 0, err
	}
	n, err := w.Write(data)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	return n, err
}

// ReadFrom writes what r gives, until its end, and returns how many bytes that was. Where r is a Conn it is r.WriteTo,
// and a regular file is sent by sendfile(2) where the system has it, from the file's position on: bytes of it that are
// not in memory are read from the disk meanwhile, which holds up the loop, and what is written to the file soon after may
// yet change what the peer gets. Either may be in an io.LimitedReader, as with
// io.CopyN. Anything else must not block its caller's loop when it is read.
func (h Conn) ReadFrom(r io.Reader) (n int64, err error) {
	if h.c != nil && h.c.loop.elsewhere() { // before anything is taken from r
		return 0, writeError(nil, ErrWrongGoroutine)
	}
	limited, _ := r.(*io.LimitedReader)
	limit := int64(-1)
	if limited != nil {
		if r, limit = limited.R, max(limited.N, 0); limit == 0 {
			return 0, nil
		}
	}
	switch from := r.(type) {
	case Conn:
		n, err = h.receiveFrom(from, limit)
	case file:
		n, err = h.sendFile(from, limit)
	default:
		if limited != nil {
			r = limited
		}
		return h.copyFrom(r)
	}
	if limited != nil {
		limited.N -= n
	}
	return n, err
}

// receiveFrom sends on what comes, up to limit bytes unless that is negative.
func (h Conn) receiveFrom(from Conn, limit int64) (n int64, err error) {
	if limit < 0 {
		return from.WriteTo(h)
	}
	for n < limit && err == nil {
		var moved int
		moved, err = from.splice(h, limit-n)
		n += int64(moved)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// copyFrom reads and writes.
func (h Conn) copyFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(onlyWriter{h}, r, make([]byte, directSize))
}

// onlyWriter hides ReadFrom, or io.Copy would come back to it.
type onlyWriter struct{ io.Writer }

var (
	_ io.WriterTo   = Conn{}
	_ io.ReaderFrom = Conn{}
)
