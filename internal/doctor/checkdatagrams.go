package doctor

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

const aboutDatagrams = "datagrams"

var (
	noDatagrams = define(aboutDatagrams, Warning, "no datagram of %s came in on %s within %s",
		"The source does not send now, or the network does not deliver it here. What is in the way on this host is behind the place where this looks.")
	otherSource = define(aboutDatagrams, Fault, "%s comes in on %s from %s, and not from %s",
		"Only what the source sends from exactly this address is delivered. NAT, or a second address of the sender, changes it.")
	datagramsUnheard = define(aboutDatagrams, Unknown, "whether datagrams come in was not looked at: %v",
		"Whether the network or this host is at fault depends on it.")
)

// checkDatagrams is about what comes in by the wire, before the kernel drops
// anything.
func checkDatagrams(s Subject, f *Facts) []Finding {
	if f.Heard.Err != nil {
		return []Finding{datagramsUnheard.with(f.Heard.Err).advise(toHear)}
	}
	total, heard := 0, make(map[membership.Channel]int)
	senders := make(map[netip.Addr]netip.Addr) // of a group, somebody
	for _, stream := range f.Heard.Streams {
		heard[membership.Channel{Source: stream.Source, Group: stream.To.Addr()}] += stream.Datagrams
		senders[stream.To.Addr()] = stream.Source
	}
	var silent, strange []membership.Channel
	for _, c := range s.Channels {
		switch {
		case heard[c] > 0:
			total += heard[c]
		case senders[c.Group].IsValid() && !s.wants(senders[c.Group], c.Group):
			strange = append(strange, c)
		default:
			silent = append(silent, c)
		}
	}
	waited := f.Heard.For.Round(100 * time.Millisecond)
	var findings []Finding
	if len(strange) > 0 {
		c := strange[0]
		findings = append(findings, otherSource.with(c.Group, f.Link.Name, senders[c.Group], c.Source).
			mend(s.join(f.Link.Name, []membership.Channel{{Source: senders[c.Group], Group: c.Group}})...).
			advise("If that is the sender, ask for it by that address."))
	}
	if len(silent) > 0 {
		findings = append(findings, noDatagrams.with(some(silent), f.Link.Name, waited).
			advise("Look at the sender, and at the switches and routers between. A lower rate than one within that time wants a longer --wait."))
	}
	if len(findings) == 0 {
		return good(aboutDatagrams, "%d datagrams came in on %s within %s, to port %s", total, f.Link.Name, waited, portWords(s.ports(f)))
	}
	return findings
}

// wants reports whether the subject has a channel.
func (s Subject) wants(source, group netip.Addr) bool {
	for _, c := range s.Channels {
		if c.Source == source && c.Group == group {
			return true
		}
	}
	return false
}

// ports returns the ports that the subject's channels are sent to, as heard, or
// as was said.
func (s Subject) ports(f *Facts) []uint16 {
	if s.Port != 0 {
		return []uint16{s.Port}
	}
	var ports []uint16
	seen := make(map[uint16]bool)
	for _, stream := range f.Heard.Streams {
		if port := stream.To.Port(); s.wants(stream.Source, stream.To.Addr()) && !seen[port] {
			seen[port] = true
			ports = append(ports, port)
		}
	}
	return ports
}

func portWords(all []uint16) string {
	words := make([]string, len(all))
	for n, p := range all {
		words[n] = fmt.Sprint(p)
	}
	return strings.Join(words, ", ")
}
