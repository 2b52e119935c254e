package doctor

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/doctor/firewall"
	"github.com/ssmd-project/ssmd/internal/groupoption"
	"github.com/ssmd-project/ssmd/membership"
)

// Facts are what was found of one interface, and of what concerns it in its
// network namespace. Where something could not be looked at, its error says
// why.
type Facts struct {
	Link      *Link          // nil: there is no such interface
	Names     map[int]string // of all interfaces, by index
	LinkErr   error          // there may be one
	Sysctls   map[string]string
	Limits    Limits
	Lists     map[ifwatch.Family]Lists
	Routes    map[netip.Addr]Route // by source
	Bridges   []Bridge             // that the interface is, is a port of, or hangs on
	BridgeErr error                // there may be more
	Sockets   []Socket             // UDP sockets of the namespace
	SockErr   error
	Firewall  firewall.Rules
	Heard     Heard
}

// Link is an interface as it is now.
type Link struct {
	Index      int
	Name       string
	Kind       string // IFLA_INFO_KIND; empty for hardware
	MAC        string
	MTU        int
	Up         bool // IFF_UP
	Carrier    bool // IFF_LOWER_UP
	Multicast  bool // IFF_MULTICAST
	OperState  string
	Loopback   bool
	Master     string // name of the interface that it is a port of
	MasterKind string
	Peer       string // the other end of a veth pair, where that is in this namespace
	Addresses  []Address
}

// Address is one of an interface's.
type Address struct {
	Prefix    netip.Prefix
	Tentative bool
	Duplicate bool // duplicate address detection failed
}

// Limits are the kernel's on one socket, and the daemon's on sockets. Zero
// or less is a limit, too; nil is one that cannot be read.
type Limits struct {
	GroupsIPv4  *int // net.ipv4.igmp_max_memberships
	SourcesIPv4 *int // net.ipv4.igmp_max_msf
	SourcesIPv6 *int // net.ipv6.mld_max_msf
	Memory      *int // net.core.optmem_max, bytes
	Files       *int // RLIMIT_NOFILE of the daemon
}

// Lists are what the kernel lists of a family's groups.
type Lists struct {
	Groups   ifwatch.Groups
	Included map[membership.Channel]int // sockets that include a source, on this interface
	Whole    bool                       // these are all
	Err      error
}

// Route is where the host would send what goes to a source.
type Route struct {
	Interfaces []string // of its next hops; empty: there is none
	Local      bool     // it is an address of the host itself
	Err        error    // the kernel could not be asked
}

// Bridge is a bridge of the kernel that an interface has to do with.
type Bridge struct {
	Name      string
	Tie       BridgeTie
	Elsewhere bool // it is in another network namespace
	Snooping  bool
	Querier   bool                    // it asks by itself
	Others    map[ifwatch.Family]bool // another querier is heard
}

// BridgeTie is what an interface has to do with a bridge.
type BridgeTie string

// The ties.
const (
	TieSelf  BridgeTie = "self"  // it is the bridge
	TiePort  BridgeTie = "port"  // it is a port of it
	TieBelow BridgeTie = "below" // its other end, or the interface that it is on, is a port or the bridge
)

// Socket is a UDP socket.
type Socket struct {
	Family       ifwatch.Family
	Local        netip.AddrPort // an unspecified address: every one
	Peer         netip.AddrPort // port zero: not connected
	Device       int            // index that it is bound to; zero: none
	MulticastAll *bool          // IP_MULTICAST_ALL or IPV6_MULTICAST_ALL; nil: the kernel does not say
	Asked        bool           // what follows was asked of it
	Filters      Filters        // of wanted groups, as it joined them itself
	Stale        []StaleEntry   // wanted groups of which it is a member on interfaces that are gone
	Process      *Process       // nil: not found, for lack of a privilege
	OnlyIPv6     bool           // an IPv6 socket that hears no IPv4
	Drops        uint32         // datagrams that found its buffer full
	Inode        uint32
}

// Filters are what a socket let in of groups that it joined itself. What the kernel
// delivers to it goes by these, whatever others join: over IPv4 by the one of the
// interface (ip_mc_sf_allow), over IPv6 by one of any (inet6_mc_check).
type Filters map[netip.Addr][]Filter

// Filter is the source filter of a group (RFC 3678).
type Filter struct {
	groupoption.Filter
	Index int // of the interface that it is for
}

func (f Filter) letsIn(source netip.Addr) bool {
	return slices.Contains(f.Sources, source) != f.Exclude
}

// shutOut reports whether a channel is not let in for sure.
func (all Filters) shutOut(c membership.Channel) bool {
	of := all[c.Group]
	return len(of) > 0 && !slices.ContainsFunc(of, func(f Filter) bool { return f.letsIn(c.Source) })
}

// StaleEntry is a membership that a socket believes in, on an interface that is
// gone.
type StaleEntry struct {
	Group netip.Addr
	Index int
}

// Process is who has a socket.
type Process struct {
	PID  int
	Name string
	Unit string // the systemd service that it is of
}

// Heard is what came and went on the interface while it was listened to.
type Heard struct {
	Err     error // it was not listened to
	For     time.Duration
	Streams []Stream
	Queries []Query
	Reports []GroupReport
}

// Stream is UDP datagrams that came in.
type Stream struct {
	Source    netip.Addr
	To        netip.AddrPort
	Datagrams int
}

// Query is one that came in.
type Query struct {
	From    netip.Addr
	Family  ifwatch.Family
	Version int // 1, 2 or 3 of IGMP, 1 or 2 of MLD
}

// GroupReport is a group's record in a report that went out.
type GroupReport struct {
	Group   netip.Addr
	Sources []netip.Addr
	Version int
	Leave   bool
}
