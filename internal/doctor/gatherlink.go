package doctor

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// readLink returns nil, and no error, where there is no interface of that name.
func readLink(h *netlink.Handle, name string) (*Link, error) {
	if name == "" {
		return nil, nil
	}
	found, err := h.LinkByName(name)
	if _, none := errors.AsType[netlink.LinkNotFoundError](err); none {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a := found.Attrs()
	l := &Link{
		Index: a.Index, Name: a.Name, Kind: found.Type(), MAC: a.HardwareAddr.String(), MTU: a.MTU,
		Up: a.RawFlags&unix.IFF_UP != 0, Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0, Multicast: a.RawFlags&unix.IFF_MULTICAST != 0,
		Loopback: a.RawFlags&unix.IFF_LOOPBACK != 0, OperState: a.OperState.String(),
	}
	if master, err := h.LinkByIndex(a.MasterIndex); a.MasterIndex != 0 && err == nil {
		l.Master, l.MasterKind = master.Attrs().Name, master.Type()
	}
	if l.Kind == "veth" && a.NetNsID < 0 && a.ParentIndex > 0 {
		if peer, err := h.LinkByIndex(a.ParentIndex); err == nil {
			l.Peer = peer.Attrs().Name
		}
	}
	l.Addresses, err = readAddresses(h, found)
	return l, err
}

func readAddresses(h *netlink.Handle, link netlink.Link) ([]Address, error) {
	listed, err := h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	addresses := make([]Address, 0, len(listed))
	for _, a := range listed {
		prefix, ok := prefixOf(a.IPNet)
		if !ok {
			continue
		}
		addresses = append(addresses, Address{
			Prefix:    prefix,
			Tentative: a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0,
			Duplicate: a.Flags&unix.IFA_F_DADFAILED != 0,
		})
	}
	return addresses, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits), ok
}

// readNames returns nil where the kernel does not say.
func readNames(h *netlink.Handle) map[int]string {
	links, err := h.LinkList()
	if err != nil {
		return nil
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names
}
