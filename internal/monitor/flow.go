package monitor

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/monitor/rtp"
	"github.com/ssmd-project/ssmd/membership"
)

// flow is one channel of a membership on one attachment, or on none. It is pure:
// the time is an argument.
type flow struct {
	name     string // of the membership
	channel  membership.Channel
	settings Settings
	at       *membership.Attachment // nil: none

	datagrams, bytes uint64
	rtp              *rtp.Stream

	heard   time.Time // when the last datagram was read; or, before, since when one is waited for
	last    time.Time // when the last of them arrived; zero: none that a gap is counted from
	gap     time.Duration
	stalled bool
	since   time.Time // of stalled
	stalls  uint64

	window window
	err    error // why there is no socket
	socket *socket

	unread        uint64 // of the sockets before
	droppedBefore uint64 // of the socket's, before the flow was there
}

// window is what was counted until the last look, and the rates until then.
type window struct {
	at               time.Time
	datagrams, bytes uint64

	perSecond, bytesPerSecond float64
	gap                       time.Duration
}

func newFlow(name string, c membership.Channel, s Settings, now time.Time) *flow {
	f := &flow{name: name, channel: c, heard: now, since: now, window: window{at: now}}
	f.set(s)
	return f
}

// set changes the settings, and counts on.
func (f *flow) set(s Settings) {
	switch {
	case !s.RTP:
		f.rtp = nil
	case f.rtp == nil:
		f.rtp = &rtp.Stream{ClockRate: s.ClockRate}
	default:
		f.rtp.ClockRate = s.ClockRate
	}
	f.settings = s
}

// add counts a datagram of so many bytes, of which b has the first. It returns
// true where it ends a stall. now may be later than when it arrived.
func (f *flow) add(size int, b []byte, arrived, now time.Time) (resumed bool) {
	f.datagrams++
	f.bytes += uint64(size)
	if f.rtp != nil {
		f.rtp.Add(b, arrived)
	}
	if !f.last.IsZero() {
		f.gap = max(f.gap, arrived.Sub(f.last))
	}
	if f.heard = now; arrived.After(f.last) {
		f.last = arrived
	}
	if !f.stalled {
		return false
	}
	f.stalled, f.since = false, now
	return true
}

// look takes the rates until now, and returns true where the flow stalls.
func (f *flow) look(now time.Time) (stalls bool) {
	f.measure(now)
	if f.err != nil {
		f.heard, f.last = now, time.Time{} // nobody listens
	}
	if f.stalled || now.Sub(f.heard) < f.settings.StalledAfter {
		return false
	}
	f.stalled, f.since = true, now
	f.stalls++
	return true
}

// measure closes the window after a second.
func (f *flow) measure(now time.Time) {
	w := &f.window
	passed := now.Sub(w.at).Seconds()
	if passed < 1 {
		return
	}
	w.perSecond = float64(f.datagrams-w.datagrams) / passed
	w.bytesPerSecond = float64(f.bytes-w.bytes) / passed
	w.gap = f.gap
	if !f.last.IsZero() {
		w.gap = max(w.gap, now.Sub(f.heard))
	}
	w.at, w.datagrams, w.bytes, f.gap = now, f.datagrams, f.bytes, 0
}

// due is when the flow is to be looked at next.
func (f *flow) due() time.Time {
	next := f.window.at.Add(time.Second)
	if stall := f.heard.Add(f.settings.StalledAfter); !f.stalled && f.err == nil && stall.Before(next) {
		return stall
	}
	return next
}

func (f *flow) status() Stream {
	s := Stream{
		Channel: f.channel, Stalled: f.stalled, Since: f.since,
		DatagramsPerSecond: f.window.perSecond, BytesPerSecond: f.window.bytesPerSecond, LongestGapSeconds: f.window.gap.Seconds(),
		Datagrams: f.datagrams, Bytes: f.bytes, Stalls: f.stalls, Unread: f.unreadNow(),
	}
	if f.at != nil {
		s.Interface, s.Instance = f.at.Interface, f.at.Instance
	}
	if f.err != nil {
		s.Error = f.err.Error()
	}
	if f.rtp != nil {
		s.RTP = statusOf(f.rtp)
	}
	return s
}

// unreadNow is what the monitor was too slow for.
func (f *flow) unreadNow() uint64 {
	if f.socket == nil {
		return f.unread
	}
	return f.unread + f.socket.dropped - f.droppedBefore
}

func statusOf(s *rtp.Stream) *RTP {
	t := s.Totals()
	r := &RTP{Expected: t.Expected, Received: t.Received, Lost: t.Lost(), Reordered: t.Reordered, Duplicates: t.Duplicates, Invalid: t.Invalid, Restarts: t.Restarts}
	if jitter, ok := s.Jitter(); ok {
		seconds := jitter.Seconds()
		r.JitterSeconds = &seconds
	}
	return r
}

// event tells of the flow.
func (f *flow) event(kind membership.EventType, at time.Time, reason string) membership.Event {
	e := membership.Event{Time: at, Type: kind, Membership: f.name, Cause: CauseStream, Reason: fmt.Sprintf("%s: %s", f.channel, reason)}
	if f.at != nil {
		e.Interface, e.Instance, e.Netns, e.Index = f.at.Interface, f.at.Instance, f.at.Netns, f.at.Index
	}
	return e
}

// silence says for how long nothing has come.
func (f *flow) silence() string {
	if f.at == nil {
		return fmt.Sprintf("no datagram for %s: not attached", f.settings.StalledAfter)
	}
	return fmt.Sprintf("no datagram for %s on port %d", f.settings.StalledAfter, f.settings.Port)
}

// place is where the flow is to be heard, once it is attached. Of a network
// namespace the name may have gone over to another one.
func (f *flow) place() (place, error) {
	p := place{address: netip.AddrPortFrom(f.channel.Group, f.settings.Port)}
	if f.at.Netns != "" {
		n, err := ifwatch.FindNamespace(ifwatch.NamespacePath(f.at.Netns))
		if err != nil {
			return place{}, fmt.Errorf("find the network namespace: %w", err)
		}
		p.namespace = n
	}
	if g := f.channel.Group; g.Is6() && (g.IsLinkLocalMulticast() || g.IsInterfaceLocalMulticast()) {
		p.index = f.at.Index // binding to such an address needs it
	}
	return p, nil
}
