package integration

import (
	"net"
	"testing"

	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/membership"
)

// handOverBound hands over a socket that the test reads by itself.
func (h *house) handOverBound(conn *net.UDPConn) *handoff.Handoff {
	h.t.Helper()
	one, err := handoff.HandOver(h.ctx, conn, h.entry(), handoff.Options{Socket: h.path()})
	ok(h.t, err)
	h.t.Cleanup(func() { _ = one.Close() })
	return one
}

// However the application's socket is bound, it hears in each life of the
// interface.
func storyHandoffBound(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		for how, open := range map[string]func(*lab) *net.UDPConn{
			"to the group":    func(l *lab) *net.UDPConn { return l.bound(f.channel.group, nil) },
			"to the device":   func(l *lab) *net.UDPConn { return l.bound(f.anywhere(), toDevice) },
			"to both of them": func(l *lab) *net.UDPConn { return l.bound(f.channel.group, toDevice) },
		} {
			for name, again := range lives {
				t.Run(how+", "+name, func(t *testing.T) {
					t.Parallel()
					h := newHouse(t, f, program)
					conn := open(h.lab)
					h.handOverBound(conn)
					h.heardOn(conn)
					for n := range 2 {
						again(h.lab)
						h.reattached(uint64(n + 1))
						h.wantUsers(1)
						h.heardOn(conn)
					}
				})
			}
		}
	})
}

// A socket that is bound to the interface's own address is joined in each life
// and hears nothing, which is said from the answer on.
func storyHandoffBoundToAddress(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range lives {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, f, program)
				conn := h.bound(nearAddress(f), nil)
				remark := "is bound to " + nearAddress(f).String() + " and receives nothing that is sent to " + f.channel.group.String()
				if err := inState(membership.StateJoined, remark)(h.handOverBound(conn).Status()); err != nil {
					t.Error(err)
				}
				h.wantUsers(1)
				for n := range 2 {
					again(h.lab)
					h.reattached(uint64(n + 1))
					h.daemon.await(inState(membership.StateJoined, remark))
					h.wantUsers(1)
				}
				h.unheardOn(conn)
			})
		}
	})
}
