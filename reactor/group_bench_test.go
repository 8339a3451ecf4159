package reactor

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Short connections: connect, a byte there and back, close. Of two loops each has a listener, or one accepts for both;
// busiest is the share of the loop that served more. The clients share the machine.
func BenchmarkShortConnections(b *testing.B) {
	for way, opts := range map[string][]Option{
		"one loop":             nil,
		"each loop's listener": {WithLoops(2)},
		"one acceptor":         {WithLoops(2), WithOneAcceptor()},
	} {
		b.Run(way, func(b *testing.B) {
			for form, serve := range serves {
				b.Run(form, func(b *testing.B) {
					for _, d := range own {
						b.Run(fullName(d), func(b *testing.B) {
							s := start(b, fullName(d), serve, echoOnceOr(form, echo), opts...)
							b.SetParallelism(4)
							b.RunParallel(func(pb *testing.PB) {
								c := newClient(b, s.Addr, 1)
								for pb.Next() {
									c.connect()
									c.ask()
									c.reset()
								}
							})
							b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "conns/s")
							var most, all uint64
							for _, stats := range s.stats(b) {
								most, all = max(most, stats.Accepted), all+stats.Accepted
							}
							b.ReportMetric(100*float64(most)/float64(all), "%busiest")
							must(b, form, s.stop(b))
						})
					}
				})
			}
		})
	}
}

// reset closes the connection at once: neither side then keeps its port for a minute.
func (c *client) reset() {
	if err := unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		c.t.Fatal(err)
	}
	c.close()
}

// A post to another loop of a group, and one back: what it costs where both have been at rest.
func BenchmarkGroupPost(b *testing.B) {
	for _, d := range own {
		b.Run(fullName(d), func(b *testing.B) {
			g := testGroup(b, fullName(d), 2)
			n := 0
			var hop func()
			hop = func() {
				if n++; n < 2*b.N {
					g.loops[n%2].Post(hop)
				}
			}
			must(b, "Post", g.loops[0].Post(hop))
			b.ReportAllocs()
			b.ResetTimer()
			must(b, "Run", g.Run(b.Context()))
		})
	}
}
