package control

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
)

var out sync.Mutex

// Say writes an event. Any goroutine may call it.
func Say(e Event) {
	line, err := json.Marshal(e)
	if err != nil { // only a float that is no number can do that
		line, _ = json.Marshal(Event{Name: Failed, Text: err.Error()})
	}
	out.Lock()
	defer out.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

// Fail says why the child cannot go on, and ends it.
func Fail(err error) {
	Say(Event{Name: Failed, Text: err.Error()})
	os.Exit(1)
}

// Listen calls hear with each line of standard input, and ends the process at its end.
func Listen(hear func(line string)) {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		hear(in.Text())
	}
	os.Exit(0)
}
