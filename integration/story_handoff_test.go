package integration

import (
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// An application's own socket hears before and after each kind of re-creation,
// and the application is told; when it takes the socket back, the channel is
// left, and the socket is as it was.
func storyHandedOver(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range lives {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, f, program)
				r := h.receiver()
				one, told := h.handOver(r)
				if s := one.Status(); s.State != membership.StateJoined || s.Name != "feed" {
					t.Errorf("answered %+v", s)
				}
				h.hears(r)
				again(h.lab)
				h.reattached(1)
				h.wantUsers(1)
				h.hears(r)
				told.wait(membership.EventAttached, membership.EventDetached, membership.EventReattached)
				from := len(h.capture.Reports())
				ok(t, one.Close())
				told.over(io.EOF, "")
				h.gone()
				h.left(h.capture, from, f.channel)
				h.wantUsers(0)
				ok(t, socketOf(t, r).join(h.index(), f.channel))
				h.hears(r)
			})
		}
	})
}

// Channels and rules are replaced, and what stays is not touched.
func storyHandoffChanged(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		h := newHouse(t, f, program)
		r := h.receiver()
		one, _ := h.handOver(r)
		more := h.entry()
		more.Channels = append(more.Channels, channelOf(f.spare(1)), channelOf(f.spare(2)))
		s, err := one.Put(h.ctx, more)
		if err != nil || s.Channels != 3 || s.Joined != 3 || s.Counters.Attaches != 1 {
			t.Fatalf("%+v, %v", s, err)
		}
		more.Channels, more.Interface = more.Channels[:2], ""
		_, err = one.Put(h.ctx, more)
		if p, ok := errors.AsType[*control.Problem](err); !ok || p.Type != control.TypeInvalid || len(p.Errors) == 0 || p.Errors[0].Path != "interface" {
			t.Errorf("%v, want what is wrong with the interface", err)
		}
		if n := h.users(h.index(), f.spare(2).group); n != 1 {
			t.Errorf("%d users after a bad request, want 1", n)
		}
		ok(t, h.Recreate("eth0", testnet.Veth{}))
		h.reattached(1)
		h.hears(r)
	})
}

// The configuration takes the name, or somebody removes the membership: the
// application hears of it, and has its socket for itself.
func storyHandoffEnded(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, end := range map[string]struct {
			by   func(*house)
			says string
		}{
			"removed": {(*house).leave, "the membership was removed"},
			"configured": {func(h *house) {
				h.write("memberships:\n  - {name: feed, channels: " + f.marker.String() + ", interface: eth0}\n")
			}, "the configuration has a membership of this name"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, f, program)
				r := h.receiver()
				_, told := h.handOver(r)
				h.hears(r)
				end.by(h)
				told.over(handoff.ErrEnded, end.says)
				if name == "removed" && len(told.types(membership.EventDetached)) != 1 {
					t.Errorf("was told %v, want that it was left before the end", told.types(membership.EventAttached, membership.EventDetached))
				}
				eventually(t, func() error {
					if n := h.users(h.index(), f.channel.group); n != 0 {
						return errors.New("it is joined still")
					}
					return nil
				})
				ok(t, r.Close())
				h.isFree()
			})
		}
	})
}

// The daemon dies, by itself or at a signal, also while the interface is away:
// the application keeps what it has, nothing goes out on the wire, and the next
// daemon has the socket again by itself.
func storyHandoffDaemonDies(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, signal := range map[string]unix.Signal{"killed": unix.SIGKILL, "terminated": unix.SIGTERM} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, f, program)
				r := h.receiver()
				one, told := h.handOver(r)
				h.hears(r)
				h.settled(h.capture) // both of the join
				from := h.mark(h.capture, 700)
				h.end(signal)
				told.wait(handoff.EventLost)
				h.hears(r)
				silent(t, h.capture, f.channel.group, from, h.mark(h.capture, 701))
				h.start()
				told.wait(handoff.EventLost, handoff.EventResumed)
				silent(t, h.capture, f.channel.group, from, h.mark(h.capture, 702))
				if s := one.Status(); s.State != membership.StateJoined {
					t.Errorf("after the restart: %+v", s)
				}
				h.wantUsers(1)
				ok(t, h.Recreate("eth0", testnet.Veth{}))
				h.reattached(1)
				h.hears(r)

				h.end(signal)
				h.again() // while nobody looks, at the index that the stale entry has
				h.start()
				h.daemon.await(inState(membership.StateJoined))
				h.wantUsers(1)
				h.hears(r)
			})
		}
	})
}

// From one daemon to the next without a gap: the socket that applications
// connect to goes along.
func storyHandoffTakenOver(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		h := newHouse(t, f, program)
		r := h.receiver()
		one, told := h.handOver(r)
		h.hears(r)
		h.settled(h.capture) // both of the join
		from := h.mark(h.capture, 700)
		first := h.daemon
		h.start("--takeover")
		if code := first.ended(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		told.wait(handoff.EventLost, handoff.EventResumed)
		silent(t, h.capture, f.channel.group, from, h.mark(h.capture, 701))
		if s := one.Status(); s.State != membership.StateJoined {
			t.Errorf("after it was taken over: %+v", s)
		}
		ok(t, h.Recreate("eth0", testnet.Veth{}))
		h.reattached(1)
		h.hears(r)
		h.end(unix.SIGTERM)
	})
}
