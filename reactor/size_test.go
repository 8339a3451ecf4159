package reactor

import (
	"testing"
	"unsafe"
)

// What there is one of for each connection, task or wait is small. That it grows is a decision, to be made here.
func TestSizes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		return
	}
	for what, size := range map[string]struct{ got, want uintptr }{
		"conn":      {unsafe.Sizeof(conn{}), 128},     // each connection
		"rare":      {unsafe.Sizeof(rare{}), 232},     // each with a deadline, or an error, or that sends much on
		"output":    {unsafe.Sizeof(output{}), 104},   // each with written bytes that are not sent
		"chunk":     {unsafe.Sizeof(chunk{}), 72},     // each piece of input that is unread or lent
		"task":      {unsafe.Sizeof(task{}), 128},     // each task
		"coroutine": {unsafe.Sizeof(coroutine{}), 32}, // each task, and each in the pool
		"waiter":    {unsafe.Sizeof(waiter{}), 176},   // each task in Await
		"Conn":      {unsafe.Sizeof(Conn{}), 16},
		"Task":      {unsafe.Sizeof(Task{}), 16},
	} {
		if size.got != size.want {
			t.Errorf("%s has %d bytes, and should have %d", what, size.got, size.want)
		}
	}
}
