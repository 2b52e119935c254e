package testnet

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Query is a general query, by which a router asks hosts for their groups.
// Hosts answer within a tenth of a second, at a random time.
type Query struct {
	v6   bool
	body []byte
	to   net.IP
}

// lengthMLDv1 is that of a query of MLDv1, in bytes (RFC 3810, section 8.1).
const lengthMLDv1 = 24

// The queries. An IGMPv2 one makes hosts speak IGMPv2 from then on, one of MLDv1
// MLDv1.
var (
	QueryV2    = Query{false, checksummed(0x11, 1, 0, 0, 0, 0, 0, 0), net.IPv4allsys}
	QueryV3    = Query{false, checksummed(0x11, 1, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0), net.IPv4allsys}
	QueryMLD   = Query{true, mldQuery(), net.IPv6linklocalallnodes}
	QueryMLDv1 = Query{true, mldQuery()[:lengthMLDv1], net.IPv6linklocalallnodes}
)

// checksummed fills in the checksum of an IGMP message (RFC 1071), at its
// third byte.
func checksummed(b ...byte) []byte {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	sum = sum&0xffff + sum>>16
	b[2], b[3] = byte(^sum>>8), byte(^sum)
	return b
}

// mldQuery is an MLDv2 general query (RFC 3810, section 5.1). The kernel
// fills in its checksum.
func mldQuery() []byte {
	b := make([]byte, 28)
	b[0], b[5] = 130, 100 // answer within 100 ms
	b[24], b[25] = 2, 125
	return b
}

// Ask sends a query from an interface. For MLD the interface needs a
// link-local address that is ready.
func (n *Namespace) Ask(name string, q Query) error {
	ifi, err := n.Index(name)
	if err != nil {
		return err
	}
	err = n.Do(func() error {
		if q.v6 {
			return n.askMLD(name, ifi, q)
		}
		return askIGMP(ifi, q)
	})
	if err != nil {
		return fmt.Errorf("send query on %s: %w", name, err)
	}
	return nil
}

func askIGMP(ifindex int, q Query) error {
	c, err := net.ListenPacket("ip4:igmp", "0.0.0.0")
	if err != nil {
		return err
	}
	defer c.Close()
	p := ipv4.NewPacketConn(c)
	if err := p.SetMulticastInterface(&net.Interface{Index: ifindex}); err != nil {
		return err
	}
	if err := p.SetMulticastTTL(1); err != nil {
		return err
	}
	_, err = c.WriteTo(q.body, &net.IPAddr{IP: q.to})
	return err
}

// askMLD sends an MLD query. Hosts ignore one that comes from another than a
// link-local address, with more than one hop to go or without the router
// alert option (RFC 3810, sections 5.1.14 and 6.2).
func (n *Namespace) askMLD(name string, ifindex int, q Query) error {
	from, err := n.linkLocal(name)
	if err != nil {
		return err
	}
	zone := fmt.Sprint(ifindex)
	c, err := net.ListenIP("ip6:ipv6-icmp", &net.IPAddr{IP: from, Zone: zone})
	if err != nil {
		return err
	}
	defer c.Close()
	p := ipv6.NewPacketConn(c)
	if err := p.SetMulticastHopLimit(1); err != nil {
		return err
	}
	// Next header and length, filled in by the kernel; router alert; padding.
	hopByHop := string([]byte{0, 0, 5, 2, 0, 0, 1, 0})
	if err := control(c, func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_IPV6, unix.IPV6_HOPOPTS, hopByHop)
	}); err != nil {
		return fmt.Errorf("set router alert: %w", err)
	}
	_, err = c.WriteTo(q.body, &net.IPAddr{IP: q.to, Zone: zone})
	return err
}

// linkLocal returns the interface's link-local address, once that is ready.
func (n *Namespace) linkLocal(name string) (net.IP, error) {
	link, err := n.Netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	addrs, err := n.Netlink.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			return a.IP, nil
		}
	}
	return nil, fmt.Errorf("no link-local address is ready: %w", unix.EADDRNOTAVAIL)
}
