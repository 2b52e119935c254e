package membership

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// held is a holder of the manager's own sockets on index 1 of a fake kernel
// that takes 3 groups a socket and 2 sources a group.
type held struct {
	*ownSockets
	kernel *fakeKernel
	lot    *parkingLot
	ended  bool
	sets   map[Channel]*sourceSet
}

func newHeld() *held {
	h := &held{kernel: newFakeKernel(), lot: newParkingLot(), sets: make(map[Channel]*sourceSet)}
	h.kernel.begin(1, "eth1")
	h.ownSockets = newOwnSockets(h.kernel, ifwatch.IPv4, 1, h.lot, func() bool { return h.ended })
	return h
}

func (h *held) joinAll(t *testing.T, channels ...Channel) {
	t.Helper()
	for _, c := range channels {
		set, err := h.join(c)
		if err != nil {
			t.Fatalf("join %s: %v", c, err)
		}
		h.sets[c] = set
	}
}

func (h *held) leaveAll(t *testing.T, channels ...Channel) {
	t.Helper()
	for _, c := range channels {
		if err := h.leave(c, h.sets[c]); err != nil {
			t.Fatalf("leave %s: %v", c, err)
		}
	}
}

// groups returns how many groups each socket has, the oldest first.
func (h *held) groupsOf() []int {
	all := []int{}
	for _, s := range h.sockets {
		all = append(all, s.groups)
	}
	return all
}

func (h *held) wantGroups(t *testing.T, want ...int) {
	t.Helper()
	if want == nil {
		want = []int{}
	}
	if diff := cmp.Diff(want, h.groupsOf()); diff != "" {
		t.Errorf("groups a socket (-want +got):\n%s", diff)
	}
	if len(h.kernel.open_) != len(want) {
		t.Errorf("%d sockets open, want %d", len(h.kernel.open_), len(want))
	}
}

func TestOwnSocketsFillEachSocket(t *testing.T) {
	h := newHeld()
	h.joinAll(t, manyChannels(1, 8)...)
	h.wantGroups(t, 3, 3, 2)
	h.release()
	h.wantGroups(t)
}

func TestOwnSocketsAreFull(t *testing.T) {
	h := newHeld()
	all := manyChannels(1, 14)
	for n, want := range map[int]bool{8: false, 6: true} {
		h.joinAll(t, all[:n]...)
		if got := h.isFull(); got != want {
			t.Errorf("%d channels: full: %v", n, got)
		}
		h.leaveAll(t, all[:n]...)
	}
	h.joinAll(t, all[8:]...)
	h.leaveAll(t, all[8])
	if h.isFull() {
		t.Error("full after a leave")
	}
}

// A socket that takes any number of groups does not get them all.
func TestOwnSocketsStayShort(t *testing.T) {
	h := newHeld()
	h.kernel.maxGroups = 10 * mostGroups
	h.joinAll(t, manyChannels(1, mostGroups+2)...)
	h.wantGroups(t, mostGroups, 2)
}

func TestOwnSocketsSpreadSources(t *testing.T) {
	h := newHeld()
	many := manyChannels(5, 1)
	h.joinAll(t, many...)
	h.wantGroups(t, 1, 1, 1)
	for _, c := range many {
		if !h.kernel.life(1, ifwatch.IPv4).hears(c) {
			t.Errorf("%s is not heard", c)
		}
	}
}

// The sockets over which one group is spread have room for others.
func TestOwnSocketsFillWhatIsSpread(t *testing.T) {
	h := newHeld()
	h.joinAll(t, manyChannels(6, 1)...)
	h.joinAll(t, manyChannels(1, 7)[1:]...)
	h.wantGroups(t, 3, 3, 3)
}

func TestOwnSocketsLeavingFreesRoom(t *testing.T) {
	h := newHeld()
	many := manyChannels(1, 7)
	h.joinAll(t, many[:6]...)
	h.leaveAll(t, many[0])
	h.wantGroups(t, 2, 3)
	h.joinAll(t, many[6])
	h.wantGroups(t, 3, 3)
	h.leaveAll(t, many[1], many[2], many[6])
	h.wantGroups(t, 3)
}

func TestOwnSocketsLeavingASourceFreesRoom(t *testing.T) {
	h := newHeld()
	many := manyChannels(5, 1)
	h.joinAll(t, many[:4]...)
	h.leaveAll(t, many[0])
	h.wantGroups(t, 1, 1)
	h.joinAll(t, many[4])
	h.wantGroups(t, 1, 1)
}

// A group is left on whichever of its sockets, in any order.
func TestOwnSocketsLeaveInAnyOrder(t *testing.T) {
	many := manyChannels(6, 1)
	for _, order := range [][]int{{0, 1, 2, 3, 4, 5}, {5, 4, 3, 2, 1, 0}, {2, 3, 0, 5, 4, 1}} {
		h := newHeld()
		h.joinAll(t, many...)
		for _, n := range order {
			h.leaveAll(t, many[n])
		}
		h.wantGroups(t)
		if len(h.groups) > 0 {
			t.Errorf("left in the order %v: %d groups remain", order, len(h.groups))
		}
	}
}

func TestOwnSocketsCloseNewestFirst(t *testing.T) {
	h := newHeld()
	many := manyChannels(1, 7)
	h.kernel.maxGroups = 1
	h.joinAll(t, many...)
	h.leaveAll(t, many[1])
	h.joinAll(t, many[1])
	h.kernel.leaves = nil
	h.release()
	want := []Channel{many[1], many[6], many[5], many[4], many[3], many[2], many[0]}
	if diff := cmp.Diff(want, h.kernel.leaves, compareAddrs); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestOwnSocketsRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(*held)
		want    error
		all     bool // it concerns every channel
	}{
		"no device":          {func(h *held) { h.kernel.end(1) }, unix.ENODEV, true},
		"life ended":         {func(h *held) { h.ended = true }, errEnded, true},
		"no descriptor":      {func(h *held) { h.kernel.refuseOpen = unix.EMFILE }, unix.EMFILE, true},
		"no room at all":     {func(h *held) { h.kernel.maxGroups = 0 }, unix.ENOBUFS, true},
		"no memory":          {func(h *held) { h.kernel.refuse = unix.ENOMEM }, unix.ENOMEM, true},
		"not permitted":      {func(h *held) { h.kernel.refuse = unix.EPERM }, unix.EPERM, true},
		"this one":           {func(h *held) { h.kernel.refuse = unix.EINVAL }, unix.EINVAL, false},
		"taken by somebody?": {func(h *held) { h.kernel.refuse = unix.EADDRNOTAVAIL }, unix.EADDRNOTAVAIL, false},
	} {
		h := newHeld()
		test.prepare(h)
		_, err := h.join(one)
		if !errors.Is(err, test.want) || concernsAll(err) != test.all {
			t.Errorf("%s: %v, concerns all: %t", name, err, concernsAll(err))
		}
		h.wantGroups(t)
	}
}

// Where memory was short for a while, nothing is left of it.
func TestOwnSocketsAfterShortage(t *testing.T) {
	h := newHeld()
	many := manyChannels(3, 3)
	h.joinAll(t, many[:2]...)
	h.kernel.refuse = unix.ENOMEM
	for _, c := range many[2:] {
		if _, err := h.join(c); err == nil {
			t.Fatal("joined")
		}
	}
	h.kernel.refuse = nil
	h.joinAll(t, many[2:]...)
	h.release()
	h.wantGroups(t)
}

func TestOwnSocketsAbandon(t *testing.T) {
	for name, test := range map[string]struct {
		again, parked bool
	}{
		"vacant index":   {false, false},
		"index occupied": {true, true},
	} {
		h := newHeld()
		many := manyChannels(1, 4)
		h.joinAll(t, many...)
		h.kernel.end(1)
		if test.again {
			h.kernel.begin(1, "eth1")
			for _, c := range many {
				h.kernel.life(1, ifwatch.IPv4).foreignJoin(c)
			}
		}
		h.abandon()
		if parked := len(h.lot.stale[place{1, ifwatch.IPv4}]) > 0; parked != test.parked || len(h.kernel.open_) != 2*len(h.lot.stale[place{1, ifwatch.IPv4}])/2 {
			t.Errorf("%s: parked: %t, %d sockets open", name, parked, len(h.kernel.open_))
		}
		if test.again {
			for _, c := range many {
				if !h.kernel.life(1, ifwatch.IPv4).hears(c) {
					t.Errorf("%s: %s was taken", name, c)
				}
			}
			h.kernel.end(1)
		}
		h.lot.vacateAll()
		if len(h.kernel.open_) > 0 || len(h.lot.stale) > 0 {
			t.Errorf("%s: %d sockets open in the end, %v", name, len(h.kernel.open_), h.lot.stale)
		}
	}
}

// Parked sockets stay until no life has their index.
func TestParkingLotThroughLives(t *testing.T) {
	h := newHeld()
	h.joinAll(t, one)
	for range 3 {
		h.kernel.end(1)
		h.kernel.begin(1, "eth1")
		if h.sockets != nil {
			h.abandon()
		}
		h.lot.vacateAll()
		if len(h.lot.stale[place{1, ifwatch.IPv4}]) != 1 {
			t.Fatalf("parked: %v", h.lot.stale)
		}
	}
	h.kernel.end(1)
	h.lot.vacateAll()
	h.wantGroups(t)
}

// Many sources in one group are spread without a search through all of its
// sockets for each.
func TestOwnSocketsManySourcesOfOneGroup(t *testing.T) {
	h := newHeld()
	h.joinAll(t, manyChannels(5000, 1)...)
	if len(h.sockets) != 2500 {
		t.Errorf("%d sockets", len(h.sockets))
	}
	h.release()
}
