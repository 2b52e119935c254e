package integration

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/doctor"
	"github.com/ssmd-project/ssmd/internal/testnet"
)

// unfed is a patient whose channel is joined by one that receives nothing, as
// the daemon is.
func unfed(t *testing.T, f family) *patient {
	t.Helper()
	p := newPatient(t, f)
	p.joined()
	p.silent("receivers")
	ok(t, p.receiver.Close())
	return p
}

func TestStoryDoctorNoReceiver(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := unfed(t, f)
		p.finds("receivers", doctor.Warning, fmt.Sprintf("no socket of this host is bound to port %d", port))
		p.hears(p.fed())
		p.silent("receivers")
	})
}

func TestStoryDoctorUnicastReceiver(t *testing.T) {
	t.Parallel()
	p := unfed(t, v4)
	newReceiver(t, p.Near, testnet.ReceiverConfig{Listen: netip.MustParseAddrPort("10.1.0.2:5000")})
	p.finds("receivers", doctor.Warning, fmt.Sprintf("process %d (", os.Getpid()), "is bound to 10.1.0.2:5000")
	p.hears(newReceiver(t, p.Near, testnet.ReceiverConfig{Listen: netip.MustParseAddrPort("0.0.0.0:5000")}))
	p.silent("receivers")
}

// A receiver that does not read.
func TestStoryDoctorSlowReceiver(t *testing.T) {
	t.Parallel()
	p := unfed(t, v4)
	slow, err := testnet.NewReceiver(p.Near, testnet.ReceiverConfig{Listen: v4.listen()})
	ok(t, err)
	t.Cleanup(func() { _ = slow.Close() })
	ok(t, slow.Conn().SetReadBuffer(1))
	p.finds("receivers", doctor.Warning, "datagrams, as its buffer was full")
	ok(t, slow.Close())
	p.hears(p.fed())
	p.silent("receivers")
}

// Without a datagram nobody can tell which sockets are receivers, unless they are
// bound to the group, or the port is said.
func TestStoryDoctorUnknownPort(t *testing.T) {
	t.Parallel()
	p := unfed(t, v4)
	p.wait = 0
	any := newReceiver(t, p.Near, testnet.ReceiverConfig{Listen: netip.MustParseAddrPort("0.0.0.0:5000")})
	p.finds("receivers", doctor.Unknown, "no datagram was heard that tells the port")
	p.subject.Port = port
	p.silent("receivers")
	p.hears(any)
	p.subject.Port = 0
	p.fed()
	p.silent("receivers")
}

func bindToDevice(t *testing.T, c *net.UDPConn, name string) {
	t.Helper()
	raw, err := c.SyscallConn()
	ok(t, err)
	ok(t, raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), name) }))
	ok(t, err)
}

// A receiver is bound to an interface that is made anew (K18).
func TestStoryDoctorDeadDevice(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := unfed(t, f)
		bound := p.fed()
		bindToDevice(t, bound.Conn(), "eth0")
		p.silent("receiver_device")
		index := p.index()
		ok(t, p.Recreate("eth0", testnet.Veth{}))
		p.joined()
		p.finds("receiver_device", doctor.Fault, fmt.Sprintf("is bound to the interface with index %d, which is gone", index))
		bindToDevice(t, bound.Conn(), "eth0")
		p.silent("receiver_device")
		p.hears(bound)
		bindToDevice(t, bound.Conn(), "lo")
		p.finds("receiver_device", doctor.Warning, "is bound to the interface lo")
	})
}

// With IP_MULTICAST_ALL off what is joined for the receiver does not reach it; one
// that joined by itself is content.
func TestStoryDoctorMulticastAll(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := unfed(t, f)
		unhappy := newReceiver(t, p.Near, testnet.ReceiverConfig{Listen: f.listen(), OwnOnly: true})
		p.finds("receiver_multicast_all", doctor.Warning, fmt.Sprintf("process %d (", os.Getpid()), "_MULTICAST_ALL off, and has not joined by itself")
		ok(t, unhappy.Close())
		p.hears(newReceiver(t, p.Near, testnet.ReceiverConfig{Listen: f.listen(), OwnOnly: true, Join: "eth0", Source: f.channel.source}))
		p.silent("receiver_multicast_all")
	})
}

// A receiver that joined another source by itself is deaf to what the daemon joins,
// unless another one hears it.
func TestStoryDoctorReceiverOfAnotherSource(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := unfed(t, f)
		deaf := newReceiver(t, p.Near, testnet.ReceiverConfig{Listen: f.listen(), Join: "eth0", Source: f.other.source})
		p.finds("receiver_filter", doctor.Warning, fmt.Sprintf("process %d (", os.Getpid()), "lets "+f.channel.source.String()+" not in")
		p.deaf(deaf)
		p.hears(p.fed())
		p.silent("receiver_filter")
	})
}

// A receiver that joined by itself on a life of the interface that is over.
func TestStoryDoctorStaleMembership(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := newPatient(t, f)
		p.silent("stale_membership")
		index := p.index()
		ok(t, p.Recreate("eth0", testnet.Veth{}))
		p.finds("stale_membership", doctor.Warning, fmt.Sprintf("believes to be a member of %s on the interface with index %d, which is gone", f.channel.group, index))
		ok(t, p.receiver.Close())
		p.hears(newReceiver(t, p.Near, testnet.ReceiverConfig{Listen: f.listen(), Join: "eth0", Source: f.channel.source}))
		p.silent("stale_membership")
	})
}
