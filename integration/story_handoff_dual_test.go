package integration

import (
	"net"
	"testing"

	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// A socket of IPv6 that receives IPv4 too is joined on for IPv4, and one that
// does not (IPV6_V6ONLY) is not.
func storyHandoffDualStack(t *testing.T, program string) {
	t.Parallel()
	h := newHouse(t, v4, program)
	state := func(name, network string) membership.State {
		t.Helper()
		var c *net.UDPConn
		ok(t, h.Near.Do(func() (err error) {
			c, err = net.ListenUDP(network, &net.UDPAddr{IP: net.IPv6unspecified})
			return err
		}))
		t.Cleanup(func() { _ = c.Close() })
		entry := h.entry()
		entry.Name = name
		one, err := handoff.HandOver(h.ctx, c, entry, handoff.Options{Socket: h.path()})
		ok(t, err)
		t.Cleanup(func() { _ = one.Close() })
		return one.Status().State
	}
	if got := state("only6", "udp6"); got == membership.StateJoined {
		t.Errorf("a socket that receives nothing of IPv4 is %s", got)
	}
	if got := state("feed", "udp"); got != membership.StateJoined {
		t.Errorf("a socket of both families is %s", got)
	}
	h.wantUsers(1)
	ok(t, h.Recreate("eth0", testnet.Veth{}))
	h.reattached(1)
	h.wantUsers(1)
}
