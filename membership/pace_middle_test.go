package membership

import (
	"testing"
	"time"
)

// What is lost in the middle is forgotten, joined or not, and the next life begins
// at the beginning.
func TestStoryPaceLostInTheMiddle(t *testing.T) {
	s := paced(t, 20, 1)
	s.put(feed("a", "eth1", manyChannels(1, 10)...))
	s.turn()
	s.heard()
	s.remove(1)
	s.deliver()
	s.wantEvents("attached a eth1 request", "detached a eth1 removal", "state a detached removal")
	if len(s.kernel.open_) != 0 {
		t.Errorf("%d sockets open", len(s.kernel.open_))
	}
	for range 2 { // what was reserved is given back at the next turn at the latest
		if next := s.keeper.nextWake(); !next.IsZero() {
			s.turn()
		}
	}
	s.wantWake(0)
	s.kernelDid()
	s.later(time.Minute)
	s.create(1, mac2)
	s.deliver()
	s.wantEvents("state a eth1 settling appeared")
	for s.status(t, "a").State != StateJoined {
		s.turn()
	}
	s.wantKernel("10 joins, 0 leaves")
	s.wantEvents("reattached a eth1 appeared", "state a eth1 joined appeared")
	if got := s.status(t, "a").LastReattachSeconds; got == nil {
		t.Error("the reattachment was not measured")
	}
	s.wantInOrder()
}

// A reload in the middle: what is wanted no longer is never joined, and takes no
// turn; what is new waits for its own.
func TestStoryPaceChangedInTheMiddle(t *testing.T) {
	s := paced(t, 20, 1)
	all := manyChannels(1, 30)
	s.put(feed("a", "eth1", all[:20]...))
	s.kernelDid()
	s.put(feed("a", "eth1", all[15:]...))
	s.wantKernel("0 joins, 2 leaves")
	for n := range 15 {
		s.turn()
		s.wantJoined("a", n+1)
	}
	s.wantKernel("15 joins, 0 leaves")
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	s.put(feed("b", "eth1", manyChannels(2, 8)...))
	s.keeper.delete("b", s.now)
	s.later(time.Second)
	s.wantWake(0)
	s.wantInOrder()
}

func TestStoryPaceDrainedInTheMiddle(t *testing.T) {
	s := paced(t, 20, 1)
	s.put(feed("a", "eth1", manyChannels(1, 20)...))
	s.turn()
	s.kernelDid()
	if _, err := s.keeper.drain("eth1", s.now); err != nil {
		t.Fatal(err)
	}
	s.wantKernel("0 joins, 3 leaves")
	s.wantState("a", StateHeld, s.status(t, "a").Reason)
	s.later(time.Second)
	s.wantWake(0)
	s.wantKernel("0 joins, 0 leaves")
	s.wantInOrder()
}

func TestStoryPaceShutdownInTheMiddle(t *testing.T) {
	s := paced(t, 20, 1)
	s.put(feed("a", "eth1", manyChannels(1, 20)...))
	pace := s.keeper.line.pace
	s.keeper.shutdown(s.now)
	if len(s.kernel.open_) != 0 || pace.waiting.Load() != 0 {
		t.Errorf("%d sockets open, %d channels in line", len(s.kernel.open_), pace.waiting.Load())
	}
}
