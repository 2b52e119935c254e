package integration

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// setSources makes these the sources of a group that is joined on the socket,
// RFC 3678, section 5.2.
func (s *socket) setSources(ifindex int, group netip.Addr, sources []netip.Addr) error {
	request := binary.NativeEndian.AppendUint64(nil, 0)
	binary.NativeEndian.PutUint32(request, uint32(ifindex))
	request = append(request, storage(group)...)
	request = binary.NativeEndian.AppendUint32(request, unix.MCAST_INCLUDE)
	request = binary.NativeEndian.AppendUint32(request, uint32(len(sources)))
	for _, a := range sources {
		request = append(request, storage(a)...)
	}
	return s.do(func(fd int) error {
		return unix.SetsockoptString(fd, s.level, unix.MCAST_MSFILTER, string(request))
	})
}

// sourcesOf returns as many sources of a family, which never send.
func sourcesOf(f family, number int) []netip.Addr {
	format := "10.1.0.%d"
	if f.name == "v6" {
		format = "2001:db8:1::%x"
	}
	var all []netip.Addr
	for i := range number {
		all = append(all, netip.MustParseAddr(fmt.Sprintf(format, 101+i)))
	}
	return all
}

// Fact K33: one call gives a group that is joined all its sources, is reported as
// joins are, and one that is refused changes nothing.
func TestK33SourcesAtOnce(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		limit := map[string]int{"v4": 10, "v6": 64}[f.name]
		l := newLab(t, f)
		c := newCapture(t, l.Far)
		s := l.socket()
		sources := append([]netip.Addr{f.channel.source}, sourcesOf(f, limit)...)
		wantErrno(t, "sources of a group that is not joined", s.setSources(l.index(), f.channel.group, sources[:2]), unix.EINVAL)
		ok(t, s.join(l.index(), f.channel))
		wantErrno(t, "one source too many", s.setSources(l.index(), f.channel.group, sources), unix.ENOBUFS)
		if _, n, err := s.filter(l.index(), f.channel.group); n != 1 || err != nil {
			t.Errorf("%d sources after the refusal, %v", n, err)
		}
		sources = sources[:limit]
		ok(t, s.setSources(l.index(), f.channel.group, sources))
		l.wantUsers(1)
		if _, n, err := s.filter(l.index(), f.channel.group); n != limit || err != nil {
			t.Errorf("%d sources, want %d; %v", n, limit, err)
		}
		for _, source := range sources {
			_, err := c.Wait(l.ctx, func(r wire.Report) bool { return r.Is(wire.AllowNewSources, source, f.channel.group) })
			ok(t, err)
		}
		end := l.mark(c, 1)
		for _, r := range c.Reports()[:end] {
			if r.Group == f.channel.group && r.Type != wire.AllowNewSources {
				t.Errorf("heard %v", r)
			}
		}
		l.hears(l.fed())
	})
}

// Of groups with many sources each is asked for on the wire, and none is left.
func TestStorySourcesOnTheWire(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		sources := append([]netip.Addr{f.channel.source}, sourcesOf(f, 24)...)
		var channels []membership.Channel
		for _, source := range sources {
			channels = append(channels, membership.Channel{Source: source, Group: f.channel.group})
		}
		l := newLab(t, f)
		c := newCapture(t, l.Far)
		s := onStage(l, noOptions, onEth0("feed", channels...))
		s.countJoined(len(sources))
		heard := len(c.Reports())
		l.again()
		s.reattached(1)
		s.countJoined(len(sources))
		for _, source := range sources {
			_, err := c.WaitFrom(l.ctx, heard, func(r wire.Report) bool { return r.Is(wire.AllowNewSources, source, f.channel.group) })
			ok(t, err)
		}
		if slices.ContainsFunc(c.Reports(), func(r wire.Report) bool { return r.Group == f.channel.group && r.Type != wire.AllowNewSources }) {
			t.Errorf("a source was left: %v", c.Reports())
		}
		l.hears(s.fed())
	})
}
