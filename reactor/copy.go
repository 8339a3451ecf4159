package reactor

import "io"

// WriteTo writes to w what comes, until the end of the stream, and returns how many bytes that was. What has been
// received is lent to w rather than copied for it; where w is a connection, too, the kernel sends it from there. It
// makes io.Copy a proxy.
func (h Conn) WriteTo(w io.Writer) (n int64, err error) {
	for {
		data, err := h.Next()
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return n, err
		}
		written, err := w.Write(data)
		n += int64(written)
		if err != nil {
			return n, err
		}
	}
}

// ReadFrom writes what r gives, until its end, and returns how many bytes that was. Where r is a Conn it is r.WriteTo;
// anything else must not block its caller's loop when it is read.
func (h Conn) ReadFrom(r io.Reader) (n int64, err error) {
	if from, ok := r.(Conn); ok {
		return from.WriteTo(h)
	}
	return io.CopyBuffer(onlyWriter{h}, r, make([]byte, directSize))
}

// onlyWriter hides ReadFrom, or io.Copy would come back to it.
type onlyWriter struct{ io.Writer }

var (
	_ io.WriterTo   = Conn{}
	_ io.ReaderFrom = Conn{}
)
