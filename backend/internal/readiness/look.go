//go:build unix

package readiness

// triesLooking bounds the calls that a thorough look makes for one operation that writes. It is more than a socket's
// buffer takes in: files go out in pieces of zerocopy.MaxFile, gathered buffers so many at a time.
const triesLooking = 64

// look is the thorough look: it collects a result of each operation that has one by now, as far as there is room, and
// then ends those that were canceled and have none. Nothing that a peer does makes it endless: each descriptor that was
// ready when it began is served once, and a few of them more often.
func (b *Backend) look() error {
	b.thorough, b.postponed = true, false
	defer func() { b.thorough = false }()
	b.retryAll() // what no event tells of may have come about as well
	b.serveAll(&b.begun, 0)
	b.feed()
	b.serveAll(&b.ready, 0)
	if int(b.round-b.ready.head) > 0 {
		return nil // the room is gone, and not all that the poller reported last has had its turn
	}
	for asked := 0; ; {
		n, more, err := b.ask(0)
		if err != nil {
			return err
		}
		b.serveAll(&b.ready, 0)
		asked += n
		if b.table.Room() == 0 {
			return nil // the cancels wait for the next look
		}
		// Descriptors that were ready first are reported first: from here on they come again.
		if !more || b.traits.Lasting && asked >= b.watching {
			break
		}
	}
	b.table.CancelLine()
	for _, t := range b.canceled {
		b.end(t)
	}
	b.canceled = b.canceled[:0]
	b.endUnseen()
	return nil
}
