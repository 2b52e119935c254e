package wire

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// RecordType is what a report says of a group. The first six are those of
// RFC 3376, section 4.2.12, and RFC 3810, section 5.2.12.
type RecordType uint8

// What a report may say.
const (
	ModeIsInclude       RecordType = 1
	ModeIsExclude       RecordType = 2
	ChangeToIncludeMode RecordType = 3
	ChangeToExcludeMode RecordType = 4
	AllowNewSources     RecordType = 5
	BlockOldSources     RecordType = 6

	V2Report RecordType = 0x16 // an IGMPv2 report, which has no sources
	V2Leave  RecordType = 0x17 // an IGMPv2 leave, likewise
)

// String returns the name that the RFCs use.
func (t RecordType) String() string {
	switch t {
	case V2Report:
		return "IGMPV2_REPORT"
	case V2Leave:
		return "IGMPV2_LEAVE"
	}
	if name := layers.IGMPv3GroupRecordType(t).String(); name != "" {
		return name
	}
	return fmt.Sprintf("RecordType(%d)", uint8(t))
}

// Report is one group record of an IGMP or MLD report that a host sent.
type Report struct {
	Time      time.Time
	Packet    int    // counts the capture's packets: records of one share it
	Interface string // where it arrived; empty where that is gone
	From      netip.Addr
	MAC       string // of who sent it, in lower case with colons; empty where the link has none
	Group     netip.Addr
	Type      RecordType
	Sources   []netip.Addr
}

// Is reports whether r says this of the group and names this source. An
// invalid source stands for any number of sources, also none.
func (r Report) Is(t RecordType, source, group netip.Addr) bool {
	return r.Type == t && r.Group == group && (!source.IsValid() || slices.Contains(r.Sources, source))
}

// String returns the record in one line.
func (r Report) String() string {
	return fmt.Sprintf("%s %s %v from %s on %s", r.Type, r.Group, r.Sources, r.From, r.Interface)
}

// decodeReports decodes the group records of one packet, from its IP header
// on. It returns none for anything else than a report.
//
// gopacket decodes several records, the router alert option and the
// hop-by-hop header rightly (held by a test), but swallows the error of a
// truncated IGMPv3 report and returns the records before it: the count tells.
func decodeReports(b []byte) ([]Report, error) {
	if len(b) == 0 {
		return nil, nil
	}
	first := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	packet := gopacket.NewPacket(b, first, gopacket.NoCopy)
	if failure := packet.ErrorLayer(); failure != nil {
		return nil, fmt.Errorf("decode packet: %w", failure.Error())
	}
	if packet.NetworkLayer() == nil {
		return nil, nil
	}
	source, _ := packet.NetworkLayer().NetworkFlow().Endpoints()
	from := addrOf(source.Raw())
	var reports []Report
	for _, layer := range packet.Layers() {
		switch l := layer.(type) {
		case *layers.IGMPv1or2:
			reports = appendV2(reports, from, l)
		case *layers.IGMP:
			if l.Type == layers.IGMPMembershipReportV3 && len(l.GroupRecords) != int(l.NumberOfGroupRecords) {
				return nil, fmt.Errorf("decode packet: %d of %d group records", len(l.GroupRecords), l.NumberOfGroupRecords)
			}
			for _, r := range l.GroupRecords {
				reports = append(reports, Report{From: from, Group: addrOf(r.MulticastAddress),
					Type: RecordType(r.Type), Sources: addrsOf(r.SourceAddresses)})
			}
		case *layers.MLDv2MulticastListenerReportMessage:
			for _, r := range l.MulticastAddressRecords {
				reports = append(reports, Report{From: from, Group: addrOf(r.MulticastAddress),
					Type: RecordType(r.RecordType), Sources: addrsOf(r.SourceAddresses)})
			}
		}
	}
	return reports, nil
}

func appendV2(reports []Report, from netip.Addr, l *layers.IGMPv1or2) []Report {
	if l.Type != layers.IGMPMembershipReportV2 && l.Type != layers.IGMPLeaveGroup {
		return reports
	}
	return append(reports, Report{From: from, Group: addrOf(l.GroupAddress), Type: RecordType(l.Type)})
}

// addrOf copies an address out of a packet.
func addrOf(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func addrsOf(ips []net.IP) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range ips {
		addrs = append(addrs, addrOf(ip))
	}
	return addrs
}
