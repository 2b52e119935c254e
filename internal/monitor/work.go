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
	ready := make([]unix.EpollEvent, 256)
	for ctx.Err() == nil {
		n, err := unix.EpollWait(m.epoll, ready, m.timeout(time.Now()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for datagrams: %w", err)
		}
		now := time.Now()
		read := false
		for _, e := range ready[:max(n, 0)] {
			if s := m.byFD[e.Fd]; s != nil {
				read = m.read(s) || read
			}
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
