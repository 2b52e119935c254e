package monitor

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/membership"
)

// target is a membership that is monitored. The owner's goroutine uses it.
type target struct {
	Target
	attachments []membership.Attachment
	flows       []*flow
	acting      bool // what is to be done on a stall is being done
	again       bool // and once more after that, for a stall that came meanwhile
}

// set replaces all targets.
func (m *Monitor) set(targets map[string]Target, now time.Time) {
	for name, t := range m.targets {
		if _, still := targets[name]; !still {
			m.drop(t.flows)
			delete(m.targets, name)
		}
	}
	for name, wanted := range targets {
		wanted.Settings = wanted.Settings.Normalize()
		t := m.targets[name]
		if t == nil {
			t = new(target)
			m.targets[name] = t
		}
		if wanted.Port != t.Port {
			m.drop(t.flows)
			t.flows = nil
		}
		t.Target = wanted
		m.reconcile(name, t, now)
		m.expect(t)
	}
}

// expect has the flows of a target looked at when they are due.
func (m *Monitor) expect(t *target) {
	for _, f := range t.flows {
		if due := f.due(); m.due.IsZero() || due.Before(m.due) {
			m.due = due
		}
	}
}

// attach tells where a membership is attached now.
func (m *Monitor) attach(name string, all []membership.Attachment) {
	if t := m.targets[name]; t != nil {
		t.attachments = all
		m.reconcile(name, t, time.Now())
		m.expect(t)
	}
}

// reconcile has a flow for each channel on each attachment, and for each channel
// where there is none. A flow that loses its attachment goes on with one that has no flow
// yet, or without.
func (m *Monitor) reconcile(name string, t *target, now time.Time) {
	before := make(map[membership.Channel][]*flow)
	for _, f := range t.flows {
		before[f.channel] = append(before[f.channel], f)
	}
	t.flows = t.flows[:0:0]
	for _, c := range distinct(t.Channels) {
		flows := before[c]
		delete(before, c)
		for n := range max(1, len(t.attachments)) {
			var at *membership.Attachment
			if n < len(t.attachments) {
				at = &t.attachments[n]
			}
			f := take(&flows, at, t.attachments)
			if f == nil {
				f = newFlow(name, c, t.Settings, now)
			}
			f.set(t.Settings)
			m.move(f, at)
			t.flows = append(t.flows, f)
		}
		m.drop(flows)
	}
	for _, flows := range before {
		m.drop(flows)
	}
}

func distinct(channels []membership.Channel) []membership.Channel {
	sorted := slices.SortedFunc(slices.Values(channels), membership.Channel.Compare)
	return slices.Compact(sorted)
}

// take takes the flow of an attachment from the rest: the one that is there, else
// one that is nowhere any more.
func take(rest *[]*flow, at *membership.Attachment, all []membership.Attachment) *flow {
	n := slices.IndexFunc(*rest, func(f *flow) bool { return at != nil && isAt(f, *at) })
	if n < 0 {
		n = slices.IndexFunc(*rest, func(f *flow) bool {
			return !slices.ContainsFunc(all, func(a membership.Attachment) bool { return isAt(f, a) })
		})
	}
	if n < 0 {
		return nil
	}
	f := (*rest)[n]
	*rest = slices.Delete(*rest, n, n+1)
	return f
}

func isAt(f *flow, a membership.Attachment) bool {
	return f.at != nil && f.at.Instance == a.Instance && f.at.Netns == a.Netns && f.at.Index == a.Index
}

// move has a flow heard where it is attached now.
func (m *Monitor) move(f *flow, to *membership.Attachment) {
	if to == nil || !isAt(f, *to) {
		m.disconnect(f)
		f.err = nil
	}
	f.at = to
	m.connect(f)
}

// connect has a flow heard, or notes and tells why it cannot be: it is tried again
// with each look.
func (m *Monitor) connect(f *flow) {
	if f.at == nil || f.socket != nil {
		return
	}
	s, err := m.socketFor(f)
	if err != nil {
		if f.err == nil || f.err.Error() != err.Error() {
			e := f.event(membership.EventError, time.Now(), "not monitored: "+err.Error())
			e.Err = err
			m.manager.Publish(e)
		}
		f.err = err
		return
	}
	f.err = nil
	s.include(f)
}

func (m *Monitor) socketFor(f *flow) (*socket, error) {
	p, err := f.place()
	if err != nil {
		return nil, err
	}
	if s := m.sockets[p]; s != nil {
		return s, nil
	}
	s, err := openSocket(p)
	if err != nil {
		return nil, err
	}
	if err := m.listen(s.fd); err != nil {
		_ = unix.Close(s.fd)
		return nil, err
	}
	m.sockets[p], m.byFD[int32(s.fd)] = s, s
	return s, nil
}

// disconnect has a flow heard no more.
func (m *Monitor) disconnect(f *flow) {
	s := f.socket
	if s == nil {
		return
	}
	s.exclude(f)
	if s.users > 0 {
		return
	}
	delete(m.sockets, s.place)
	delete(m.byFD, int32(s.fd))
	_ = unix.Close(s.fd)
}

func (m *Monitor) drop(flows []*flow) {
	for _, f := range flows {
		m.disconnect(f)
	}
}
