package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

const (
	aboutReceivers    = "receivers"
	aboutDevice       = "receiver_device"
	aboutMulticastAll = "receiver_multicast_all"
	aboutFilter       = "receiver_filter"
	aboutStale        = "stale_membership"
)

var (
	noReceiver = define(aboutReceivers, Warning, "no socket of this host is bound to port %s of the group, or of any address",
		"What comes in is delivered to nobody.")
	unicastReceiver = define(aboutReceivers, Warning, "%s is bound to %s",
		"A socket that is bound to an address of the host hears nothing that is sent to a group.")
	fullReceiver = define(aboutReceivers, Warning, "%s has lost %d datagrams, as its buffer was full",
		"It reads too slowly, or in bursts. The count goes back to when the socket was opened.")
	portUnknown = define(aboutReceivers, Unknown, "which sockets are receivers is not known: no datagram was heard that tells the port",
		"A receiver has to be bound to the port that the source sends to.")
	socketsUnread = define(aboutReceivers, Unknown, "the UDP sockets could not be listed: %v",
		"They say who receives.")
	deadDevice = define(aboutDevice, Fault, "%s is bound to the interface with index %d, which is gone",
		"SO_BINDTODEVICE binds to one life of an interface. Such a socket hears nothing until it is bound again (K18).")
	otherDevice = define(aboutDevice, Warning, "%s is bound to the interface %s",
		"It hears nothing that comes in on another interface.")
	onlyOwn = define(aboutMulticastAll, Warning, "%s has %s_MULTICAST_ALL off, and has not joined by itself",
		"It hears only what it joined itself (K25), so what the daemon joins for it does not reach it, and after the interface is made anew it hears nothing.")
	shutOut = define(aboutFilter, Warning, "%s joined %s on %s itself, but lets %s not in, and no other receiver hears it",
		"A socket hears of a group that it joined what it asked for there, whatever others join (RFC 3678).")
	staleReceiver = define(aboutStale, Warning, "%s believes to be a member of %s on the interface with index %d, which is gone",
		"It joined on a former life of an interface, and the kernel never joins again for it: it hears only what others join, as ssmd does. When that index is used again, its stale entry can take a membership from others (K6).")
	staleUnknown = define(aboutStale, Unknown, "whether %s has stale memberships could not be asked",
		"A receiver that joined on a former life of an interface hears nothing by that (K1).")
	allUnknown = define(aboutMulticastAll, Unknown, "whether %s has IPV6_MULTICAST_ALL off could not be asked",
		"With it off a receiver hears only what it joined itself (K25).")
)

// receivers returns the sockets that are bound to a group of the subject, or to
// any address and a port that its channels are sent to.
func (s Subject) receivers(f *Facts) []Socket {
	ports := s.ports(f)
	var found []Socket
	for _, k := range f.Sockets {
		address := k.Local.Addr().Unmap()
		switch {
		case len(ports) > 0 && !slices.Contains(ports, k.Local.Port()), k.Peer.Port() != 0 && !s.sends(k):
		case slices.ContainsFunc(s.families(), func(family ifwatch.Family) bool {
			return slices.Contains(s.groups(family), address) || len(ports) > 0 && address.IsUnspecified() && k.hears(family)
		}):
			found = append(found, k)
		}
	}
	return found
}

// sends reports whether a connected socket is connected to a source.
func (s Subject) sends(k Socket) bool {
	return slices.Contains(s.sources(k.Family), k.Peer.Addr().Unmap())
}

// hears reports whether a socket that is bound to every address gets datagrams
// of a family.
func (k Socket) hears(family ifwatch.Family) bool {
	return k.Family == family || k.Family == ifwatch.IPv6 && !k.OnlyIPv6
}

func (k Socket) String() string { return fmt.Sprintf("%s, at %s,", k.Process, k.Local) }

// restart adds what makes a receiver anew.
func (k Socket) restart(f Finding) Finding {
	switch {
	case k.Process == nil:
		return f.advise("Run this as root to see which it is, and start it again.")
	case k.Process.Unit != "":
		return f.mend("systemctl restart " + quote(k.Process.Unit))
	}
	return f.advise("Start %s again.", k.Process)
}

// checkReceivers is about who is there to receive.
func checkReceivers(s Subject, f *Facts) []Finding {
	ports := s.ports(f)
	receivers := s.receivers(f)
	var findings []Finding
	switch {
	case f.SockErr != nil:
		return []Finding{socketsUnread.with(f.SockErr)}
	case len(ports) == 0 && len(receivers) == 0:
		return []Finding{portUnknown.with().advise("Say it with --port.")}
	case len(receivers) == 0:
		findings = append(findings, noReceiver.with(portWords(ports)).advise("Start the receiver, or correct its port."))
	}
	for _, k := range f.Sockets {
		if len(receivers) > 0 {
			break
		}
		a := k.Local.Addr().Unmap()
		if slices.Contains(ports, k.Local.Port()) && !a.IsUnspecified() && !a.IsMulticast() && len(s.of(ifwatch.FamilyOf(a))) > 0 {
			findings = append(findings, unicastReceiver.with(k.Process, k.Local).advise("Have it bind to the group, or to any address."))
		}
	}
	for _, k := range receivers {
		if k.Drops > 0 {
			findings = append(findings, fullReceiver.with(k, k.Drops).advise("Have it read faster, or ask for a larger SO_RCVBUF, which net.core.rmem_max bounds."))
		}
	}
	if len(findings) > 0 {
		return findings
	}
	return good(aboutReceivers, "%s", strings.TrimSuffix(some(receivers), ","))
}

// checkDevice is about receivers that are bound to an interface.
func checkDevice(s Subject, f *Facts) []Finding {
	receivers := s.receivers(f)
	if len(receivers) == 0 || f.Names == nil {
		return nil
	}
	var findings []Finding
	for _, k := range receivers {
		name, lives := f.Names[k.Device]
		switch {
		case k.Device == 0 || k.Device == f.Link.Index:
		case !lives:
			findings = append(findings, k.restart(deadDevice.with(k, k.Device)))
		default:
			findings = append(findings, k.restart(otherDevice.with(k, name)))
		}
	}
	if len(findings) > 0 {
		return findings
	}
	return good(aboutDevice, "no receiver is bound to another interface, or to one that is gone")
}

// option begins the names of a family's options.
var option = map[ifwatch.Family]string{ifwatch.IPv4: "IP", ifwatch.IPv6: "IPV6"}

// checkMulticastAll is about receivers that do not hear what others join.
func checkMulticastAll(s Subject, f *Facts) []Finding {
	receivers := s.receivers(f)
	if len(receivers) == 0 {
		return nil
	}
	var findings []Finding
	var hidden []Socket
	for _, k := range receivers {
		switch {
		case k.MulticastAll == nil:
			hidden = append(hidden, k)
		case !*k.MulticastAll && len(k.Filters) > 0: // it joined for itself
		case !*k.MulticastAll:
			findings = append(findings, onlyOwn.with(k, option[k.Family]).
				advise("Have %s set it to 1, the default, or hand its socket to the library.", k.Process))
		}
	}
	if len(hidden) > 0 {
		findings = append(findings, allUnknown.with(some(hidden)).advise("Run it as root, who may ask the socket."))
	}
	if len(findings) > 0 {
		return findings
	}
	return good(aboutMulticastAll, "every receiver hears what others join")
}

// checkFilter is about receivers that joined themselves, and other sources.
func checkFilter(s Subject, f *Facts) []Finding {
	receivers := s.receivers(f)
	if len(receivers) == 0 {
		return nil
	}
	var findings []Finding
	told := make(map[uint32]bool)
	for _, c := range s.Channels {
		deaf := slices.IndexFunc(receivers, func(k Socket) bool { return k.Filters.shutOut(c) })
		hearing := slices.ContainsFunc(receivers, func(k Socket) bool { return k.hears(c.Family()) && !k.Filters.shutOut(c) })
		if deaf < 0 || hearing || told[receivers[deaf].Inode] {
			continue
		}
		k := receivers[deaf]
		told[k.Inode] = true
		findings = append(findings, shutOut.with(k, c.Group, f.Link.Name, c.Source).
			advise("Have %s join %s, or not join the group at all.", k.Process, c))
	}
	if len(findings) > 0 {
		return findings
	}
	return good(aboutFilter, "no receiver shuts out what it is to hear")
}

// checkStale is about receivers that joined on interfaces that are gone.
func checkStale(s Subject, f *Facts) []Finding {
	receivers := s.receivers(f)
	if len(receivers) == 0 {
		return nil
	}
	var findings []Finding
	var hidden []Socket
	for _, k := range receivers {
		switch {
		case !k.Asked:
			hidden = append(hidden, k)
		case len(k.Stale) > 0:
			findings = append(findings, k.restart(staleReceiver.with(k, k.Stale[0].Group, k.Stale[0].Index)))
		}
	}
	if len(hidden) > 0 {
		findings = append(findings, staleUnknown.with(some(hidden)).advise("Run it as root, who may ask the socket."))
	}
	if len(findings) > 0 {
		return findings
	}
	return good(aboutStale, "no receiver has a membership on an interface that is gone")
}
