package adopt

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// An interface that is moved to another namespace and back keeps its index, and
// has another life.
func TestAdoptedOutAndBack(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		fd := s.joined()
		s.adopt()
		s.awaitJoined(fd, 0)
		elsewhere, err := testnet.New()
		ok(t, err)
		t.Cleanup(elsewhere.Close)
		index := s.index()
		ok(t, s.Near.Set("eth0", testnet.MoveTo(elsewhere)))
		ok(t, elsewhere.Set("eth0", testnet.MoveTo(s.Near)))
		ok(t, s.Near.Set("eth0", testnet.Address("10.1.0.2/24"), testnet.Address("2001:db8:1::2/64"), testnet.Up))
		if s.index() != index {
			t.Fatalf("the index is %d, was %d", s.index(), index)
		}
		s.awaitJoined(fd, 1)
		s.hears(fd)
	})
}

// A socket that is bound to the device, to the group's address, connected to the
// source, and one of several on its port: all hear again (K18).
func TestAdoptedSocketsOfEachKind(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, make := range map[string]func(*stage) int{
			"device": func(s *stage) int {
				fd := s.joined()
				s.do(order{Do: "bind", FD: fd, Name: "eth0"})
				return fd
			},
			"any address": func(s *stage) int {
				unbound := netip.IPv4Unspecified()
				if f.group.Is6() {
					unbound = netip.IPv6Unspecified()
				}
				fd := s.do(order{Do: "open", Group: unbound, Port: port})
				s.joinOn(fd, s.index())
				return fd
			},
			"connected": func(s *stage) int {
				fd := s.joined()
				s.do(order{Do: "connect", FD: fd, Source: f.source, Port: from})
				return fd
			},
			"reuse port": func(s *stage) int {
				var fd int
				for range 2 {
					fd = s.do(order{Do: "open", Group: f.group, Port: port, Name: "reuseport"})
					s.joinOn(fd, s.index())
				}
				return fd
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, f)
				fd := make(s)
				s.adopt()
				s.awaitJoined(fd, 0)
				s.hears(fd)
				for n := range 3 {
					ok(t, s.Recreate("eth0", testnet.Veth{Index: s.index() * (n % 2)}))
					s.awaitJoined(fd, uint64(n+1))
					s.hears(fd)
				}
			})
		}
	})
}

// What somebody else's stale socket took is joined again (K6), and the program's
// socket is not robbed meanwhile.
func TestAdoptedIsRobbed(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		thief := newPuppet(t, s.Near, nil)
		stale := thief.do(order{Do: "open", Group: f.group, Port: port})
		thief.do(order{Do: "join", FD: stale, Index: s.index(), Group: f.group, Source: f.source})
		s.recreate(testnet.Veth{Index: s.index()})
		fd := s.joined()
		s.adopt()
		s.awaitJoined(fd, 0)
		s.hears(fd)
		thief.do(order{Do: "close", FD: stale})
		s.await(s.name(fd), func(status membership.Status) error {
			if status.Counters.Repairs == 0 || status.State != membership.StateJoined {
				return fmt.Errorf("it was not repaired")
			}
			return nil
		})
		s.hears(fd)
	})
}

// A process in another network namespace than ssmd's is followed there.
func TestAdoptedElsewhere(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		there := newLab(t, f)
		fd := there.joined()
		one, err := s.adopter.Adopt(s.ctx, Selection{PID: there.pid}, nil)
		ok(t, err)
		if len(one.Memberships) != 1 {
			t.Fatalf("adopted %+v", one)
		}
		at := &stage{lab: there, manager: s.manager}
		at.awaitJoined(fd, 0)
		for n := range 3 {
			ok(t, there.Recreate("eth0", testnet.Veth{Index: there.index() * (n % 2)}))
			at.awaitJoined(fd, uint64(n+1))
			at.awaitUsers(1)
		}
	})
}

// only returns the name of the only membership that there is.
func (s *stage) only() string {
	s.t.Helper()
	all := s.adopter.Adoptions()
	if len(all) != 1 || len(all[0].Memberships) != 1 {
		s.t.Fatalf("adopted %+v, want one membership", all)
	}
	return all[0].Memberships[0]
}

// A process that puts other sockets in the place of one, as fast as it can, is
// never mistaken: nothing is joined on the others, and theirs stays.
func TestAdoptedShufflesDescriptors(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f)
		fd, other := s.joined(), s.open()
		const spare = 100
		s.adopt()
		s.awaitJoined(fd, 0)
		for n := range 5 {
			s.do(order{Do: "dup", FD: fd, To: spare + n}) // it moves on
			s.do(order{Do: "dup", FD: other, To: fd})     // and another one is in its place
			ok(t, s.Recreate("eth0", testnet.Veth{}))
			fd = spare + n
			s.await(s.only(), func(status membership.Status) error {
				if status.State != membership.StateJoined || status.Counters.Reattaches != uint64(n+1) {
					return fmt.Errorf("%d reattaches", status.Counters.Reattaches)
				}
				return nil
			})
			s.hears(fd)
			if got := s.users(); got != 1 {
				t.Errorf("%d users", got)
			}
			if rows := s.rows(); len(rows) != 1 {
				t.Errorf("the process has %+v", rows)
			}
		}
	})
}

// Another program in the same process keeps the sockets that it inherits.
func TestAdoptedExecs(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	fd := s.joined()
	s.adopt()
	s.awaitJoined(fd, 0)
	ok(t, s.orders.Encode(order{Do: "exec"})) // and does not answer
	ok(t, testnet.Eventually(s.ctx, func() error {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.pid))
		if err == nil && !strings.HasPrefix(string(line), "another-name") {
			err = fmt.Errorf("it is %q still", line)
		}
		return err
	}))
	ok(t, s.Recreate("eth0", testnet.Veth{}))
	s.await(s.only(), func(status membership.Status) error {
		if status.State != membership.StateJoined || status.Counters.Reattaches != 1 {
			return fmt.Errorf("%d reattaches", status.Counters.Reattaches)
		}
		return nil
	})
	s.hears(fd)
}

// Many sockets, and among them some with memberships.
func TestAdoptedHasManySockets(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	fd := s.joined()
	for range 2000 {
		s.open()
	}
	last := s.joined()
	s.adopt()
	s.awaitJoined(fd, 0)
	s.awaitJoined(last, 0)
	ok(t, s.Recreate("eth0", testnet.Veth{}))
	s.awaitJoined(fd, 1)
	s.awaitJoined(last, 1)
	s.awaitUsers(2)
}

// Many sockets, each with a membership: more than one look's worth of work.
func TestAdoptedJoinsOnManySockets(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		const many = 500
		s := newStage(t, f)
		var last int
		for range many {
			last = s.joined()
		}
		if one := s.adopt(); len(one.Memberships) != many {
			t.Fatalf("%d memberships", len(one.Memberships))
		}
		s.awaitJoined(last, 0)
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.awaitUsers(many)
		s.awaitJoined(last, 1)
		ok(t, s.Recreate("eth0", testnet.Veth{Index: s.index()}))
		s.awaitUsers(many)
		s.hears(last)
	})
}

// Nothing of a process is held between two looks: what it closes is closed.
func TestAdoptedClosesItsPort(t *testing.T) {
	t.Parallel()
	s := newStage(t, v4)
	fd := s.joined()
	s.adopt()
	s.awaitJoined(fd, 0)
	s.do(order{Do: "close", FD: fd})
	s.awaitUsers(0)
	ok(t, testnet.Eventually(s.ctx, s.bindAlone)) // a look may be under way
	s.awaitGone(fd)
}
