package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/service/servicetest"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// service is a daemon that a service manager starts, again and again.
type service struct {
	*stage
	manager      *servicetest.Manager
	program, dir string
	env          []string // for the next start
	readied      int      // how often it was ready
}

func newService(t *testing.T, f family, program string) *service {
	t.Helper()
	l := newLab(t, f)
	manager, err := servicetest.New(openDir(t), 1000)
	ok(t, err)
	t.Cleanup(func() { _ = manager.Close() })
	return &service{stage: &stage{lab: l, capture: newCapture(t, l.Far)}, manager: manager, program: program, dir: l.daemonDir()}
}

// launch starts the daemon.
func (s *service) launch() *daemon {
	s.t.Helper()
	s.readied = s.told("READY=1")
	cmd := s.manager.Command(s.program, runArgs(s.dir)...)
	defer servicetest.Release(cmd)
	cmd.Env = append(cmd.Env, s.env...)
	return startAs(s.lab, s.dir, cmd, nil)
}

// start launches the daemon and waits until it is ready.
func (s *service) start() *daemon {
	s.t.Helper()
	d := s.launch()
	eventually(s.t, func() error {
		if s.told("READY=1") == s.readied {
			return fmt.Errorf("not ready: told %q", s.manager.Messages())
		}
		return nil
	})
	return d
}

// told counts the messages with a line.
func (s *service) told(line string) (times int) {
	for _, m := range s.manager.Messages() {
		if slices.Contains(strings.Split(m, "\n"), line) {
			times++
		}
	}
	return times
}

func (s *service) stop(d *daemon) {
	s.t.Helper()
	d.signal(unix.SIGTERM)
	if code := d.ended(); code != 0 {
		s.t.Errorf("exit code %d", code)
	}
}

// joinedFirst starts the daemon for the first time, and waits until the network
// has heard of it.
func (s *service) joinedFirst() *daemon {
	s.t.Helper()
	d := s.start()
	d.await(inState(membership.StateJoined, "eth0"))
	s.settled(s.capture)
	return d
}

// quietly does something of which the network must not hear.
func (s *service) quietly(do func()) {
	s.t.Helper()
	from := len(s.capture.Reports())
	do()
	silent(s.t, s.capture, s.channel.group, from, s.mark())
}

// lossless does something while a receiver hears a thousand datagrams a second,
// and must lose none.
func (l *lab) lossless(do func(receiver *testnet.Receiver)) {
	l.t.Helper()
	to := netip.AddrPortFrom(l.channel.group, port+1)
	background(l.t, testnet.NewSender(l.Far, testnet.SenderConfig{To: []netip.AddrPort{to}, Every: time.Millisecond}).Run)
	receiver := newReceiver(l.t, l.Near, testnet.ReceiverConfig{Listen: to})
	ok(l.t, receiver.WaitNew(l.ctx, 100))
	lost := receiver.Stats().Lost
	do(receiver)
	ok(l.t, receiver.WaitNew(l.ctx, 100))
	if lost = receiver.Stats().Lost - lost; lost > 0 {
		l.t.Errorf("%d datagrams lost", lost)
	}
}

// Restarts by a service manager that keeps the sockets: nothing on the wire, and
// nothing lost. Where it keeps them no more, the groups are left.
func storyRestarted(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newService(t, f, program)
		d := s.joinedFirst()
		s.lossless(func(receiver *testnet.Receiver) {
			s.quietly(func() {
				for range 5 {
					told := len(s.manager.Messages())
					s.stop(d)
					ok(t, receiver.WaitNew(s.ctx, 50))
					if kept := len(s.manager.Stored()); kept < 2 {
						t.Errorf("%d descriptors are kept", kept)
					}
					d = s.start()
					s.wantTold(told, "READY=1\nSTATUS=1 of 1 membership joined, 1 channel")
					if status := d.await(inState(membership.StateJoined)); status.Counters != (membership.Counters{Attaches: 1}) {
						t.Errorf("%+v", status.Counters)
					}
					if kept := s.manager.Stored(); kept != nil {
						t.Errorf("still kept: %v", kept)
					}
				}
			})
		})
		s.wantUsers(1)
		s.stop(d)
		s.wantUsers(1)
		from := len(s.capture.Reports())
		ok(t, s.manager.Close())
		s.left(s.capture, from, f.channel)
		s.wantUsers(0)
	})
}

// While nothing runs the interface gets another life, be it with the same index.
// Nobody who joined there meanwhile is robbed, and nothing stale stays.
func storyRestartedLater(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range f.sameIndex() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newService(t, f, program)
				d := s.joinedFirst()
				s.stop(d)
				again(s.lab)
				neighbour := s.listener(f.channel)
				d = s.start()
				d.await(inPlaceOf(1))
				s.wantUsers(2)
				s.hears(neighbour)
				ok(t, neighbour.Close())
				s.wantUsers(1)
				s.hears(s.fed())
			})
		}
	})
}

// Killed at any moment of the end, and then of the start.
func storyRestartKilled(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newService(t, f, program)
		d := s.joinedFirst()
		for range 15 {
			d.signal(unix.SIGTERM)
			d.killAfter(rand.N(4 * time.Millisecond))
			d = s.launch()
			d.killAfter(rand.N(60 * time.Millisecond))
			d = s.start()
			d.await(inState(membership.StateJoined))
			s.wantUsers(1)
			if kept := s.manager.Stored(); kept != nil {
				t.Errorf("still kept: %v", kept)
			}
		}
		s.hears(s.fed())
		s.stop(d)
		ok(t, s.manager.Close())
		s.wantUsers(0)
	})
}

// killAfter kills the daemon in the middle of what it does, if it has not ended.
func (d *daemon) killAfter(wait time.Duration) {
	d.t.Helper()
	select {
	case <-time.After(wait):
	case <-d.done:
	}
	_ = d.cmd.Process.Kill()
	d.ended()
}

// successor starts a daemon that takes over.
func successor(l *lab, program, dir string, flags ...string) *daemon {
	l.t.Helper()
	return startAs(l, dir, exec.Command(program, append(append(runArgs(dir), "--takeover"), flags...)...), nil)
}

// From one daemon to the next without a service manager. Clients wait, and never
// find nobody.
func storyTakenOver(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := &stage{lab: newLab(t, f)}
		s.capture = newCapture(t, s.Far)
		dir := s.daemonDir()
		d := successor(s.lab, program, dir) // there is nobody yet
		d.await(inState(membership.StateJoined, "eth0"))
		s.settled(s.capture)
		from := len(s.capture.Reports())
		clients, noMore := context.WithCancel(s.ctx)
		defer noMore()
		ask := d.askUntil
		background(t, func(context.Context) error { return ask(clients) })
		s.lossless(func(*testnet.Receiver) {
			for range 5 {
				next := successor(s.lab, program, dir)
				if code := d.ended(); code != 0 || !strings.Contains(d.stderr.String(), "handed over to another ssmd") {
					t.Errorf("exit code %d", code)
				}
				d = next
				running, err := d.client.Daemon(s.ctx)
				ok(t, err)
				if running.PID != d.cmd.Process.Pid {
					t.Errorf("process %d answers, want %d", running.PID, d.cmd.Process.Pid)
				}
				d.await(inState(membership.StateJoined))
			}
		})
		noMore()
		silent(t, s.capture, f.channel.group, from, s.mark())
		s.wantUsers(1)
		from = len(s.capture.Reports())
		d.signal(unix.SIGTERM)
		if code := d.ended(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		s.left(s.capture, from, f.channel)
		s.wantUsers(0)
		if left, err := filepath.Glob(filepath.Join(dir, "control*")); err != nil || left != nil {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

// askUntil asks whoever is the daemon again and again, until ctx ends. One answer
// may be missing: on a busy machine a client may not get to run for longer than
// a daemon waits for it.
func (d *daemon) askUntil(ctx context.Context) error {
	refused := 0
	for ctx.Err() == nil {
		if _, err := d.client.Membership(d.ctx, "feed"); err == nil {
			continue
		} else if refused++; refused > 1 {
			return fmt.Errorf("a client got no answer: %w", err)
		}
	}
	return nil
}

// A takeover in which one of both is killed at any moment.
func storyTakeoverKilled(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		dir := l.daemonDir()
		d := startDaemon(l, program, dir, nil)
		d.await(inState(membership.StateJoined))
		for range 10 {
			next := successor(l, program, dir)
			d.killAfter(rand.N(60 * time.Millisecond))
			next.holds()

			last := successor(l, program, dir)
			last.killAfter(rand.N(60 * time.Millisecond))
			d = successor(l, program, dir)
			d.holds()
			next.ended()
		}
		l.hears(l.fed())
	})
}

// holds waits until the daemon is the one that answers, and has joined.
func (d *daemon) holds() {
	d.t.Helper()
	d.await(func(status membership.Status) error {
		if running, err := d.client.Daemon(d.ctx); err != nil || running.PID != d.cmd.Process.Pid {
			return fmt.Errorf("process %d answers, %v, want %d", running.PID, err, d.cmd.Process.Pid)
		}
		return inState(membership.StateJoined)(status)
	})
	d.wantUsers(1)
}

// Whoever cannot run does not take over: the daemon goes on.
func storyTakeoverRefused(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := &stage{lab: newLab(t, f)}
		s.capture = newCapture(t, s.Far)
		dir := s.daemonDir()
		d := startDaemon(s.lab, program, dir, nil)
		d.await(inState(membership.StateJoined, "eth0"))
		s.settled(s.capture)
		var taken net.Listener
		ok(t, s.Near.Do(func() (err error) {
			taken, err = net.Listen("tcp", "127.0.0.1:0")
			return err
		}))
		defer taken.Close()
		from := len(s.capture.Reports())
		s.lossless(func(*testnet.Receiver) {
			next := successor(s.lab, program, dir, "--http-listen", taken.Addr().String())
			if code := next.ended(); code != 1 || !strings.Contains(next.stderr.String(), "nothing was taken over: http.listen ") {
				t.Errorf("exit code %d", code)
			}
		})
		silent(t, s.capture, f.channel.group, from, s.mark())
		if running, err := d.client.Daemon(s.ctx); err != nil || running.PID != d.cmd.Process.Pid {
			t.Errorf("process %d answers, %v", running.PID, err)
		}
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		d.await(inPlaceOf(1))
		s.wantUsers(1)
	})
}
