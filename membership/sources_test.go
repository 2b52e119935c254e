package membership

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// poolOn returns a pool on index 1 of a fake kernel that takes as many sources
// of a group on a socket.
func poolOn(sources int) (*pool, *held) {
	h := newHeld()
	h.kernel.maxSources = sources
	p := newPool(poolKey{family: ifwatch.IPv4}, h.ownSockets)
	p.users = 1
	return p, h
}

// Of a group with many sources the first of each socket takes the others with
// it, as many as the kernel's limit allows.
func TestPoolJoinsSourcesOfAGroupAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		limit, calls, sockets int
	}{
		"as usual": {10, 2 * 3, 3},
		"raised":   {20, 2 + 10 + 2, 2}, // what is above the usual is joined one by one
		"lowered":  {5, 4*5 + 2, 5},     // a call for ten is refused, and one for the last five is not
	} {
		t.Run(name, func(t *testing.T) {
			p, h := poolOn(test.limit)
			many := manyChannels(25, 1)
			p.wish(many)
			out := p.flush(time.Now(), wholly())
			if out.refused != 0 || p.joined != len(many) {
				t.Errorf("%d refused, %d joined", out.refused, p.joined)
			}
			for _, c := range many {
				if !h.kernel.life(1, ifwatch.IPv4).hears(c) {
					t.Errorf("%s is not heard", c)
				}
			}
			if got := len(h.sockets); got != test.sockets {
				t.Errorf("%d sockets, want %d", got, test.sockets)
			}
			if h.kernel.granted != test.calls {
				t.Errorf("%d calls that the kernel granted, want %d", h.kernel.granted, test.calls)
			}
			p.unwish(many[:12])
			p.flush(time.Now(), wholly())
			for n, c := range many {
				if got := h.kernel.life(1, ifwatch.IPv4).hears(c); got != (n >= 12) {
					t.Errorf("%s is heard: %v", c, got)
				}
			}
		})
	}
}

// What comes to a group that has sources is joined by itself: who else has some
// on the socket is not touched.
func TestPoolAddsSourcesOneByOne(t *testing.T) {
	p, h := poolOn(10)
	many := manyChannels(9, 1)
	p.wish(many[:3])
	p.flush(time.Now(), wholly())
	h.kernel.granted = 0
	p.wish(many[3:])
	p.flush(time.Now(), wholly())
	if h.kernel.granted != 6 || p.joined != 9 {
		t.Errorf("%d calls, %d joined", h.kernel.granted, p.joined)
	}
}

// A channel that is not wished for any more is not joined with its group.
func TestPoolJoinsNoUnwishedSource(t *testing.T) {
	p, h := poolOn(10)
	many := manyChannels(6, 1)
	p.wish(many)
	p.unwish(many[2:4])
	p.flush(time.Now(), wholly())
	for n, c := range many {
		if got := h.kernel.life(1, ifwatch.IPv4).hears(c); got != (n != 2 && n != 3) {
			t.Errorf("%s is heard: %v", c, got)
		}
	}
	if p.entries.len() != 4 {
		t.Errorf("%d entries", p.entries.len())
	}
}

// A refusal of all at once is no refusal of each.
func TestPoolSourcesRefusedAtOnce(t *testing.T) {
	p, h := poolOn(10)
	many := manyChannels(6, 1)
	h.kernel.refuse, h.kernel.refuseOnly = unix.EPERM, &many[4]
	p.wish(many)
	out := p.flush(time.Now(), wholly())
	heard := slices.DeleteFunc(slices.Clone(many), func(c Channel) bool { return !h.kernel.life(1, ifwatch.IPv4).hears(c) })
	if len(heard) != 4 || out.refused != 1 { // the sixth is not tried after an EPERM
		t.Errorf("%d heard, %d refused", len(heard), out.refused)
	}
}
