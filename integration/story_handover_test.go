package integration

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
	"golang.org/x/sys/unix"
)

// startManager runs a manager that goes on from what was handed over, and makes
// it the stage's.
func (s *stage) startManager(h *membership.Handover) (run chan error) {
	s.t.Helper()
	s.manager = membership.New(membership.Options{Watch: ifwatch.Options{Within: s.Near.Do}, Handover: h})
	s.events = newJournal(s.t, s.manager)
	ctx, cancel := context.WithCancel(context.Background())
	run, ended := make(chan error, 1), make(chan struct{})
	go func(m *membership.Manager) {
		defer close(ended)
		run <- m.Run(ctx)
	}(s.manager)
	s.t.Cleanup(func() {
		cancel()
		<-ended
	})
	return run
}

// handOver ends the stage's manager and returns what it had.
func (s *stage) handOver(run <-chan error) membership.Handover {
	s.t.Helper()
	var handed membership.Handover
	ok(s.t, s.manager.HandOver(s.ctx, func(h membership.Handover) (err error) {
		handed, err = duplicated(h)
		return err
	}))
	ok(s.t, <-run)
	return handed
}

func duplicated(h membership.Handover) (membership.Handover, error) {
	h.Descriptors = append([]int{}, h.Descriptors...)
	for n, fd := range h.Descriptors {
		var err error
		if h.Descriptors[n], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			return h, err
		}
	}
	return h, nil
}

// handedStage is a stage whose feed is joined by a manager that can be replaced.
func handedStage(t *testing.T, f family, feed membership.Membership) (*stage, chan error) {
	t.Helper()
	s := &stage{lab: newLab(t, f)}
	s.capture = newCapture(t, s.Far)
	run := s.startManager(nil)
	s.apply(feed)
	s.wait("feed", membership.StateJoined)
	s.settled(s.capture)
	s.settled(s.capture)
	return s, run
}

// From one manager to the next, again and again: nothing on the wire, and not one
// datagram of a stream of a thousand a second is lost.
func TestStoryHandover(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s, run := handedStage(t, f, f.feed())
		sockets := socketsIn(t, s.Near)
		to := netip.AddrPortFrom(f.channel.group, port+1)
		background(t, testnet.NewSender(s.Far, testnet.SenderConfig{To: []netip.AddrPort{to}, Every: time.Millisecond}).Run)
		receiver := newReceiver(t, s.Near, testnet.ReceiverConfig{Listen: to})
		ok(t, receiver.WaitNew(s.ctx, 100))
		lost := receiver.Stats().Lost
		s.quietly(func() {
			for range 10 {
				handed := s.handOver(run)
				run = s.startManager(&handed)
				s.apply(f.feed())
				if status := s.wait("feed", membership.StateJoined); status.Counters != (membership.Counters{Attaches: 1}) {
					t.Errorf("%+v", status)
				}
				ok(t, receiver.WaitNew(s.ctx, 100))
			}
		})
		if lost = receiver.Stats().Lost - lost; lost > 0 {
			t.Errorf("%d datagrams lost", lost)
		}
		s.wantUsers(1)
		wantSockets(t, s.Near, sockets+2) // the receiver's and the mark's
		// It is the last one's now, whole: it can leave it.
		from := len(s.capture.Reports())
		s.apply()
		s.left(s.capture, from, f.channel)
		s.wantUsers(0)
	})
}

// Whoever is to have it does not take it: the manager goes on.
func TestStoryHandoverRefused(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s, run := handedStage(t, f, f.feed())
		refusal := errors.New("no, thanks")
		s.quietly(func() {
			if err := s.manager.HandOver(s.ctx, func(membership.Handover) error { return refusal }); !errors.Is(err, refusal) {
				t.Errorf("said %v", err)
			}
			s.hears(s.fed())
		})
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.reattached(1)
		s.hears(s.fed())
		select {
		case err := <-run:
			t.Errorf("ended: %v", err)
		default:
		}
	})
}

// The interface is re-created between the two managers. The second knows what the
// first one had, that it is over, and joins anew; it takes nothing from another
// process that was faster.
func TestStoryHandoverOverARecreation(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		ways := f.sameIndex()
		ways["another index"] = func(l *lab) { ok(l.t, l.Recreate("eth0", testnet.Veth{})) }
		for name, again := range ways {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				feed := f.feed()
				feed.Rules.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.Subnet}}
				s, run := handedStage(t, f, feed)
				handed := s.handOver(run)
				again(s.lab)
				neighbour := newProcess(t, s.Near, s.index(), f.channel)
				s.startManager(&handed)
				s.apply(feed)
				s.reattached(1)
				s.wantUsers(2)
				s.hears(s.fed())
				neighbour.end()
				s.wantUsers(1)
				s.hears(s.fed())
			})
		}
	})
}

// Descriptors are missing, and others are among them.
func TestStoryHandoverInPieces(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		feed := f.feed()
		for i := range 60 {
			feed.Channels = append(feed.Channels, channelOf(f.spare(i)))
		}
		s, run := handedStage(t, f, feed)
		handed := s.handOver(run)
		last := len(handed.Descriptors) - 1 // a socket: the life probe is the first
		ok(t, unix.Close(handed.Descriptors[last]))
		other, others, err := os.Pipe()
		ok(t, err)
		defer other.Close()
		fd, err := unix.Dup(int(others.Fd()))
		ok(t, errors.Join(err, others.Close()))
		handed.Descriptors[last] = fd
		s.startManager(&handed)
		s.apply(feed)
		s.wait("feed", membership.StateJoined)
		s.wantUsers(1)
		s.hears(s.fed())
		if _, err := other.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the strange descriptor is still open: %v", err)
		}
	})
}

// Without its life probe nobody knows whose life a socket is of: it is kept
// aside, and harms nobody.
func TestStoryHandoverWithoutTheProbe(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s, run := handedStage(t, f, f.feed())
		handed := s.handOver(run)
		ok(t, unix.Close(handed.Descriptors[0]))
		handed.Descriptors = handed.Descriptors[1:]
		s.startManager(&handed)
		s.apply(f.feed())
		s.wait("feed", membership.StateJoined)
		s.hears(s.fed())
		s.wantUsers(2)
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.await("feed", inState(membership.StateJoined))
		s.hears(s.fed())
		s.wantUsers(1)
	})
}

// A manager that ends before it is told what to keep leaves everything, also what is
// of a namespace that it never looked at.
func TestStoryHandoverToNobody(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, place := range map[string]string{"the own namespace": "", "another namespace": "another"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s, run := handedStage(t, f, f.feed())
				handed := s.handOver(run)
				s.wantUsers(1)
				if place != "" {
					handed.Holdings[0].Place = place
				}
				m := membership.New(membership.Options{Watch: ifwatch.Options{Within: s.Near.Do}, Handover: &handed})
				ctx, cancel := context.WithCancel(s.ctx)
				cancel()
				ok(t, m.Run(ctx))
				s.wantUsers(0)
			})
		}
	})
}
