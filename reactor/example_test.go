package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/eyewall/eyewall/reactor"
)

// Two lookups run at once; where one fails, the other is canceled, and none outlives the call.
func ExampleTask_Together() {
	lookup := func(name string) func(reactor.Task) (int, error) {
		return func(t reactor.Task) (int, error) { return len(name), t.Sleep(time.Millisecond) }
	}
	runTask(func(t reactor.Task) error {
		var a, b *reactor.Promise[int]
		err := t.Together(func(g *reactor.TaskGroup) error {
			a = reactor.Start(g, lookup("one"))
			b = reactor.Start(g, lookup("three"))
			return nil
		})
		if err != nil {
			return err
		}
		x, _ := a.Wait(t) // which does not wait any more
		y, _ := b.Wait(t)
		fmt.Println(x + y)
		return nil
	})
	// Output: 8
}

func ExampleTask_Timeout() {
	runTask(func(t reactor.Task) error {
		err := t.Timeout(time.Millisecond, func() error { return t.Sleep(time.Hour) })
		fmt.Println(errors.Is(err, context.DeadlineExceeded))
		return nil
	})
	// Output: true
}

func ExampleDeadlockError() {
	loop, err := reactor.New()
	if err != nil {
		log.Fatal(err)
	}
	var mutex reactor.Mutex
	loop.Go(func(t reactor.Task) error {
		mutex.Lock(t)
		return mutex.Lock(t)
	})
	var deadlock *reactor.DeadlockError
	if errors.As(loop.Run(context.Background()), &deadlock) {
		fmt.Println(len(deadlock.Tasks), "task waits for", deadlock.Tasks[0].For)
	}
	// Output: 1 task waits for Mutex.Lock
}

func runTask(task func(reactor.Task) error) {
	loop, err := reactor.New()
	if err != nil {
		log.Fatal(err)
	}
	loop.Go(task)
	if err := loop.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
