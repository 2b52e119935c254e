package integration

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// A socket that is connected to its source, address and port, hears that one
// alone, and goes on to.
func storyHandoffConnected(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		h := newHouse(t, f, program)
		const from = 6000 // the lab's sender has another
		background(t, testnet.NewSender(h.Far, testnet.SenderConfig{To: []netip.AddrPort{h.listen()}, Port: from}).Run)
		r := h.receiver()
		ok(t, socketOf(t, r).do(func(fd int) error {
			return unix.Connect(fd, sockaddr(netip.AddrPortFrom(f.channel.source, from)))
		}))
		h.handOver(r)
		h.hears(r)
		ok(t, h.Recreate("eth0", testnet.Veth{}))
		h.reattached(1)
		h.hears(r)
		h.again()
		h.reattached(2)
		h.hears(r)
	})
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// Several sockets at one port, each handed over by itself: each hears as before,
// also where one goes.
func storyHandoffReusedPort(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		h := newHouse(t, f, program)
		var all []*testnet.Receiver
		var handed []*handoff.Handoff
		for n := range 3 {
			r := h.receiver()
			entry := h.entry()
			entry.Name = fmt.Sprint("feed-", n)
			one, err := handoff.HandOver(h.ctx, r.Conn(), entry, handoff.Options{Socket: h.path()})
			ok(t, err)
			t.Cleanup(func() { _ = one.Close() })
			all, handed = append(all, r), append(handed, one)
		}
		h.wantUsers(3)
		ok(t, h.Recreate("eth0", testnet.Veth{}))
		for _, r := range all {
			h.hears(r)
		}
		h.wantUsers(3)
		ok(t, handed[0].Close())
		ok(t, all[0].Close())
		eventually(t, func() error {
			if n := h.users(h.index(), f.channel.group); n != 2 {
				return fmt.Errorf("%d users, want 2", n)
			}
			return nil
		})
		h.again()
		for _, r := range all[1:] {
			h.hears(r)
		}
		h.wantUsers(2)
	})
}

// A socket of another namespace than the daemon's is followed there.
func storyHandoffAbroad(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		h := newHouse(t, f, program)
		abroad := newLab(t, f)
		r := newReceiver(t, abroad.Near, testnet.ReceiverConfig{Listen: h.listen(), OwnOnly: true})
		one, told := h.handOver(r)
		if s := one.Status(); s.State != membership.StateJoined || len(s.Attachments) != 1 || s.Attachments[0].Netns == "" {
			t.Fatalf("answered %+v", s)
		}
		abroad.hears(r)
		h.wantUsers(0)
		ok(t, abroad.Recreate("eth0", testnet.Veth{}))
		h.reattached(1)
		abroad.hears(r)
		h.end(unix.SIGKILL)
		told.wait(handoff.EventLost)
		abroad.hears(r)
		abroad.again()
		h.start()
		told.wait(handoff.EventLost, handoff.EventResumed)
		h.daemon.await(inState(membership.StateJoined))
		abroad.hears(r)
		ok(t, one.Close())
		h.gone()
		if n := abroad.users(abroad.index(), f.channel.group); n != 0 {
			t.Errorf("%d users abroad after the end, want 0", n)
		}
	})
}

// The service manager listens for applications: who comes while no daemon runs
// waits for the next.
func storyHandoffActivated(t *testing.T, program string) {
	t.Parallel()
	s := newService(t, v4, program)
	path := filepath.Join(s.dir, "handoff.sock")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	ok(t, err)
	defer l.Close()
	ok(t, s.manager.Listen(l))
	s.env = []string{"SSMD_HANDOFF_SOCKET=" + path}
	r := newReceiver(t, s.Near, testnet.ReceiverConfig{Listen: s.listen(), OwnOnly: true})
	entry := handoff.Entry{Channels: []membership.Channel{channelOf(s.channel)}, Interface: "eth0"}
	handed := make(chan error, 1)
	go func() {
		one, err := handoff.HandOver(s.ctx, r.Conn(), entry, handoff.Options{Socket: path})
		if err == nil {
			t.Cleanup(func() { _ = one.Close() })
		}
		handed <- err
	}()
	d := s.start()
	ok(t, <-handed)
	s.hears(r)
	s.stop(d)
	s.hears(r)
	d = s.start()
	eventually(t, func() error {
		all, err := d.client.Memberships(s.ctx)
		if err == nil && len(all) != 2 { // the file's feed, and this
			err = fmt.Errorf("%d memberships, want 2", len(all))
		}
		return err
	})
	ok(t, s.Recreate("eth0", testnet.Veth{}))
	s.hears(r)
	s.stop(d)
}

// Two wishes on one socket, over two connections: one ends, the other does not
// notice, also where both want the same channel.
func storyHandoffSharedSocket(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, other := range map[string]channel{"same channel": f.channel, "another channel": f.spare(1)} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, f, program)
				r := h.receiver()
				entry := h.entry()
				entry.Name, entry.Channels = "first", []membership.Channel{channelOf(other)}
				first, err := handoff.HandOver(h.ctx, r.Conn(), entry, handoff.Options{Socket: h.path()})
				ok(t, err)
				t.Cleanup(func() { _ = first.Close() })
				second, _ := h.handOver(r)
				h.hears(r)
				ok(t, first.Close())
				eventually(t, func() error {
					_, err := h.daemon.client.Membership(h.ctx, "first")
					if err == nil {
						err = fmt.Errorf("it is still there")
					}
					if errors.Is(err, membership.ErrNotFound) {
						return nil
					}
					return err
				})
				h.hears(r)
				h.wantUsers(1)
				more := h.entry()
				more.Channels = append(more.Channels, channelOf(f.spare(2)))
				s, err := second.Put(h.ctx, more)
				if err != nil || s.Joined != 2 {
					t.Errorf("one channel more: %+v, %v", s, err)
				}
				if name == "same channel" {
					ok(t, h.Recreate("eth0", testnet.Veth{}))
					h.reattached(1)
					h.hears(r)
					h.again()
					h.reattached(2)
					h.hears(r)
					h.wantUsers(1)
				}
				ok(t, second.Close())
				h.gone()
				h.wantUsers(0)
			})
		}
	})
}
