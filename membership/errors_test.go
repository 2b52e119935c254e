package membership

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// An application acts on what is behind a state, and not on its words.
func TestErrorsToActOn(t *testing.T) {
	for name, c := range map[string]struct {
		refuse func(*world)
		want   []error
		state  State
		heard  EventType // an event that wraps the same
	}{
		"no descriptor":   {func(w *world) { w.kernel.refuseOpen = unix.EMFILE }, []error{unix.EMFILE}, StateDegraded, EventError},
		"limit":           {func(w *world) { w.kernel.refuse = unix.ENOBUFS }, []error{unix.ENOBUFS}, StateDegraded, EventError},
		"bound elsewhere": {func(w *world) { w.caller.rebind = unix.EPERM }, []error{unix.EPERM}, StateDegraded, EventError},
		"going":           {func(w *world) { w.kernel.refuse = unix.ENODEV }, []error{unix.ENODEV}, StateDegraded, EventState},
		"closed":          {func(w *world) { w.caller.socket.close() }, []error{ErrSocketClosed, net.ErrClosed}, StateEnded, EventState},
		"no use":          {func(w *world) { w.caller.unusable = unix.EINVAL }, []error{ErrSocketUnusable, unix.EINVAL}, StateEnded, EventState},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.create(1, mac1)
			s.deliver()
			m := feed("a", "eth1", one)
			if name != "no descriptor" {
				m = on(m, s.caller)
			}
			c.refuse(s.world)
			s.put(m)
			status := s.status(t, "a")
			if status.State != c.state {
				t.Errorf("%s: %s", status.State, status.Reason)
			}
			var told error
			for _, e := range s.events {
				if e.Type == c.heard {
					told = e.Err
				}
			}
			for _, want := range c.want {
				if !errors.Is(status.Err, want) {
					t.Errorf("the status has %v, want %v in it", status.Err, want)
				}
				if !errors.Is(told, want) {
					t.Errorf("the %s event has %v, want %v in it", c.heard, told, want)
				}
			}
		})
	}
}

// What was refused once and is joined now is no error any more.
func TestErrorsEnd(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.kernel.refuse, s.kernel.refuseOnly = unix.ENOMEM, &two
	s.put(on(feed("a", "eth1", one, two), s.caller))
	if err := s.status(t, "a").Err; !errors.Is(err, unix.ENOMEM) || err.Error() != "join 10.0.0.1@232.0.0.2: cannot allocate memory" {
		t.Errorf("the status has %v", err)
	}
	x, _ := s.keeper.explain("a", s.now)
	for _, c := range x.Channels {
		if refused := c.Channel == two; errors.Is(c.Err, unix.ENOMEM) != refused || c.Joined == refused {
			t.Errorf("%+v", c)
		}
	}
	s.kernel.refuse = nil
	s.rest()
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	if err := s.status(t, "a").Err; err != nil {
		t.Errorf("the status has %v", err)
	}
	s.caller.socket.close()
	s.recreate(1, mac2)
	s.deliver()
	if err := s.status(t, "a").Err; !errors.Is(err, ErrSocketClosed) {
		t.Errorf("the status has %v", err)
	}
	for _, e := range s.events {
		if (e.Type == EventAttached || e.Type == EventDetached) && e.Index != 1 {
			t.Errorf("%s of index %d", e.Type, e.Index)
		}
	}
	s.put(on(feed("a", "eth1", one), newFakeConn(s.kernel)))
	if status := s.status(t, "a"); status.Err != nil || status.State != StateJoined {
		t.Errorf("%s: %v", status.State, status.Err)
	}
}

// A socket that turns out to be closed ends what was attached, and says so there.
func TestErrorOfADetachment(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.put(on(feed("a", "eth1", one), s.caller))
	s.caller.socket.closed = true
	s.put(on(feed("a", "eth1", one, two), s.caller))
	found := false
	for _, e := range s.events {
		if e.Type == EventDetached {
			found = errors.Is(e.Err, ErrSocketClosed) && e.Cause == CauseSocket
		}
	}
	if !found {
		t.Errorf("heard %v", s.heard())
	}
}
