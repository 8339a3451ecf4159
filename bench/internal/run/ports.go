//go:build linux

package run

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// ports gives out ports that nothing listens on, below those that the kernel gives to clients, and none twice, so that
// what is left of one measurement cannot meet the next.
type ports struct{ next int }

func (p *ports) addr() (string, error) {
	const lowest = 20000
	highest := 32000
	var low, high int
	if data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(strings.TrimSpace(string(data)), &low, &high); err == nil && low > lowest+1000 {
			highest = min(low, 60000)
		}
	}
	if p.next == 0 {
		p.next = lowest + os.Getpid()%5000
	}
	for range highest - lowest {
		if p.next++; p.next >= highest {
			p.next = lowest
		}
		addr := fmt.Sprintf("127.0.0.1:%d", p.next)
		if ln, err := net.Listen("tcp4", addr); err == nil {
			ln.Close()
			return addr, nil
		}
	}
	return "", fmt.Errorf("no port from %d to %d is free", lowest, highest)
}
