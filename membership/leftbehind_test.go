package membership

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// What a manager had to leave is closed by whoever comes later in the process,
// and not while somebody lives at its index.
func TestLeftBehind(t *testing.T) {
	const vacant = 1<<31 - 2
	for _, f := range []ifwatch.Family{ifwatch.IPv4, ifwatch.IPv6} {
		k := newLinux(here)
		lot := newParkingLot()
		descriptors := make(map[int]int)
		for _, index := range []int{ifwatch.LoopbackIndex, vacant} {
			s, err := k.open(f)
			if err != nil {
				t.Skipf("open socket: %v", err)
			}
			if index == ifwatch.LoopbackIndex && !s.occupied(index) {
				t.Skip("the loopback interface is down")
			}
			descriptors[index] = int(s.(ownedSocket).fd)
			lot.stale[place{index, f}] = []staleSocket{{memberSocket: s, free: s.close}}
		}
		k.leftBehind().take(lot)
		k.leftBehind().vacate()
		if !isOpen(descriptors[ifwatch.LoopbackIndex]) || isOpen(descriptors[vacant]) || len(lot.stale) > 0 {
			t.Errorf("%s: open on a live index: %t, on a vacant one: %t; %d places parked", f,
				isOpen(descriptors[ifwatch.LoopbackIndex]), isOpen(descriptors[vacant]), len(lot.stale))
		}
		ofThisProcess.sockets[0].free()
		ofThisProcess.sockets = nil
		ofThisProcess.vacate()
	}
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}
