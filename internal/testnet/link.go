package testnet

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Change is one thing done to an interface of a namespace, see
// [Namespace.Set].
type Change func(*Namespace, netlink.Link) error

// Set looks an interface up by name and makes the changes to it in order,
// until one fails.
//
//	err := near.Set("eth0", testnet.MAC("02:00:00:00:00:07"), testnet.Up)
func (n *Namespace) Set(name string, changes ...Change) error {
	link, err := n.Netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("look up %s: %w", name, err)
	}
	for _, change := range changes {
		if err := change(n, link); err != nil {
			return fmt.Errorf("change %s: %w", name, err)
		}
	}
	return nil
}

// Add makes a link, as netlink describes it, and changes it.
//
//	err := near.Add(testnet.Bridge("br0"), testnet.Up)
func (n *Namespace) Add(link netlink.Link, changes ...Change) error {
	if err := n.Netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("add %s: %w", link.Attrs().Name, err)
	}
	return n.Set(link.Attrs().Name, changes...)
}

// Index returns the index of an interface.
func (n *Namespace) Index(name string) (int, error) {
	link, err := n.Netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("look up %s: %w", name, err)
	}
	return link.Attrs().Index, nil
}

// Bridge describes a bridge for [Namespace.Add].
func Bridge(name string) netlink.Link { return &netlink.Bridge{LinkAttrs: attrs(name)} }

// IFB describes an intermediate functional block, a device without a peer
// that allows any MTU, for [Namespace.Add]. The kernel makes it without
// IFF_MULTICAST.
func IFB(name string) netlink.Link { return &netlink.Ifb{LinkAttrs: attrs(name)} }

// Macvlan describes a macvlan in bridge mode on the interface with the index
// parent, for [Namespace.Add].
func Macvlan(name string, parent int) netlink.Link {
	a := attrs(name)
	a.ParentIndex = parent
	return &netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_BRIDGE}
}

// VLAN describes a VLAN on the interface with the index parent, for
// [Namespace.Add].
func VLAN(name string, parent, id int) netlink.Link {
	a := attrs(name)
	a.ParentIndex = parent
	return &netlink.Vlan{LinkAttrs: a, VlanId: id}
}

func attrs(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

// Up sets an interface administratively up.
func Up(n *Namespace, l netlink.Link) error { return n.Netlink.LinkSetUp(l) }

// Down sets an interface administratively down. The other end of a veth pair
// loses its carrier by that.
func Down(n *Namespace, l netlink.Link) error { return n.Netlink.LinkSetDown(l) }

// Deleted deletes an interface.
func Deleted(n *Namespace, l netlink.Link) error { return n.Netlink.LinkDel(l) }

// NoMaster takes an interface out of its bridge.
func NoMaster(n *Namespace, l netlink.Link) error { return n.Netlink.LinkSetNoMaster(l) }

// MulticastOn sets IFF_MULTICAST.
func MulticastOn(n *Namespace, l netlink.Link) error { return n.Netlink.LinkSetMulticastOn(l) }

// MulticastOff clears IFF_MULTICAST.
func MulticastOff(n *Namespace, l netlink.Link) error { return n.Netlink.LinkSetMulticastOff(l) }

// MTU sets the MTU in bytes.
func MTU(bytes int) Change {
	return func(n *Namespace, l netlink.Link) error { return n.Netlink.LinkSetMTU(l, bytes) }
}

// Name renames an interface.
func Name(name string) Change {
	return func(n *Namespace, l netlink.Link) error { return n.Netlink.LinkSetName(l, name) }
}

// Alias sets the interface's alias.
func Alias(alias string) Change {
	return func(n *Namespace, l netlink.Link) error { return n.Netlink.LinkSetAlias(l, alias) }
}

// MAC sets the hardware address.
func MAC(mac string) Change {
	return func(n *Namespace, l netlink.Link) error {
		addr, err := net.ParseMAC(mac)
		if err != nil {
			return err
		}
		return n.Netlink.LinkSetHardwareAddr(l, addr)
	}
}

// Master makes an interface a port of the bridge of that name.
func Master(bridge string) Change {
	return func(n *Namespace, l netlink.Link) error {
		m, err := n.Netlink.LinkByName(bridge)
		if err != nil {
			return fmt.Errorf("look up %s: %w", bridge, err)
		}
		return n.Netlink.LinkSetMaster(l, m)
	}
}

// MoveTo moves an interface to another namespace, where it is down and
// without addresses. It keeps its name, and its index if that is free there.
func MoveTo(to *Namespace) Change {
	return func(n *Namespace, l netlink.Link) error { return n.Netlink.LinkSetNsFd(l, int(to.Handle())) }
}

// Address adds addresses, as 10.1.0.2/24. IPv6 addresses are usable at once:
// duplicate address detection is off for them.
func Address(prefixes ...string) Change { return addresses(unix.IFA_F_NODAD, prefixes) }

// TentativeAddress adds addresses as Address does, but IPv6 ones have to pass
// duplicate address detection first.
func TentativeAddress(prefixes ...string) Change { return addresses(0, prefixes) }

func addresses(flags int, prefixes []string) Change {
	return func(n *Namespace, l netlink.Link) error {
		for _, s := range prefixes {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				return err
			}
			a := &netlink.Addr{IPNet: &net.IPNet{
				IP:   p.Addr().AsSlice(),
				Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
			}}
			if p.Addr().Is6() {
				a.Flags = flags
			}
			if err := n.Netlink.AddrAdd(l, a); err != nil {
				return fmt.Errorf("add %s: %w", s, err)
			}
		}
		return nil
	}
}

// NoAddresses removes all addresses of both families but IPv6 link-local
// ones.
func NoAddresses(n *Namespace, l netlink.Link) error {
	all, err := n.Netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range all {
		if a.IP.To4() == nil && a.IP.IsLinkLocalUnicast() {
			continue
		}
		if err := n.Netlink.AddrDel(l, &a); err != nil {
			return fmt.Errorf("remove %s: %w", a.IPNet, err)
		}
	}
	return nil
}
