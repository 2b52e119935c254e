package handoffd

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/internal/mailbox"
	"github.com/ssmd-project/ssmd/membership"
)

// heap returns how many bytes are in use.
func heap() int {
	runtime.GC()
	runtime.GC() // what the pools had
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// As many clients as may be that never read cost what their mailboxes hold,
// however many events there are, and nothing once they are gone.
func TestMemoryOfClientsThatNeverRead(t *testing.T) {
	const clients, events, text = 60, 5_000, 200
	const spare = 4 << 20 // for whatever else the process does
	s := newStand(t, clients+2, defaultLimits)
	before := heap()
	mute := make([]*client, clients)
	for n := range mute {
		mute[n], _, _ = s.handed(fmt.Sprint("mute-", n))
	}
	reads, _, _ := s.handed("reads")
	for seq := range uint64(events) {
		for n := range mute {
			s.server.deliver(membership.Event{Seq: seq + 1, Type: membership.EventState, Membership: fmt.Sprint("mute-", n), Reason: strings.Repeat("x", text)})
		}
	}
	// What waits, and what is being sent.
	bound := clients*(2*mailbox.Most*int(unsafe.Sizeof(membership.Event{})+text)+2*handoff.MaxMessage) + spare
	if grown := heap() - before; grown > bound {
		t.Errorf("%d clients cost %d MB after %d events each, want %d MB at most", clients, grown>>20, events, bound>>20)
	} else {
		t.Logf("%d clients cost %.1f MB after %d events each, of at most %.1f MB", clients, float64(grown)/(1<<20), events, float64(bound)/(1<<20))
	}
	s.server.deliver(membership.Event{Seq: events + 1, Type: membership.EventState, Membership: "reads"})
	reads.wantType("state")
	for _, c := range mute {
		ok(t, c.Close())
	}
	clear(mute)
	eventually(t, func() error {
		if n := s.server.Totals().Now; n != 1 {
			return fmt.Errorf("%d are still there", n)
		}
		return nil
	})
	eventually(t, func() error {
		if grown := heap() - before; grown > spare {
			return errors.New(fmt.Sprint(grown>>10, " KB are in use after the end"))
		}
		return nil
	})
}
