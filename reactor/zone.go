package reactor

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// withZone tells, in a system call's error for addr, that the address needs a zone, if that is the reason.
func withZone(addr netip.Addr, err error) error {
	if addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == "" && errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w; a link-local address needs a zone, such as %v%%eth0", err, addr)
	}
	return err
}
