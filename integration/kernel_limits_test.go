package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"golang.org/x/sys/unix"
)

// fill joins until the kernel refuses, and returns how often it did not.
func fill(limit int, join func(i int) error) (int, error) {
	for i := range limit {
		if err := join(i); err != nil {
			return i, err
		}
	}
	return limit, nil
}

// wantRefusal checks how many joins there were before which error.
func wantRefusal(t *testing.T, what string, got, least, most int, err error, errnos ...error) {
	t.Helper()
	known := false
	for _, e := range errnos {
		known = known || errors.Is(err, e)
	}
	if got < least || got > most || !known {
		t.Errorf("%s: %d, then %v; want %d to %d, then one of %v", what, got, err, least, most, errnos)
	}
}

func sysctl(t *testing.T, n *testnet.Namespace, path string) int {
	t.Helper()
	s, err := n.Sysctl(path)
	ok(t, err)
	i, err := strconv.Atoi(s)
	ok(t, err)
	return i
}

// Fact K16: a socket takes so many groups and so many sources of a group, and
// the next socket as many again.
func TestK16LimitsOfASocket(t *testing.T) {
	t.Parallel()
	l := newLab(t, v4)
	groups, sources := sysctl(t, l.Near, "net/ipv4/igmp_max_memberships"), sysctl(t, l.Near, "net/ipv4/igmp_max_msf")
	if groups != 20 || sources != 10 {
		t.Errorf("the limits are %d groups and %d sources, not 20 and 10", groups, sources)
	}
	index := l.index()
	for range 2 {
		s := l.socket()
		got, err := fill(5000, func(i int) error { return s.join(index, v4.spare(i)) })
		wantRefusal(t, "groups", got, groups, groups, err, unix.ENOBUFS)
		s = l.socket()
		got, err = fill(5000, func(i int) error { return s.join(index, manySources(v4, i)) })
		wantRefusal(t, "sources", got, sources, sources, err, unix.ENOBUFS)
	}
	ok(t, l.Near.SetSysctl("net/ipv4/igmp_max_memberships", "100000"))
	s := l.socket()
	got, err := fill(20000, func(i int) error { return s.join(index, v4.spare(i)) })
	wantRefusal(t, "groups, limited by memory", got, 100, 19999, err, unix.ENOBUFS, unix.ENOMEM)
	if optmem, err := l.Near.Sysctl("net/core/optmem_max"); err == nil && optmem == "131072" && (got < 1000 || got > 1400) {
		t.Errorf("%d groups with the usual memory, want about 1170", got)
	}
}

// Fact K16 for IPv6.
func TestK16LimitsOfASocketIPv6(t *testing.T) {
	t.Parallel()
	l := newLab(t, v6)
	index := l.index()
	for range 2 {
		s := l.socket()
		got, err := fill(5000, func(i int) error { return s.join(index, manySources(v6, i)) })
		wantRefusal(t, "sources", got, 64, 64, err, unix.ENOBUFS)
		s = l.socket()
		got, err = fill(20000, func(i int) error { return s.join(index, v6.spare(i)) })
		wantRefusal(t, "groups", got, 100, 19999, err, unix.ENOMEM, unix.ENOBUFS)
		if optmem, err := l.Near.Sysctl("net/core/optmem_max"); err == nil && optmem == "131072" && (got < 450 || got > 650) {
			t.Errorf("%d groups with the usual memory, want about 546", got)
		}
	}
}

// manySources returns channels of one group.
func manySources(f family, i int) channel {
	if f.name == "v4" {
		return channel{netip.AddrFrom4([4]byte{10, 3, byte(i >> 8), byte(i)}), f.channel.group}
	}
	source := f.channel.source.As16()
	source[7], source[14], source[15] = 3, byte(i>>8), byte(i)
	return channel{netip.AddrFrom16(source), f.channel.group}
}

// Fact K17: on one socket a group is joined either for any source or for
// given ones. A source after any source takes its place; any source after a
// source is refused.
func TestK17AnySourceAndSourcesExclude(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		index, anySource := l.index(), channel{group: f.channel.group}
		s := l.socket()
		ok(t, s.join(index, anySource))
		if mode, sources, err := s.filter(index, f.channel.group); mode != unix.MCAST_EXCLUDE || sources != 0 || err != nil {
			t.Errorf("the filter is mode %d with %d sources, %v; want EXCLUDE with none", mode, sources, err)
		}
		ok(t, s.join(index, f.channel))
		l.believes(s, index)
		wantErrno(t, "any source besides a source", s.join(index, anySource), unix.EADDRINUSE)
		l.wantUsers(1)
	})
}

// Fact K18: a socket that is bound to a device is bound to its index. On a
// later life it hears nothing, although it joined there, until it is bound to
// the device of that name again.
func TestK18BindToDevicePinsTheIndex(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, old := l.listener(f.channel), l.index()
		s := socketOf(t, r)
		ok(t, s.bindToDevice("eth0"))
		l.hears(r)
		ok(t, l.Recreate("eth0", testnet.Veth{}))
		ok(t, s.leaveGroup(old, f.channel.group))
		ok(t, s.join(l.index(), f.channel))
		l.wantUsers(1)
		l.deaf(r)
		ok(t, s.bindToDevice("eth0"))
		l.hears(r)
	})
}

// Fact K20: the list of filters in /proc leaves out an interface whose newest
// group has no source, as anyone's any-source join. The list of groups is
// complete.
func TestK20ListOfFiltersIsIncomplete(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		file := "/proc/thread-self/net/mcfilter"
		if f.name == "v6" {
			file += "6"
		}
		s, spare := l.joined(), 0
		ok(t, testnet.Eventually(l.ctx, func() error {
			if strings.Contains(readIn(t, l.Near, file), "eth0") {
				return nil
			}
			spare++ // one that is newer than those of addresses that came late
			ok(t, s.join(l.index(), f.spare(spare)))
			return fmt.Errorf("%s has no eth0 with the newest group's source", file)
		}))
		ok(t, l.socket().join(l.index(), channel{group: f.marker.group}))
		if list := readIn(t, l.Near, file); strings.Contains(list, "eth0") {
			t.Errorf("%s has eth0 after an any-source join:\n%s", file, list)
		}
		l.wantUsers(1)
	})
}

// Fact K20, the way out: the list is whole from the first interface that it
// shows. A channel on the loopback interface, which is the first of all, makes
// it whole; any group without a source that is newer there ends that.
func TestK20ChannelOnLoopbackMakesTheListWhole(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		s := l.joined()
		ok(t, l.socket().join(l.index(), channel{group: f.marker.group}))
		list := func(want bool) {
			t.Helper()
			shown := false
			ok(t, l.Near.Do(func() error {
				return ifwatch.VisitFilters(f.watched(), func(x ifwatch.Filter) {
					shown = shown || x == ifwatch.Filter{Index: l.index(), Group: f.channel.group, Source: f.channel.source}
				})
			}))
			if shown != want {
				t.Errorf("the filter is listed: %v, want %v", shown, want)
			}
		}
		list(false)
		ok(t, s.join(ifwatch.LoopbackIndex, f.spare(1)))
		list(true)
		hiding := l.socket()
		ok(t, hiding.join(ifwatch.LoopbackIndex, channel{group: f.marker.group}))
		list(false)
		ok(t, hiding.close())
		list(true)
	})
}

// Fact K20, one more: while an interface is down no source is listed of it. The
// groups tell that it is: of IPv4 all hosts is not among them, of IPv6 all nodes
// is not loaded.
func TestK20NoFiltersWhileDown(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		ok(t, l.joined().join(ifwatch.LoopbackIndex, f.spare(1)))
		list := func(want bool) {
			t.Helper()
			eventually(t, func() error {
				shown := false
				var groups ifwatch.Groups
				ok(t, l.Near.Do(func() (err error) {
					err = ifwatch.VisitFilters(f.watched(), func(x ifwatch.Filter) {
						shown = shown || x == ifwatch.Filter{Index: l.index(), Group: f.channel.group, Source: f.channel.source}
					})
					groups, _ = ifwatch.ListGroups(f.watched())
					return err
				}))
				if up := groups.Up[l.index()]; shown != want || up != want {
					return fmt.Errorf("the filter is listed: %v, the interface up: %v; want %v", shown, up, want)
				}
				return nil
			})
		}
		list(true)
		ok(t, l.Near.Set("eth0", testnet.Down))
		list(false)
		l.wantUsers(1)
		ok(t, l.Near.Set("eth0", testnet.Up))
		list(true)
	})
}

// Fact K22: a socket's filter can be asked for a group and an index, where it
// is a member. Another process's socket can be had with pidfd_getfd, and
// answers, joins and leaves like one's own.
func TestK22FilterOfAnotherProcess(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		p := newProcess(t, l.Near, l.index(), f.channel)
		pidfd, err := unix.PidfdOpen(p.pid, 0)
		needs(t, "pidfd_open", err)
		defer unix.Close(pidfd)
		fd, err := unix.PidfdGetfd(pidfd, p.fd, 0)
		needs(t, "pidfd_getfd", err)
		s := newSocketFrom(t, fd, f)

		l.believes(s, l.index())
		_, _, err = s.filter(l.index(), f.marker.group)
		wantErrno(t, "the filter of another group", err, unix.EADDRNOTAVAIL)
		ok(t, s.join(l.index(), f.spare(1)))
		if got := l.users(l.index(), f.spare(1).group); got != 1 {
			t.Errorf("%d users of what its socket joined", got)
		}
		ok(t, s.leave(l.index(), f.channel))
		l.wantUsers(0)
	})
}

// Fact K24: a socket keeps its namespace alive, with its interfaces.
func TestK24SocketKeepsItsNamespace(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := &lab{newNetwork(t), t, patience(t), f}
		s := newSocket(t, l.Far, f)
		l.Far.Close()

		later := newNetwork(t) // the kernel cleans up in order
		later.Far.Close()
		gone := func(n *testnet.Network) func() error {
			return func() error {
				if _, err := n.Near.Index("eth0"); err != nil {
					return nil
				}
				return errors.New("eth0 is still there")
			}
		}
		eventually(t, gone(later))
		if err := gone(l.Network)(); err == nil {
			t.Error("the namespace ended before its socket")
		}
		ok(t, s.close())
		eventually(t, gone(l.Network))
	})
}

// Fact K25: any socket that is bound to the port hears what another one
// joined, in any process, unless its IP_MULTICAST_ALL or IPV6_MULTICAST_ALL
// is 0.
func TestK25MembershipFeedsOthers(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		to := netip.AddrPortFrom(f.channel.group, port)
		plain := newReceiver(t, l.Near, testnet.ReceiverConfig{Listen: to})
		strict := newReceiver(t, l.Near, testnet.ReceiverConfig{Listen: to, OwnOnly: true})
		l.deaf(plain)
		p := newProcess(t, l.Near, l.index(), f.channel)
		l.hears(plain)
		l.deaf(strict)
		p.end()
		l.deaf(plain)
	})
}
