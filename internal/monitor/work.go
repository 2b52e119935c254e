package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/membership"
)

// pace is the time between two readings while datagrams come: what came meanwhile
// is read with one call for each socket.
const pace = 5 * time.Millisecond

// readsAtOnce bounds how long one socket can keep the others waiting, in calls.
const readsAtOnce = 64

// work reads, looks and answers until ctx ends.
func (m *Monitor) work(ctx context.Context) error {
	for ctx.Err() == nil {
		n, err := m.wait(m.timeout(time.Now()))
		if err != nil {
			return err
		}
		now := time.Now()
		read, err := m.readAll(n)
		if err != nil {
			return err
		}
		m.answer()
		if !m.due.IsZero() && !now.Before(m.due) {
			m.look(now)
		}
		if read {
			time.Sleep(pace - time.Since(now))
		}
	}
	return nil
}

// wait waits until some sockets have datagrams, but for so many milliseconds at
// most, and returns how many of them are in ready.
func (m *Monitor) wait(timeout int) (int, error) {
	n, err := unix.EpollWait(m.epoll, m.ready[:], timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return 0, fmt.Errorf("wait for datagrams: %w", err)
	}
	return max(n, 0), nil
}

// readAll reads every socket that has something, n of which are in ready, and
// reports whether anything was read: what lies unread has not stalled. Sockets that
// have something again are not waited for.
func (m *Monitor) readAll(n int) (read bool, err error) {
	for rounds := len(m.byFD) / len(m.ready); ; rounds-- {
		for _, e := range m.ready[:n] {
			if s := m.byFD[e.Fd]; s != nil {
				read = m.read(s) || read
			}
		}
		if n < len(m.ready) || rounds == 0 {
			return read, nil
		}
		if n, err = m.wait(0); err != nil {
			return read, err
		}
	}
}

// timeout is that of the next look, in milliseconds; without one it is for ever.
func (m *Monitor) timeout(now time.Time) int {
	if m.due.IsZero() {
		return -1
	}
	return max(0, int((m.due.Sub(now)+time.Millisecond-1)/time.Millisecond))
}

// answer serves the requests.
func (m *Monitor) answer() {
	var count [8]byte
	_, _ = unix.Read(m.wakeup, count[:]) // EAGAIN where nobody asked
	m.mu.Lock()
	requests := m.requests
	m.requests = nil
	m.mu.Unlock()
	for _, serve := range requests {
		serve()
	}
}

// read counts what came, and reports whether anything did.
func (m *Monitor) read(s *socket) bool {
	for reads := range readsAtOnce {
		n, err := m.batch.read(s.fd)
		if err != nil {
			return reads > 0 // an error of the socket, which reading took from it
		}
		now := time.Now()
		passed := now.Sub(m.clock.began)
		for i := range n {
			d := m.batch.at(i)
			d.arrived = m.clock.steady(d.arrived, now, passed)
			for _, f := range s.flows[d.origin] {
				if f.add(d.size, d.head, d.arrived, now) {
					m.manager.Publish(f.event(EventResumed, now, "datagrams come again"))
				}
			}
		}
		if n < batchSize {
			return n > 0 || reads > 0
		}
	}
	return true
}

// look takes the rates, finds what stalls, and tries again what could not be
// heard. Where nothing is monitored there is no next look.
func (m *Monitor) look(now time.Time) {
	m.due = time.Time{}
	for _, s := range m.sockets {
		s.countDropped()
	}
	for name, t := range m.targets {
		stalls := false
		for _, f := range t.flows {
			m.connect(f)
			if f.look(now) {
				m.manager.Publish(f.event(EventStalled, now, f.silence()))
				stalls = stalls || f.at != nil
			}
		}
		m.expect(t)
		if stalls {
			m.act(name, t)
		}
	}
	if !m.due.IsZero() {
		m.due = pacedLook(m.due, now, time.Since(now))
	}
}

// lookShare bounds what looking takes of the time: each flow has a second of its
// own, and with many of them one is over at any moment.
const lookShare = 20

// pacedLook returns when to look next, where it is due and the last look took so
// long.
func pacedLook(due, now time.Time, took time.Duration) time.Time {
	if soonest := now.Add(lookShare * took); due.Before(soonest) {
		return soonest
	}
	return due
}

// act does what is to be done on a stall, beside the reading. For what stalls
// meanwhile it is done once more: it may have been served already when it stalled.
func (m *Monitor) act(name string, t *target) {
	if len(t.OnStall) == 0 {
		return
	}
	if t.acting {
		t.again = true
		return
	}
	t.acting = true
	ctx := m.running
	m.acting.Go(func() error {
		err := m.manager.Reannounce(ctx, name) // the only action
		if err != nil && ctx.Err() == nil && !errors.Is(err, membership.ErrPutOff) && !errors.Is(err, membership.ErrNotFound) && !errors.Is(err, membership.ErrStopped) {
			m.manager.Publish(membership.Event{Type: membership.EventError, Membership: name, Cause: CauseStream, Reason: "announce anew after a stall: " + err.Error(), Err: err})
		}
		_ = m.do(ctx, func() { m.acted(name, t) })
		return nil
	})
}

func (m *Monitor) acted(name string, t *target) {
	again := t.again
	t.acting, t.again = false, false
	if again {
		m.act(name, t)
	}
}
