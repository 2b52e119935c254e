package integration

import (
	"fmt"
	"net"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Fact K1: a socket does not notice that the interface of its membership is
// gone. Its filter reads as before, no error is pending, and nothing arrives.
func TestK01FilterOutlivesTheInterface(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, old := l.listener(f.channel), l.index()
		l.hears(r)
		ok(t, l.Cut("eth0"))
		s := socketOf(t, r)
		l.believes(s, old)
		if errno, err := s.pending(); errno != 0 || err != nil {
			t.Errorf("pending error %d, %v", errno, err)
		}
		ok(t, l.Connect(testnet.Veth{}))
		l.deaf(r)
		l.believes(s, old)
	})
}

// Fact K2: an interface with the same name, MAC and addresses is another
// one, with another index, and the membership does not come back on it.
func TestK02MembershipDoesNotReturn(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		const mac = "02:00:00:00:00:01"
		ok(t, l.Near.Set("eth0", testnet.MAC(mac)))
		r, old := l.listener(f.channel), l.index()
		l.hears(r)
		ok(t, l.Recreate("eth0", testnet.Veth{MAC: mac}))
		if l.index() == old {
			t.Errorf("the index is %d again", old)
		}
		l.deaf(r)
		l.wantUsers(0)
	})
}

// Fact K3: on an index that is vacant a source cannot be left, but the group
// can, once. That frees the socket's slot. x/net asks the kernel the same.
func TestK03LeaveTheGroupOnTheVanishedIndex(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		raw, second, old := l.joined(), l.listener(f.channel), l.index()
		ok(t, l.Cut("eth0"))
		wantErrno(t, "leaving the source", raw.leave(old, f.channel), unix.ENODEV)
		l.believes(raw, old)
		ok(t, raw.leaveGroup(old, f.channel.group))
		wantErrno(t, "leaving the group twice", raw.leaveGroup(old, f.channel.group), unix.EADDRNOTAVAIL)

		leave := func() error {
			gone, group := &net.Interface{Index: old}, &net.UDPAddr{IP: f.channel.group.AsSlice()}
			if f.level == unix.IPPROTO_IP {
				return ipv4.NewPacketConn(second.Conn()).LeaveGroup(gone, group)
			}
			return ipv6.NewPacketConn(second.Conn()).LeaveGroup(gone, group)
		}
		ok(t, leave())
		wantErrno(t, "x/net leaving the group twice", leave(), unix.EADDRNOTAVAIL)
	})
}

// Fact K4: every life of an interface leaks one of a v4 socket's 20 slots,
// unless the group is left on the old index (K3).
func TestK04StaleEntriesFillTheSocket(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	ok(t, n.SetSysctl("net/ipv4/igmp_max_memberships", "20"))
	careless, tidy := newSocket(t, n, v4), newSocket(t, n, v4)
	for life := range 21 {
		ok(t, n.Add(testnet.Bridge("br0"), testnet.Up))
		i, err := n.Index("br0")
		ok(t, err)
		err = careless.join(i, v4.channel)
		if life < 20 {
			ok(t, err)
		} else {
			wantErrno(t, "the 21st join", err, unix.ENOBUFS)
		}
		ok(t, tidy.join(i, v4.channel))
		ok(t, n.Set("br0", testnet.Deleted))
		ok(t, tidy.leaveGroup(i, v4.channel.group))
	}
}

// Fact K5: an index comes back for another life, on request or because an
// interface was moved away and back (it keeps the index where that is free in
// the other namespace). A socket with an old entry cannot join
// there: it is told that it is a member, or that a second source is fine, and
// hears nothing. Once it left the group it can.
func TestK05IndexReturnsForAnotherLife(t *testing.T) {
	ways := map[string]func(*lab){
		"recreated": (*lab).again,
		"moved": func(l *lab) {
			away := newNamespace(l.t)
			ok(l.t, l.Near.Set("eth0", testnet.MoveTo(away)))
			ok(l.t, away.Set("eth0", testnet.MoveTo(l.Near)))
			ok(l.t, l.Near.Set("eth0", testnet.Address("10.1.0.2/24", "2001:db8:1::2/64"), testnet.Up))
		},
	}
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				r, old := l.listener(f.channel), l.index()
				s := socketOf(t, r)
				l.hears(r)
				again(l)
				if l.index() != old {
					t.Fatalf("the index is %d, was %d", l.index(), old)
				}
				wantErrno(t, "joining again", s.join(old, f.channel), unix.EADDRNOTAVAIL)
				l.deaf(r)
				ok(t, s.join(old, f.other))
				l.deaf(r)
				l.wantUsers(0)

				ok(t, s.leaveGroup(old, f.channel.group))
				ok(t, s.join(old, f.channel))
				l.wantUsers(1)
				l.hears(r)
			})
		}
	})
}

// Fact K6: theft. Where an index lives again, whatever a stale socket of its
// former life does to get rid of its entry takes a fresh socket's membership
// away, also in another process. The fresh one does not notice, and cannot
// join again.
func TestK06TheftClosesAFreshMembership(t *testing.T) {
	thieves := map[string]func(*lab) (steal func()){
		"close": func(l *lab) func() { s := l.joined(); return func() { ok(l.t, s.close()) } },
		"leave group": func(l *lab) func() {
			s := l.joined()
			return func() { ok(l.t, s.leaveGroup(l.index(), l.channel.group)) }
		},
		"leave source": func(l *lab) func() {
			s := l.joined()
			return func() { ok(l.t, s.leave(l.index(), l.channel)) }
		},
		"another process": func(l *lab) func() { return newProcess(l.t, l.Near, l.index(), l.channel).end },
	}
	bothFamilies(t, func(t *testing.T, f family) {
		for name, thief := range thieves {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				steal := thief(l)
				l.again()
				theft(l, steal)
			})
		}
	})
}

// Fact K6 after K8: the protocol's end within an interface's life makes
// entries stale just so.
func TestK06TheftAfterTheProtocolEnded(t *testing.T) {
	t.Parallel()
	l := newLab(t, v6)
	s := l.joined()
	ok(t, l.Near.Set("eth0", testnet.MTU(1200), testnet.MTU(1500), testnet.Address("2001:db8:1::2/64")))
	theft(l, func() { ok(t, s.close()) })
}

// theft joins anew, lets the thief steal and looks at what the victim has.
func theft(l *lab, steal func()) {
	l.t.Helper()
	victim := l.listener(l.channel)
	l.hears(victim)
	l.wantUsers(1)
	steal()
	eventually(l.t, func() error { // a process may end a little later
		if got := l.users(l.index(), l.channel.group); got != 0 {
			return fmt.Errorf("%s has %d users", l.channel.group, got)
		}
		return nil
	})
	l.believes(socketOf(l.t, victim), l.index())
	wantErrno(l.t, "joining again", socketOf(l.t, victim).join(l.index(), l.channel), unix.EADDRNOTAVAIL)
	l.deaf(victim)
}

// Fact K29: a stale socket that is closed while its index is vacant harms
// nobody; while the index has another owner it is parked, open and unused.
func TestK29ParkingHarmsNobody(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		parked, index := l.joined(), l.index()
		l.again()
		second := l.listener(f.channel)
		l.hears(second)
		l.wantUsers(1)

		ok(t, l.Cut("eth0"))
		ok(t, parked.close())
		ok(t, second.Close())
		ok(t, l.Connect(testnet.Veth{Index: index}))
		third := l.listener(f.channel)
		l.hears(third)
		l.wantUsers(1)
	})
}

// Fact K30: ballast. A socket that must be kept gets rid of its stale entry at
// the cost of a helper, which joined just for that, and of nobody else.
func TestK30BallastKeepsCountsRight(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		keptReceiver := l.listener(f.channel)
		kept, index := socketOf(t, keptReceiver), l.index()
		l.again()
		neighbour := newProcess(t, l.Near, index, f.channel)
		hears := l.fed()
		l.hears(hears)

		l.joined() // the ballast, which never leaves
		l.wantUsers(2)
		ok(t, kept.leaveGroup(index, f.channel.group))
		l.wantUsers(1)
		l.hears(hears)
		ok(t, kept.join(index, f.channel))
		l.wantUsers(2)
		l.hears(keptReceiver)
		l.believes(kept, index)

		ok(t, kept.leave(index, f.channel))
		l.wantUsers(1)
		l.hears(hears)
		neighbour.end()
	})
}
