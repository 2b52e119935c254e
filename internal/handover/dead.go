package handover

import (
	"time"

	"golang.org/x/sys/unix"
)

// deathTakes bounds how long the end of a process takes once its sockets are
// closed.
const deathTakes = 2 * time.Second

// isDead reports whether the process that handed it over has ended. The kernel
// says so of a pidfd (pidfd_open(2)); a number would be another process's in
// another namespace, or soon. One of which nothing is known counts as alive.
func (p *Parcel) isDead() bool {
	if p.process == nil {
		return false
	}
	ended, err := unix.Poll([]unix.PollFd{{Fd: int32(p.process.Fd()), Events: unix.POLLIN}}, int(deathTakes.Milliseconds()))
	return err == nil && ended == 1
}
