package backendtest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eyewall/eyewall/internal/testenv"
)

// TestReference holds that the suite asks for nothing that a plain backend on poll(2) does not do.
func TestReference(t *testing.T) { Run(t, openReference("")) }

func FuzzScript(f *testing.F) { Fuzz(f, openReference("")) }

// suiteFaults are faults of the reference, each with a test of the suite that must fail of it, and what that says.
var suiteFaults = []struct{ fault, test, want string }{
	{"short send", "transfer/send_whole_to_slow_reader", "want it pending"},
	{"gathers 1024", "transfer/gather_many_pieces", "N must be all"},
	{"eagain", "transfer/receive_waits", "law 2"},
	{"two finals", "transfer/receive", "law 1"},
	{"one direction", "transfer/send_while_receive_waits", "no completion after"},
	{"one direction", "transfer/receive_while_send_waits", "no completion after"},
	{"one shot", "transfer/receive_multishot", "ended without an error"},
	{"calls sinks", "transfer/receive", "called Complete"},
	{"leaks a descriptor", "transfer/receive", "is left open"},
	{"leaks a goroutine", "transfer/receive", "goroutines are left"},
	{"last in first out", "order/receives_of_what_is_there", "law 3"},
	{"last in first out", "order/sends_to_slow_reader", "law 3"},
	{"end first", "ends/eof_after_data", "EOF"},
	{"end first", "ends/eof_after_data_exact", "EOF"},
	{"words of its own", "ends/refused", "err connection refused"},
	{"sigpipe", "ends/broken_pipe", "SIGPIPE"},
	{"accepts blocking", "accept/flags", "want it non-blocking"},
	{"cancel accepts", "accept/thousand_canceled_midway", "was accepted 0 times"},
	{"sits out EMFILE", "accept/out_of_descriptors", "no completion after"},
	{"boasts", "buffers/sizes", "Caps says"},
	{"last in first out", "splice/in_line", "law 3"},
	{"end first", "splice/end_after_data", "EOF"},
	{"sends the start of the file", "sendfile/parts", "they differ"},
	{"no end of the file", "sendfile/past_its_end", "N must be all"},
	{"forgets what was sent", "sendfile/half_sent", "how much was sent"},
	{"stays dry", "buffers/exhausted_and_resumed", "no completion after"},
	{"shares buffers", "buffers/released_out_of_order", "overlaps"},
	{"lost cancel", "cancel/full_queue", "no completion after"},
	{"stale cancel", "cancel/stale_token", "a stale cancel hit"},
	{"cancel eats", "cancel/racing_data", ""},
	{"cancel eats", "cancel/unsubmitted_with_data", ""},
	{"forgets what was sent", "cancel/half_sent", "how much was sent"},
	{"cancel eats", "timeout/nothing_lost", ""},
	{"cancel first", "thorough/receives_then_canceled", "law 5"},
	{"cancel first", "thorough/accepts_there_when_canceled", "law 5"},
	{"one batch", "thorough/receives_then_due", "law 5"},
	{"one batch", "thorough/sends_there_when_due", "law 5"},
	{"cancel eats", "thorough/some_of_many", ""},
	{"lost cancel", "thorough/cancel_ends_what_has_no_result", "does not complete"},
	{"connects at once", "cancel/connect", "want N 0, err context canceled"},
	{"no fin", "close/sends_fin", "none of events"},
	{"does not close", "close/ends_the_rest", "is still open"},
	{"close leaves the rest", "close/ends_the_rest", "a Close completed before"},
	{"closes first", "close/ends_the_rest_same_turn", "a Close completed before"},
	{"goes on after close", "close/submit_while_closing", ""},
	{"one generation", "close/reuse_10000_times", "law 8"},
	{"closes what is not its own", "close/backend_with_all_in_flight", "is not the backend's, but was closed"},
	{"leaks accepted", "close/backend_with_accepted", "is left open"},
	{"closes twice", "close/backend_twice", "is not the backend's, but was closed"},
	{"polls in line", "poll/beside_others", "no completion after"},
	{"returns early", "wake/until_future", "nobody called Wake"},
	{"returns late", "wake/until_future", "took"},
	{"deaf", "wake/none_lost", "was lost"},
	{"forgets wakes", "wake/none_lost", "was lost"},
	{"wakes one by one", "wake/many_count_once", "want them to count once"},
	{"wakes after close", "wake/after_close", "wrote to a descriptor that is another's"},
	{"wakes whoever is there", "wake/while_closing", "wrote to a descriptor that is another's"},
	{"clock goes back", "wake/clock", "Now went back"},
	{"drops what does not fit", "overflow/small_dst", "nothing"},
	{"needs room", "overflow/dst_of_none", "none of events"},
	{"unbounded", "overflow/max_ops", "no completion after"},
	{"no room to close", "overflow/max_ops", "too many operations"},
	{"counts up only", "overflow/max_ops_turnover", "too many operations"},
	{"unchecked", "overflow/bad_operations", "want error"},
	{"does not count", "overflow/stats", "Stats.Submitted counts 0"},
	{"forgets buffers", "memory/kept_while_in_flight", "was collected"},
	{"keeps buffers", "memory/let_go_when_done", "is held long after"},
	{"keeps the pointer", "transfer/receive", ""},
	{"allocates", "memory/nothing_allocated", "want 0"},
	{"cancel first", "script/seed_0", "ought to be"},
	{"end first", "script/seed_1", "ought to be"},
	{"cancel eats", "storm/echo", ""},
	{"end first", "storm/echo", ""},
	{"shares buffers", "storm/echo", ""},
}

// recorder is a testing.TB that keeps what it is told.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed bool
	text   strings.Builder
}

func (r *recorder) Helper() {}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	fmt.Fprintf(&r.text, format+"\n", args...)
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Logf(string, ...any) {}

// try runs one test of the suite on the reference with a fault.
func try(t *testing.T, fault, name string) *recorder {
	group, name, _ := strings.Cut(name, "/")
	for _, g := range groups {
		for _, c := range g.tests {
			if g.name != group || c.name != name {
				continue
			}
			net := unixNet
			if c.tcpOnly {
				net = tcp4
			}
			rec := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				drive(rec, openReference(fault), net, c.options, c.body)
			}()
			<-done
			return rec
		}
	}
	t.Fatalf("the suite has no test %s/%s", group, name)
	return nil
}

// TestSuiteFindsFaults holds that the suite fails where it should.
func TestSuiteFindsFaults(t *testing.T) {
	if testenv.Race {
		return // slow, and races of the suite's own would have shown in TestReference
	}
	defer func(was time.Duration) { limit = was }(limit)
	limit = 500 * time.Millisecond
	for _, f := range suiteFaults {
		t.Run(strings.ReplaceAll(f.fault+" in "+f.test, "/", " "), func(t *testing.T) {
			if rec := try(t, "", f.test); rec.failed {
				t.Fatalf("without the fault, too, it fails: %s", rec.text.String())
			}
			rec := try(t, f.fault, f.test)
			if !rec.failed || !strings.Contains(rec.text.String(), f.want) {
				t.Errorf("failed: %v; want a failure with %q; it says\n%s", rec.failed, f.want, rec.text.String())
			}
		})
	}
}
