package testnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// The far side's addresses, the sources of a [Network]'s channels.
var (
	Source4 = netip.MustParseAddr("10.1.0.1")
	Source6 = netip.MustParseAddr("2001:db8:1::1")
)

// Veth describes a pair of interfaces that are each other's cable. An empty
// field of a [Network]'s pair means what the comments say; for
// [AddVeth], names are required and addresses are none.
type Veth struct {
	Name  string // the near end; eth0
	MAC   string // the kernel chooses
	Index int    // the next free one

	PeerName string // the far end; far0
	PeerMAC  string // the kernel chooses

	Addresses     []string // of the near end; 10.1.0.2/24 and 2001:db8:1::2/64
	PeerAddresses []string // of the far end; Source4/24 and Source6/64
}

func (v Veth) withDefaults() Veth {
	if v.Name == "" {
		v.Name = "eth0"
	}
	if v.PeerName == "" {
		v.PeerName = "far0"
	}
	if v.Addresses == nil {
		v.Addresses = []string{"10.1.0.2/24", "2001:db8:1::2/64"}
	}
	if v.PeerAddresses == nil {
		v.PeerAddresses = []string{
			netip.PrefixFrom(Source4, 24).String(), netip.PrefixFrom(Source6, 64).String(),
		}
	}
	return v
}

// AddVeth makes a veth pair with one end in each namespace, which may be the
// same, gives both their addresses and sets both up.
func AddVeth(near, far *Namespace, v Veth) error {
	link := &netlink.Veth{
		LinkAttrs:     attrs(v.Name),
		PeerName:      v.PeerName,
		PeerNamespace: netlink.NsFd(int(far.Handle())),
	}
	link.LinkAttrs.Index = v.Index
	for _, m := range []struct {
		text string
		addr *net.HardwareAddr
	}{{v.MAC, &link.HardwareAddr}, {v.PeerMAC, &link.PeerHardwareAddr}} {
		if m.text == "" {
			continue
		}
		addr, err := net.ParseMAC(m.text)
		if err != nil {
			return fmt.Errorf("add %s: %w", v.Name, err)
		}
		*m.addr = addr
	}
	if err := near.Add(link, Address(v.Addresses...)); err != nil {
		return err
	}
	if err := far.Set(v.PeerName, Address(v.PeerAddresses...), Up); err != nil {
		return err
	}
	return near.Set(v.Name, Up)
}

// Network is two namespaces with a veth pair between them: receivers live in
// Near, the source and the capture in Far. Its methods must not be called
// concurrently with each other.
type Network struct {
	Near, Far *Namespace
}

// NewNetwork makes a network whose pair is as v says; the zero Veth is a good
// one. Close it.
func NewNetwork(v Veth) (*Network, error) {
	near, err := New()
	if err != nil {
		return nil, err
	}
	far, err := New()
	if err != nil {
		near.Close()
		return nil, err
	}
	n := &Network{Near: near, Far: far}
	if err := errors.Join(n.keepSource(), n.Connect(v)); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// keepSource has the source's IPv6 addresses stay where its interface is set down,
// as those of IPv4 do: a sender would go on from another one.
func (n *Network) keepSource() error {
	err := n.Far.SetSysctl("net/ipv6/conf/default/keep_addr_on_down", "1")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without IPv6
	}
	return err
}

// Connect adds a pair to the network. All that v leaves empty is the same for
// each pair, so a second pair beside the first needs names of its own.
func (n *Network) Connect(v Veth) error { return AddVeth(n.Near, n.Far, v.withDefaults()) }

// Cut deletes the near interface of that name and so its far end.
func (n *Network) Cut(name string) error { return n.Near.Set(name, Deleted) }

// Recreate cuts the pair whose near end has that name and makes another one,
// which keeps the name unless v has one.
//
//	err := network.Recreate("eth0", testnet.Veth{MAC: "02:00:00:00:00:02"})
func (n *Network) Recreate(name string, v Veth) error {
	if v.Name == "" {
		v.Name = name
	}
	if err := n.Cut(name); err != nil {
		return err
	}
	return n.Connect(v)
}

// Close gives up both namespaces.
func (n *Network) Close() {
	n.Near.Close()
	n.Far.Close()
}
