package reactor

import "io"

// ReadFrom implements io.ReaderFrom. As net.TCPConn's it has a regular file sent by sendfile(2), on Linux, which may be
// in an io.LimitedReader; all else it copies. What is written to the file soon after may yet change what the peer gets.
func (s *SharedConn) ReadFrom(r io.Reader) (int64, error) {
	from, limit := r, int64(-1)
	limited, _ := r.(*io.LimitedReader)
	if limited != nil {
		from, limit = limited.R, max(limited.N, 0)
	}
	n := int64(0)
	if f, ok := from.(file); ok && s.file != nil && !s.isHere() {
		var err error
		n, err = s.sendFile(f, limit)
		if limited != nil {
			limited.N -= n
		}
		if err != nil {
			return n, err
		}
	}
	more, err := io.Copy(onlyWriter{s}, r) // of a file that was sent to its end, nothing
	return n + more, err
}

// WriteTo implements io.WriterTo. To a file it copies by splice(2), on Linux, as package net does.
func (s *SharedConn) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, onlyReader{s}) }

// onlyReader hides WriteTo, or io.Copy would come back to it.
type onlyReader struct{ io.Reader }

var (
	_ io.ReaderFrom = (*SharedConn)(nil)
	_ io.WriterTo   = (*SharedConn)(nil)
)
