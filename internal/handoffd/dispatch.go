package handoffd

import (
	"context"
	"math"

	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/membership"
)

// notice is what a client is told after the last event of its membership.
type notice struct {
	text string
	last uint64 // number of that event
}

// dispatch brings each event to the client that it concerns, until the
// manager's last one.
func (s *Server) dispatch(ctx context.Context, events Subscription) {
	for {
		e, err := events.Next(ctx)
		if err != nil {
			s.mu.Lock()
			s.passed(math.MaxUint64)
			s.mu.Unlock()
			return
		}
		s.deliver(e)
	}
}

func (s *Server) deliver(e membership.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Type == membership.EventMissed { // which has no number
		for _, one := range s.routes {
			one.box.Miss(e.Missed)
		}
		return
	}
	if e.Seq > 0 {
		s.passed(e.Seq - 1) // also where those before were missed
	}
	if one := s.routes[e.Membership]; one != nil {
		one.box.Put(e)
	}
	s.passed(e.Seq)
}

// passed takes note that every event up to a number went where it goes, and
// tells those who were waiting for that. The lock is held.
func (s *Server) passed(seq uint64) {
	s.dispatched = max(s.dispatched, seq)
	for one, n := range s.leaving {
		if n.last <= s.dispatched {
			delete(s.leaving, one)
			one.finish(handoff.CauseRemoved, n.text)
		}
	}
}

// tell tells a client what ended its membership, after its last event.
func (s *Server) tell(one *session, n notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving[one] = n
	s.passed(0) // if it is that far
}

// route has the events of a membership go to a session. Where they go to another
// one it is returned.
func (s *Server) route(name string, one *session) (other *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other = s.routes[name]; other == nil {
		s.routes[name] = one
	}
	return other
}

// unroute ends that.
func (s *Server) unroute(name string, one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.routes, name)
	delete(s.leaving, one)
}
