package reactor

// waitKind names the wait of a task. Connections and listeners know the tasks that wait for them.
type waitKind uint8

const (
	waitsForOther waitKind = iota // a connection or a listener, or it does not wait
	waitsForChildren
	waitsForMutex
	waitsForSemaphore
	waitsForCond
	waitsForWaitGroup
	waitsForPromise
	waitsToPut
	waitsToGet
	waitsForMail
	waitsForChannel
	waitsForWork
	waitsForFirst
	waitsForEvent // a user's
	waitsForSleep
	waitsForAccept
	waitsForRecv
	waitsForRead
	waitsForWrite
	waitsForSend
	waitsForSendFile
	waitsForConnect
	waitsForPoll
	waitsForClose
	waitsForSignal
)

var waitKinds = [...]string{
	waitsForOther:     "something else",
	waitsForChildren:  "the children of its TaskGroup",
	waitsForMutex:     "Mutex.Lock",
	waitsForSemaphore: "Semaphore.Acquire",
	waitsForCond:      "Cond.Wait",
	waitsForWaitGroup: "WaitGroup.Wait",
	waitsForPromise:   "Promise.Wait",
	waitsToPut:        "Queue.Put",
	waitsToGet:        "Queue.Get",
	waitsForMail:      "Mailbox.Receive",
	waitsForChannel:   "Receive from a channel",
	waitsForWork:      "Offload",
	waitsForFirst:     "AwaitFirst",
	waitsForEvent:     "an event",
	waitsForSleep:     "Sleep",
	waitsForAccept:    "event.Accept",
	waitsForRecv:      "event.Read",
	waitsForRead:      "event.ReadInto",
	waitsForWrite:     "event.Write",
	waitsForSend:      "event.Writev",
	waitsForSendFile:  "event.SendFile",
	waitsForConnect:   "event.Connect",
	waitsForPoll:      "event.Poll",
	waitsForClose:     "event.Close",
	waitsForSignal:    "event.Signal",
}

func (k waitKind) String() string { return waitKinds[k] }
