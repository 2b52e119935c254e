package membership

import (
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// callers is a holder on a caller's socket, on index 1 of a fake kernel that
// takes 3 groups a socket and 2 sources a group.
type callers struct {
	*callerSocket
	kernel *fakeKernel
	conn   *fakeConn
	lot    *parkingLot
	ended  bool
}

func newCallers(t *testing.T, channels ...Channel) *callers {
	k := newFakeKernel()
	k.begin(1, "eth1")
	c := &callers{kernel: k, conn: newFakeConn(k), lot: newParkingLot()}
	s, err := k.caller(ifwatch.IPv4, c.conn)
	if err != nil {
		t.Fatal(err)
	}
	c.callerSocket = newCallerSocket(k, ifwatch.IPv4, s, 1, 0, c.lot, func() bool { return c.ended })
	for _, channel := range channels {
		if _, err := c.join(channel); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// again gives the index another life, in which somebody has these channels.
func (c *callers) again(foreign ...Channel) *fakeLife {
	c.kernel.end(1)
	c.kernel.begin(1, "eth1")
	life := c.kernel.life(1, ifwatch.IPv4)
	for _, channel := range foreign {
		life.foreignJoin(channel)
	}
	return life
}

func (c *callers) wantEntries(t *testing.T, want int) {
	t.Helper()
	if got := len(c.conn.socket.entries); got != want {
		t.Errorf("%d groups on the socket, want %d", got, want)
	}
}

func TestCallerSocketReleaseNewestFirst(t *testing.T) {
	many := manyChannels(2, 3)
	c := newCallers(t, many...)
	c.release()
	want := []Channel{many[5], many[4], many[3], many[2], many[1], many[0]}
	if diff := cmp.Diff(want, c.kernel.leaves, compareAddrs); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if c.wantEntries(t, 0); c.conn.socket.closed {
		t.Error("the caller's socket is closed")
	}
}

// Leaving after the interface's end fails, and frees the socket's room.
func TestCallerSocketLeaveOnVacantIndex(t *testing.T) {
	many := manyChannels(1, 3)
	c := newCallers(t, many...)
	c.kernel.end(1)
	if err := c.leave(many[0], nil); !errors.Is(err, unix.ENODEV) {
		t.Errorf("leave: %v", err)
	}
	c.wantEntries(t, 2)
	c.release()
	c.wantEntries(t, 0)
}

func TestCallerSocketAbandonVacant(t *testing.T) {
	c := newCallers(t, manyChannels(2, 3)...)
	c.kernel.end(1)
	c.abandon()
	c.wantEntries(t, 0)
	if len(c.lot.stale) > 0 || c.kernel.sockets > 1 {
		t.Errorf("parked %v, %d sockets", c.lot.stale, c.kernel.sockets)
	}
}

// Where the index lives again, ballast takes the place of what freeing the
// entry takes away.
func TestCallerSocketAbandonOccupied(t *testing.T) {
	many := manyChannels(2, 3)
	c := newCallers(t, many...)
	life := c.again(many...)
	c.abandon()
	c.wantEntries(t, 0)
	for _, channel := range many {
		if g := life.groups[channel.Group]; g.users != 2 || g.sources[channel.Source] != 1 {
			t.Errorf("%s has %d users and %d of the source, want the two others' and one", channel, g.users, g.sources[channel.Source])
		}
	}
	for _, channel := range many {
		if _, err := c.join(channel); err != nil || !life.hears(channel) {
			t.Errorf("join again: %v", err)
		}
	}
	if len(c.kernel.open_) == 0 || len(c.lot.stale[place{1, ifwatch.IPv4}]) != len(c.kernel.open_) {
		t.Errorf("%d ballast sockets, %d parked", len(c.kernel.open_), len(c.lot.stale[place{1, ifwatch.IPv4}]))
	}
	c.kernel.end(1)
	c.lot.vacateAll()
	if len(c.kernel.open_) > 0 {
		t.Errorf("%d ballast sockets in the end", len(c.kernel.open_))
	}
}

// Without ballast the entry stays, and no join is made into it: it would have
// no effect but to rob somebody when left.
func TestCallerSocketWithoutBallast(t *testing.T) {
	many := manyChannels(2, 2)
	c := newCallers(t, many[0], many[2])
	life := c.again(many...)
	c.kernel.refuseOpen = unix.EMFILE
	c.abandon()
	c.wantEntries(t, 2)
	for _, channel := range many {
		if _, err := c.join(channel); !errors.Is(err, errStaleEntry) || concernsAll(err) {
			t.Errorf("join %s: %v", channel, err)
		}
	}
	c.kernel.refuseOpen = nil
	for _, channel := range many {
		if _, err := c.join(channel); err != nil {
			t.Errorf("join %s: %v", channel, err)
		}
	}
	c.release()
	for _, channel := range many {
		if life.groups[channel.Group].sources[channel.Source] < 1 {
			t.Errorf("%s was taken", channel)
		}
	}
	c.wantEntries(t, 0)
}

// What could not be freed is freed once the index is vacant.
func TestCallerSocketWithoutBallastUntilVacant(t *testing.T) {
	c := newCallers(t, one, two)
	c.again(one)
	c.kernel.refuse = unix.ENOMEM
	c.abandon()
	c.wantEntries(t, 2)
	c.kernel.end(1)
	c.lot.vacateAll()
	if c.wantEntries(t, 0); len(c.lot.stale) > 0 || len(c.kernel.open_) > 0 {
		t.Errorf("parked %v, %d sockets open", c.lot.stale, len(c.kernel.open_))
	}
}

func TestCallerSocketBindsBeforeTheFirstJoin(t *testing.T) {
	c := newCallers(t)
	c.conn.rebind = unix.EPERM
	if _, err := c.join(one); !errors.Is(err, unix.EPERM) || !concernsAll(err) {
		t.Errorf("join: %v", err)
	}
	c.conn.rebind = nil
	for _, channel := range []Channel{one, two} {
		if _, err := c.join(channel); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]int{1, 1}, c.conn.bound); diff != "" { // refused, then done
		t.Errorf("bound (-want +got):\n%s", diff)
	}
}

func TestCallerSocketJoinsOnlyInItsLife(t *testing.T) {
	c := newCallers(t)
	c.ended = true
	if _, err := c.join(one); !errors.Is(err, errEnded) {
		t.Errorf("join: %v", err)
	}
	c.wantEntries(t, 0)
}

func TestCallerSocketClosed(t *testing.T) {
	c := newCallers(t, one)
	c.conn.socket.close()
	if _, err := c.join(two); !isClosed(err) || !concernsAll(err) {
		t.Errorf("join: %v", err)
	}
	c.release()
	c.abandon()
	if _, err := c.kernel.caller(ifwatch.IPv4, c.conn); !isClosed(err) {
		t.Errorf("again: %v", err)
	}
}

// A socket that its caller closed has nothing at any place: it must not keep
// what is parked beside it.
func TestClosedSocketOccupiesNothing(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newLinux(here).caller(ifwatch.IPv4, conn)
	if err != nil {
		t.Fatal(err)
	}
	const loopback = 1
	if !s.occupied(loopback) {
		t.Error("the loopback interface does not occupy its index")
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if s.occupied(loopback) {
		t.Error("a closed socket holds a place")
	}
}
