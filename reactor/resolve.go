package reactor

import (
	"context"
	"net"
	"net/netip"
	"strconv"
)

// resolve turns "host:port" into addresses, in the resolver's order; an empty host into the unspecified address of the
// network's family, IPv4 with "tcp", and an empty address into that with port 0. An unspecified IPv6 address stands for
// both families, as in package net. It may block if host or port is a name.
func resolve(ctx context.Context, r *net.Resolver, network, address string) ([]netip.AddrPort, error) {
	if err := checkNetwork(network); err != nil {
		return nil, err
	}
	if address == "" {
		address = ":0"
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		named, err := r.LookupPort(ctx, network, service)
		if err != nil {
			return nil, err
		}
		port = uint64(named)
	}
	var ips []netip.Addr
	switch ip, err := netip.ParseAddr(host); {
	case err == nil:
		ips = []netip.Addr{ip.Unmap()}
		if ip == netip.IPv6Unspecified() {
			ips = append(ips, netip.IPv4Unspecified())
		}
	case host == "" && network == "tcp6":
		ips = []netip.Addr{netip.IPv6Unspecified()}
	case host == "":
		ips = []netip.Addr{netip.IPv4Unspecified()}
	default:
		if ips, err = r.LookupNetIP(ctx, "ip", host); err != nil {
			return nil, err
		}
	}
	var found []netip.AddrPort
	for _, ip := range ips {
		if ip = ip.Unmap(); network == "tcp" || ip.Is4() == (network == "tcp4") {
			found = append(found, netip.AddrPortFrom(ip, uint16(port)))
		}
	}
	if found == nil {
		return nil, &net.AddrError{Err: "no " + network + " address", Addr: address}
	}
	return found, nil
}

// resolve does the same without holding up the loop. The resolver gets the values of the task's context.
func (t Task) resolve(r *net.Resolver, network, address string) ([]netip.AddrPort, error) {
	if isLiteral(address) {
		return resolve(context.Background(), r, network, address)
	}
	// The end of the task's wait ends the lookup, and tells why: not a context that ends at the same time.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	var addrs []netip.AddrPort
	err := Offload(t, func() (err error) {
		addrs, err = resolve(ctx, r, network, address)
		return err
	})
	if err != nil { // also where the work goes on, and addrs is its own
		return nil, err
	}
	return addrs, nil
}

// isLiteral tells whether resolving address asks nobody.
func isLiteral(address string) bool {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return true // it is an error, or empty
	}
	if _, err = strconv.ParseUint(service, 10, 16); err == nil && host != "" {
		_, err = netip.ParseAddr(host)
	}
	return err == nil
}
