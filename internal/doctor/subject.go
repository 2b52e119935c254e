package doctor

import (
	"net/netip"
	"slices"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// Subject is what is examined: some channels that are to arrive on an
// interface.
type Subject struct {
	Membership string               // of the daemon; empty: they were given as S@G%IF
	Entry      string               // of a configuration file, which no daemon was asked of; empty: of none
	File       string               // of the entry
	State      membership.State     // of the membership
	Reason     string               // of the state
	Channels   []membership.Channel // at least one
	Refused    []string             // channels that the kernel refused the daemon, with why
	Interface  string               // empty: the membership is on none, and none comes near
	Attached   bool                 // the daemon is on this interface
	Index      int                  // of the interface, by the daemon; zero where it does not say
	Netns      string               // as the daemon calls it; empty: its own, or the caller's
	Port       uint16               // that the source sends to; zero: not known
	Announced  bool                 // the daemon was asked to tell the network anew while the interface was listened to
	Daemon     bool                 // a daemon answers, so commands may ask it
	FileRuns   bool                 // that daemon reads the entry's file
}

// of returns the channels of a family.
func (s Subject) of(f ifwatch.Family) []membership.Channel {
	var channels []membership.Channel
	for _, c := range s.Channels {
		if c.Family() == f {
			channels = append(channels, c)
		}
	}
	return channels
}

// families returns those of the channels.
func (s Subject) families() []ifwatch.Family {
	var families []ifwatch.Family
	for _, f := range []ifwatch.Family{ifwatch.IPv4, ifwatch.IPv6} {
		if len(s.of(f)) > 0 {
			families = append(families, f)
		}
	}
	return families
}

// sources returns those of a family, each once.
func (s Subject) sources(f ifwatch.Family) []netip.Addr {
	var all []netip.Addr
	for _, c := range s.of(f) {
		all = append(all, c.Source)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// groups returns those of a family, each once.
func (s Subject) groups(f ifwatch.Family) []netip.Addr {
	var all []netip.Addr
	for _, c := range s.of(f) {
		all = append(all, c.Group)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
