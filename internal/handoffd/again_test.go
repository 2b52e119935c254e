package handoffd

import (
	"testing"

	"github.com/ssmd-project/ssmd/handoff"
)

// Whoever hangs up and comes again at once, as a program that is restarted, has
// the name that it had: nobody has to wait until the daemon noticed.
func TestSameNameAgain(t *testing.T) {
	s := newStand(t, 8, quick())
	c, _, _ := s.handed("a")
	for range 50 {
		_ = c.Close()
		c, _, _ = s.handed("a")
	}
	other := s.dial()
	fd, _ := udp(t)
	other.send(`{"name": "a", "channels": "10.1.0.1@232.1.1.1", "interface": "eth0"}`, fd)
	other.wantRefused(handoff.ProblemNameInUse, "name in use")
}

// What a name is used for by a connection that ended, and that the manager does
// not let go, is in use still.
func TestSameNameWhileTheManagerHangs(t *testing.T) {
	s := newStand(t, 8, quick())
	c, one, _ := s.handed("a")
	stuck := make(chan struct{})
	s.keeper.with(func() { s.keeper.stuck = stuck })
	_ = c.Close()
	other := s.dial()
	fd, _ := udp(t)
	other.send(`{"name": "a", "channels": "10.1.0.1@232.1.1.1", "interface": "eth0"}`, fd)
	other.wantRefused(handoff.ProblemNameInUse, "name in use")
	close(stuck)
	<-one.removed
}
