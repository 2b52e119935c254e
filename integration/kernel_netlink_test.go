package integration

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Fact K7: to a listener, an interface that moves to another namespace is
// deleted. Either way its addresses are removed first, so when its removal is
// heard of, they are known no more. One socket that subscribed to links and
// addresses hears it in that order (K23).
func TestK07AddressesGoBeforeTheLink(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testnet.Network) testnet.Change{
		"deleted": func(*testnet.Network) testnet.Change { return testnet.Deleted },
		"moved":   func(n *testnet.Network) testnet.Change { return testnet.MoveTo(n.Far) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			index, err := n.Near.Index("eth0")
			ok(t, err)
			m := newMonitor(t, n.Near, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
			ok(t, n.Near.Set("eth0", change(n)))
			before := m.until("DELLINK", is(unix.RTM_DELLINK, unix.AF_UNSPEC, index))
			for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
				if !slices.ContainsFunc(before, is(unix.RTM_DELADDR, family, index)) {
					t.Errorf("no DELADDR of family %d before the DELLINK: %v", family, before)
				}
			}
			for _, e := range m.mark(n.Near, "after") {
				if e.kind == unix.RTM_DELADDR && e.index == index {
					t.Errorf("%v after the DELLINK", e)
				}
			}
		})
	}
}

// Fact K10: an interface that leaves its bridge sends an RTM_DELLINK of family
// AF_BRIDGE and lives on. Link messages of the families AF_BRIDGE and AF_INET6
// tell less than those of AF_UNSPEC: no kind, no alias.
func TestK10NotEveryDelLinkIsARemoval(t *testing.T) {
	t.Parallel()
	l := newLab(t, v4)
	member := l.listener(v4.channel)
	l.hears(member)
	index := l.index()
	ok(t, l.Near.Set("eth0", testnet.Alias("uplink")))
	ok(t, l.Near.Add(testnet.Bridge("br0"), testnet.Up))
	m := newMonitor(t, l.Near, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFINFO)
	ok(t, l.Near.Set("eth0", testnet.Master("br0")))
	ok(t, l.Near.Set("eth0", testnet.NoMaster))
	events := m.until("the bridge's DELLINK", is(unix.RTM_DELLINK, unix.AF_BRIDGE, index))
	ok(t, l.Near.Set("eth0", testnet.Down, testnet.Up))
	events = append(events, m.until("a NEWLINK of IPv6", is(unix.RTM_NEWLINK, unix.AF_INET6, index))...)
	events = append(events, m.mark(l.Near, "after")...)

	full := false
	for _, e := range events {
		switch {
		case e.index != index:
		case e.kind == unix.RTM_DELLINK && e.family == unix.AF_UNSPEC:
			t.Errorf("the interface was removed: %v", events)
		case e.kind == unix.RTM_NEWLINK:
			told := e.attrs[unix.IFLA_IFALIAS] != nil && e.attrs[unix.IFLA_LINKINFO] != nil
			if told != (e.family == unix.AF_UNSPEC) {
				t.Errorf("%v tells kind and alias: %v", e, told)
			}
			full = full || told
		}
	}
	if !full {
		t.Error("no NEWLINK told kind and alias")
	}
	if l.index() != index {
		t.Error("eth0 has another index")
	}
	l.wantUsers(1)
	l.hears(member)
}

// Fact K21: the kernel tells when a group comes to an interface or goes, our
// own joins included, but not of a second source or socket, nor when the
// interface dies.
func TestK21GroupEvents(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		m := newMonitor(t, l.Near, unix.RTNLGRP_LINK, rtnlgrpIPv4McAddr, rtnlgrpIPv6McAddr)
		index, group := l.index(), f.channel.group
		ours := func(events []event) (kinds []uint16) {
			for _, e := range events {
				if e.index == index && e.group() == group {
					kinds = append(kinds, e.kind)
				}
			}
			return kinds
		}
		want := func(what string, want ...uint16) {
			t.Helper()
			if got := ours(m.mark(l.Near, what)); !slices.Equal(got, want) {
				t.Errorf("%s: events %v, want %v", what, got, want)
			}
		}
		first, second := l.joined(), l.socket()
		if got := ours(m.mark(l.Near, "probe")); got == nil {
			needs(t, "multicast address events (Linux 6.14)", unix.EOPNOTSUPP)
		} else if !slices.Equal(got, []uint16{unix.RTM_NEWMULTICAST}) {
			t.Errorf("a join: events %v", got)
		}
		ok(t, first.join(index, f.other))
		want("a second source")
		ok(t, second.join(index, f.channel))
		want("a second socket")
		ok(t, second.close())
		want("the second socket's end")
		ok(t, first.leaveGroup(index, group))
		want("the last leave", unix.RTM_DELMULTICAST)
		ok(t, first.join(index, f.channel))
		want("a join again", unix.RTM_NEWMULTICAST)
		ok(t, l.Cut("eth0"))
		want("the interface's end")
	})
}

// Fact K20, by netlink: RTM_GETMULTICAST lists the groups of an interface.
func TestK20DumpOfGroups(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		l.joined()
		af := unix.AF_INET
		if f.level == unix.IPPROTO_IPV6 {
			af = unix.AF_INET6
		}
		var messages [][]byte
		err := l.Near.Do(func() (err error) {
			request := nl.NewNetlinkRequest(unix.RTM_GETMULTICAST, unix.NLM_F_DUMP)
			request.AddData(nl.NewIfAddrmsg(af))
			messages, err = request.Execute(unix.NETLINK_ROUTE, 0)
			return err
		})
		needs(t, "RTM_GETMULTICAST", err)
		index := l.index()
		if !slices.ContainsFunc(messages, func(b []byte) bool {
			e := parseEvent(unix.RTM_NEWMULTICAST, b)
			return e.index == index && e.group() == f.channel.group
		}) {
			t.Errorf("%s on %d is not among %d groups", f.channel.group, index, len(messages))
		}
	})
}

// burst makes more events than a small buffer takes.
func burst(t testing.TB, n *testnet.Namespace) {
	t.Helper()
	ok(t, n.Add(testnet.Bridge("br0"), testnet.Up))
	for i := range 200 {
		ok(t, n.Set("br0", testnet.Alias(fmt.Sprint(i))))
	}
}

// Fact K23: when a listener's buffer is full, events are lost and the next
// read says ENOBUFS. The socket goes on afterwards.
func TestK23FullBufferLosesEvents(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	m := newMonitor(t, n, unix.RTNLGRP_LINK)
	ok(t, unix.SetsockoptInt(m.socket.GetFd(), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096))
	burst(t, n)
	lost, received := false, 0
	for !lost {
		messages, _, err := m.socket.Receive()
		received += len(messages)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			lost = true
		case err != nil:
			t.Fatal(err)
		}
	}
	if received >= 200 {
		t.Errorf("%d events although the buffer was full", received)
	}
	ok(t, m.socket.SetReceiveTimeout(&unix.Timeval{Usec: 1000}))
	for empty := false; !empty; {
		_, _, err := m.socket.Receive()
		empty = errors.Is(err, unix.EAGAIN)
	}
	ok(t, m.socket.SetReceiveTimeout(&unix.Timeval{Sec: 20}))
	m.mark(n, "goes on")
}

// Fact K23, the library: netlink.LinkSubscribe ends for good at the first
// ENOBUFS, with an error that does not wrap it.
func TestK23LinkSubscribeEndsAtTheFirstLoss(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	updates, stop, failed := make(chan netlink.LinkUpdate), make(chan struct{}), make(chan error, 1)
	defer close(stop)
	handle := n.Handle()
	ok(t, netlink.LinkSubscribeWithOptions(updates, stop, netlink.LinkSubscribeOptions{
		Namespace: &handle, ErrorCallback: func(err error) { failed <- err }, ReceiveBufferSize: 4096,
	}))
	burst(t, n)
	ctx := patience(t)
	for open := true; open; {
		select {
		case _, open = <-updates:
		case <-ctx.Done():
			t.Fatal("the subscription goes on")
		}
	}
	if err := <-failed; err == nil || errors.Is(err, unix.ENOBUFS) {
		t.Errorf("the error is %v", err)
	}
}
