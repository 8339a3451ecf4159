package sock

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Raw appends addr to buf in the form that connect(2) takes.
func Raw(buf []byte, addr netip.AddrPort) ([]byte, error) {
	if addr.Addr().Is4() {
		var sa unix.RawSockaddrInet4
		setFamily(unsafe.Pointer(&sa), unix.AF_INET, unix.SizeofSockaddrInet4)
		sa.Addr = addr.Addr().As4()
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], addr.Port())
		return append(buf, (*[unix.SizeofSockaddrInet4]byte)(unsafe.Pointer(&sa))[:]...), nil
	}
	zone, err := zoneIndex(addr.Addr().Zone())
	if err != nil {
		return nil, err
	}
	var sa unix.RawSockaddrInet6
	setFamily(unsafe.Pointer(&sa), unix.AF_INET6, unix.SizeofSockaddrInet6)
	sa.Addr, sa.Scope_id = addr.Addr().As16(), zone
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], addr.Port())
	return append(buf, (*[unix.SizeofSockaddrInet6]byte)(unsafe.Pointer(&sa))[:]...), nil
}
