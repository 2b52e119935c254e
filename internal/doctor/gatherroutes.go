package doctor

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/membership"
)

// readRoutes asks for the way to each source: each next hop of the route counts,
// not only the one that this datagram would take.
func (f *Facts) readRoutes(h *netlink.Handle, channels []membership.Channel) {
	for _, source := range sourcesOf(channels) {
		f.Routes[source] = readRoute(h, source)
	}
}

func readRoute(h *netlink.Handle, to netip.Addr) Route {
	found, err := h.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		return Route{} // none, or one that says so: unreachable, prohibit, blackhole
	case err != nil:
		return Route{Err: err}
	}
	var r Route
	for _, one := range found {
		r.Local = r.Local || one.Type == unix.RTN_LOCAL
		hops := []int{one.LinkIndex}
		for _, hop := range one.MultiPath {
			hops = append(hops, hop.LinkIndex)
		}
		for _, index := range hops {
			if link, err := h.LinkByIndex(index); index != 0 && err == nil {
				r.Interfaces = append(r.Interfaces, link.Attrs().Name)
			}
		}
	}
	return r
}
