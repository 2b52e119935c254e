package membership

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

func (s linuxCallerSocket) boundTo() (address netip.Addr) {
	_ = s.conn.Control(func(fd uintptr) {
		name, err := unix.Getsockname(int(fd))
		if err != nil {
			return
		}
		switch a := name.(type) {
		case *unix.SockaddrInet4:
			address = netip.AddrFrom4(a.Addr)
		case *unix.SockaddrInet6:
			address = netip.AddrFrom16(a.Addr).Unmap()
		}
	})
	if address.IsUnspecified() {
		return netip.Addr{}
	}
	return address
}

// deafness says which channels an attachment has joined on a socket that receives
// nothing of them, as it is bound to another address; nothing where there are none.
func (a *attachment) deafness() string {
	for _, f := range a.member.wish.families {
		p := a.pools.of(f)
		if p == nil {
			continue
		}
		c, is := p.holder.(*callerSocket)
		if !is || !c.address.IsValid() {
			continue
		}
		for _, channel := range a.member.wish.channelsOf(f) {
			if channel.Group != c.address {
				return fmt.Sprintf("; the caller's socket is bound to %s and receives nothing that is sent to %s", c.address, channel.Group)
			}
		}
	}
	return ""
}
