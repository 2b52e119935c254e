package ifwatch

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// kernelLink returns RTM_NEWLINK of a veth as the kernel writes it.
func kernelLink(b *testing.B) syscall.NetlinkMessage {
	b.Helper()
	n, err := testnet.New()
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	if err := testnet.AddVeth(n, n, testnet.Veth{Name: "eth0", PeerName: "peer0"}); err != nil {
		b.Fatal(err)
	}
	var answers [][]byte
	err = n.Do(func() (err error) {
		request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		answers, err = request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
		return err
	})
	if err != nil || len(answers) == 0 {
		b.Fatal(err)
	}
	return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWLINK}, Data: answers[len(answers)-1]}
}

// BenchmarkEvent is the cost of one event of an interface, decoding and
// applying: one that changes nothing, and one that changes a flag, with a
// consumer that takes it and without.
func BenchmarkEvent(b *testing.B) {
	for _, bb := range []struct {
		name          string
		flip, consume bool
	}{{"unchanged", false, false}, {"changed", true, false}, {"taken", true, true}} {
		b.Run(bb.name, func(b *testing.B) {
			m := kernelLink(b)
			w := tableWatcher()
			for i := range 1000 {
				w.play(with(10_000+i, "other"))
			}
			w.Take()
			d := &dump{socket: &socket{portID: 1}}
			b.ReportAllocs()
			for b.Loop() {
				if bb.flip {
					m.Data[8] ^= unix.IFF_UP
				}
				if err := w.take([]syscall.NetlinkMessage{m}, d); err != nil {
					b.Fatal(err)
				}
				if bb.consume {
					w.Take()
				}
			}
		})
	}
}

// BenchmarkAddresses is one address that comes and goes on an interface that
// has thousands: it must not cost more than copying them.
func BenchmarkAddresses(b *testing.B) {
	w := tableWatcher()
	w.play(with(5, "a"))
	for i := range 4000 {
		w.play(come(5, fmt.Sprintf("10.%d.%d.1/24", i/256, i%256)))
	}
	w.Take()
	b.ReportAllocs()
	for b.Loop() {
		w.play(come(5, "10.99.0.1/24"), gone(come(5, "10.99.0.1/24")))
		w.Take()
	}
}

// BenchmarkParseFilters reads a list of 10,000 filters, as each audit does.
func BenchmarkParseFilters(b *testing.B) {
	var list strings.Builder
	list.WriteString("Idx Device        MCA        SRC    INC    EXC\n")
	for n := range 10000 {
		fmt.Fprintf(&list, "%3d %6s 0x%08x 0x0a010001      1      0\n", 7, "eth0", uint32(0xe8010000+int64(n)))
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := parseFilters(strings.NewReader(list.String()), func(Filter) {}); err != nil {
			b.Fatal(err)
		}
	}
}
