package ifwatch

import (
	"fmt"
	"net/netip"
	"slices"
)

// ID identifies one interface instance. IDs are unique in the process, over
// all watchers, and never reused; a greater ID was seen later. Zero is no
// instance.
type ID uint64

// Interface is an interface instance as it was at one moment. It is a value:
// nobody changes it, nor the slices in it, after it was handed out. Its JSON is
// the control API's.
type Interface struct {
	ID        ID        `json:"instance"`
	Index     int       `json:"ifindex"` // unique at a time, comes back for other instances
	Name      string    `json:"name"`
	Renames   uint32    `json:"renames"` // how often the name changed in this life
	AltNames  []string  `json:"altnames"`
	Kind      string    `json:"kind"`          // IFLA_INFO_KIND, as "veth"; "physical" where there is none
	LinkType  string    `json:"link_type"`     // the ARPHRD type, as "ether", "loopback", "none"
	MAC       string    `json:"mac"`           // lower case with colons; empty where there is none
	PermMAC   string    `json:"permanent_mac"` // the permanent MAC, likewise
	Device    string    `json:"device"`        // bus and device, as "pci/0000:3b:00.0"; empty for virtual ones
	Parent    string    `json:"parent"`        // name of IFLA_LINK's interface, where it is in this namespace
	Master    string    `json:"master"`        // name of the bridge, bond or VRF it is enslaved to
	VLANID    int       `json:"vlan_id"`       // -1 where it is no VLAN interface
	LinkGroup uint32    `json:"link_group"`
	Alias     string    `json:"alias"`
	MTU       int       `json:"mtu"`
	Up        bool      `json:"up"`        // administratively up, IFF_UP
	Carrier   bool      `json:"carrier"`   // IFF_LOWER_UP
	Running   bool      `json:"running"`   // operationally up, IFF_RUNNING: the kernel is done with setting it up
	Multicast bool      `json:"multicast"` // IFF_MULTICAST
	Addresses []Address `json:"addresses"`
	Returns   Returns   `json:"returns"`
	IPv4      Protocol  `json:"ipv4"`
	IPv6      Protocol  `json:"ipv6"`
}

// Returns count what leaves no trace in the other fields once it is over, so
// that changes which were merged hide nothing. After any of these the network
// may have forgotten what the host told it.
type Returns struct {
	Ups      uint32 `json:"ups"`      // times that it was set up since it was seen first
	Carriers uint32 `json:"carriers"` // times that the carrier came, by the kernel's count (IFLA_CARRIER_UP_COUNT, Linux 4.16)
	Notices  uint32 `json:"notices"`  // times that its peers were to be told of it: NETDEV_NOTIFY_PEERS, a failover
}

// Protocol is the state of IPv4 or IPv6 on one instance. The kernel destroys
// it, with every membership, when the MTU falls below the protocol's minimum,
// and makes a new one when the MTU is raised again: a life within the
// instance's life.
type Protocol struct {
	Alive bool   `json:"alive"`
	Life  uint32 `json:"life"` // how many lives of the protocol ended before this one
}

// Address is one address of an interface with its state.
type Address struct {
	Prefix    netip.Prefix `json:"prefix"`    // the address itself, with its prefix length
	Tentative bool         `json:"tentative"` // duplicate address detection is under way or found a duplicate
}

// Family is an address family: IPv4 or IPv6.
type Family uint8

// The two families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf returns the family of an address. An IPv4-mapped IPv6 address is
// of family IPv6.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// String returns "IPv4" or "IPv6".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	}
	return fmt.Sprintf("Family(%d)", uint8(f))
}

// The smallest MTU with which a protocol lives on an interface.
const (
	minMTUv4 = 68   // RFC 791, section 3.2
	minMTUv6 = 1280 // RFC 8200, section 5
)

// MinMTU returns the smallest MTU, in bytes, with which the kernel keeps the
// protocol alive on an interface.
func (f Family) MinMTU() int {
	if f == IPv4 {
		return minMTUv4
	}
	return minMTUv6
}

// Protocol returns the state of a family on the instance.
func (i Interface) Protocol(f Family) Protocol {
	if f == IPv4 {
		return i.IPv4
	}
	return i.IPv6
}

// tells reports whether an address of a family has a prefix that tells
// something of the interface: every one has the same IPv6 link-local prefix.
func (a Address) tells(f Family) bool {
	ip := a.Prefix.Addr()
	return FamilyOf(ip) == f && !(ip.Is6() && ip.IsLinkLocalUnicast())
}

// Prefixes returns the distinct network prefixes, masked, of the addresses of
// a family. The IPv6 link-local prefix is left out: every interface has the
// same one, so it tells nothing.
func (i Interface) Prefixes(f Family) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, a := range i.Addresses {
		if p := a.Prefix.Masked(); a.tells(f) && !slices.Contains(prefixes, p) {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

// Equal reports whether two values describe the same instance in the same
// state.
func (i Interface) Equal(o Interface) bool {
	return i.ID == o.ID && i.Index == o.Index && i.Name == o.Name && i.Renames == o.Renames &&
		slices.Equal(i.AltNames, o.AltNames) &&
		i.Kind == o.Kind && i.LinkType == o.LinkType &&
		i.MAC == o.MAC && i.PermMAC == o.PermMAC && i.Device == o.Device &&
		i.Parent == o.Parent && i.Master == o.Master &&
		i.VLANID == o.VLANID && i.LinkGroup == o.LinkGroup && i.Alias == o.Alias && i.MTU == o.MTU &&
		i.Up == o.Up && i.Carrier == o.Carrier && i.Running == o.Running && i.Multicast == o.Multicast &&
		slices.Equal(i.Addresses, o.Addresses) && i.Returns == o.Returns && i.IPv4 == o.IPv4 && i.IPv6 == o.IPv6
}

// String returns the name and the instance, as "eth0 (instance 7)".
func (i Interface) String() string {
	return fmt.Sprintf("%s (instance %d)", i.Name, i.ID)
}
