package reactor

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"time"
)

// watch reports what holds the loop, once for each time that it does.
func (d *debugging) watch() {
	defer close(d.done)
	tick := time.NewTicker(max(d.hold/4, time.Millisecond))
	defer tick.Stop()
	seen, since, told := d.beat.Load(), time.Now(), false
	for {
		select {
		case <-d.stop:
			return
		case <-tick.C:
		}
		switch beat, now := d.beat.Load(), time.Now(); {
		case beat != seen || d.idle.Load():
			seen, since, told = beat, now, false
		case !told && now.Sub(since) >= d.hold:
			told = true
			d.held(beat, now.Sub(since))
		}
	}
}

// held reports what runs since then, unless it has just ended.
func (d *debugging) held(beat uint64, since time.Duration) {
	r := d.now.Load()
	at := stackOf(r.goroutine.Load())
	if d.beat.Load() != beat {
		return // and so it is the stack of something else
	}
	name, who := *r.name.Load(), "a task has"
	if r == d.self {
		who = "what is no task, such as a posted function, has"
	}
	d.report(DebugReport{LoopHeld, fmt.Sprintf("%s held the loop for %v, and does so still", who, since.Round(time.Millisecond)), name, at})
}

// maxStacks bounds the memory for the stacks of all goroutines.
const maxStacks = 64 << 20

// stackOf is the stack of a goroutine; "" where it is not found.
func stackOf(id uint64) string {
	buf := make([]byte, 256<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) && n < maxStacks {
		buf = make([]byte, 4*n)
		n = runtime.Stack(buf, true)
	}
	head := fmt.Appendf(nil, "goroutine %d ", id)
	for one := range bytes.SplitSeq(buf[:n], []byte("\n\n")) {
		if bytes.HasPrefix(one, head) {
			return string(one)
		}
	}
	return ""
}

// numberAndLock tells the number that the caller's goroutine has in stacks, and whether it is locked to a thread.
func numberAndLock() (id uint64, locked bool) {
	var buf [256]byte
	head, _, _ := bytes.Cut(buf[:runtime.Stack(buf[:], false)], []byte("\n"))
	number, _, _ := bytes.Cut(bytes.TrimPrefix(head, []byte("goroutine ")), []byte(" "))
	id, _ = strconv.ParseUint(string(number), 10, 64)
	return id, bytes.Contains(head, []byte("locked to thread"))
}

func goroutineID() uint64 {
	id, _ := numberAndLock()
	return id
}
