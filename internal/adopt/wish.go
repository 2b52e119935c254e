package adopt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ssmd-project/ssmd/membership"
)

// adopted is a socket with what is kept on it.
type adopted struct {
	*Conn
	wishes map[string]*wish // by the interface that it is about, "" for any
}

// wish is a membership of a socket.
type wish struct {
	name     string
	iface    string // that its rules name where they are not given
	places   map[place]bool
	channels []membership.Channel // sorted
	lease    Lease                // nil: it is not kept
	missed   bool                 // the last look missed something that it had
	lost     bool                 // somebody else ended it, and nobody begins it anew
	problem  string               // why it is not kept
}

func (s *adopted) end(ctx context.Context) {
	for _, w := range s.wishes {
		w.end(ctx)
	}
}

func (w *wish) end(ctx context.Context) {
	if w.lease != nil {
		_ = w.lease.End(ctx) // the manager has ended, or nobody has it any more
		w.lease = nil
	}
}

// follow brings what is kept on a socket in step with what the socket has.
func (a *adoption) follow(ctx context.Context, cookie uint64, now *seen) {
	socket := a.sockets[cookie]
	if socket == nil {
		socket = &adopted{Conn: &Conn{inode: now.inode, cookie: cookie}, wishes: make(map[string]*wish)}
		socket.setHandles(now.handles)
		a.sockets[cookie] = socket
	}
	wanted := a.sort(ctx, socket, now)
	for key, w := range socket.wishes {
		if a.mayComeBack(ctx, w, wanted[key]) {
			continue
		}
		if w.missed = false; wanted[key] == nil {
			w.end(ctx)
			delete(socket.wishes, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		w := socket.wishes[key]
		if w == nil {
			w = &wish{iface: key, places: make(map[place]bool), lost: slices.Contains(a.recalled[cookie].Lost, key)}
			socket.wishes[key] = w
		}
		channels := wanted[key].channels
		if w.missed {
			maps.Copy(w.places, wanted[key].places)
			channels = merged(channels, w.channels)
		} else {
			w.places = wanted[key].places
		}
		a.keep(ctx, socket, w, channels, now)
		if w.problem != "" {
			a.leaveOut(now, fmt.Sprintf("%s: %s", wanted[key].channels[0], w.problem))
		}
	}
}

// mayComeBack reports whether a wish lacks something that need not be left by the
// process: on its way from a dead interface to the next one a channel is nowhere
// for a moment, or for as long as the manager takes. It is looked at again.
func (a *adoption) mayComeBack(ctx context.Context, w *wish, now *share) bool {
	if w.lease == nil {
		return false
	}
	missing := w.channels
	if now != nil {
		missing = slices.DeleteFunc(slices.Clone(w.channels), func(c membership.Channel) bool {
			return slices.Contains(now.channels, c)
		})
	}
	if len(missing) == 0 {
		return false
	}
	first := !w.missed
	if w.missed = true; first {
		a.adopter.Hint()
		return true
	}
	pending := a.adopter.keeper.Pending(ctx, w.name)
	return slices.ContainsFunc(missing, func(c membership.Channel) bool { return slices.Contains(pending, c) })
}

// merged returns all of two lists, sorted.
func merged(a, b []membership.Channel) []membership.Channel {
	all := slices.Concat(a, b)
	slices.SortFunc(all, membership.Channel.Compare)
	return slices.Compact(all)
}

// share is what a socket has for one wish.
type share struct {
	places   map[place]bool
	channels []membership.Channel
}

// sort finds for everything that a socket has the wish that it belongs to. What
// belonged to one before still does: its interface may have another name by now,
// or none. What is on an interface that a wish is attached to came there with it.
func (a *adoption) sort(ctx context.Context, socket *adopted, now *seen) map[string]*share {
	attached := make(map[int]string)
	for key, w := range socket.wishes {
		if w.lease != nil {
			for _, index := range a.adopter.keeper.AttachedTo(ctx, w.name) {
				attached[index] = key
			}
		}
	}
	shares := make(map[string]*share)
	for _, m := range now.Memberships {
		p := place{m.Group, m.Index}
		key, found := socket.keyOf(p)
		if !found && m.State != StateDeaf {
			key, found = attached[m.Index]
		}
		if !found && m.State == StateDeaf && socket.wishes[m.Interface] == nil {
			key, found = socket.keyOfChannels(usable(m)) // it came, maybe under another name, and went between two looks
		}
		switch {
		case m.State == StateAnySource:
			a.leaveOut(now, fmt.Sprintf("%s on %s: joined from any source", m.Group, m.Interface))
			continue
		case a.anywhere && !found && m.State != StateDeaf && socket.isKept(""):
			a.leaveOut(now, fmt.Sprintf("%s on %s: the rules want another interface", m.Group, m.Interface))
			continue
		case a.anywhere:
			key = ""
		case !found && m.Interface == "":
			a.leaveOut(now, fmt.Sprintf("%s on ifindex %d: deaf, and nobody knows what the interface was called: want --interface", m.Group, m.Index))
			continue
		case !found:
			key = m.Interface
		}
		channels := usable(m)
		if len(channels) == 0 {
			a.leaveOut(now, fmt.Sprintf("%s on %s: its sources can never send", m.Group, m.Interface))
			continue
		}
		if shares[key] == nil {
			shares[key] = &share{places: make(map[place]bool)}
		}
		shares[key].places[p] = true
		shares[key].channels = append(shares[key].channels, channels...)
	}
	for _, s := range shares {
		s.channels = merged(s.channels, nil)
	}
	return shares
}

// isKept reports whether a wish is kept.
func (s *adopted) isKept(key string) bool { return s.wishes[key] != nil && s.wishes[key].lease != nil }

func (s *adopted) keyOf(p place) (key string, found bool) {
	for key, w := range s.wishes {
		if w.places[p] {
			return key, true
		}
	}
	return "", false
}

func (s *adopted) keyOfChannels(channels []membership.Channel) (key string, found bool) {
	for key, w := range s.wishes {
		if slices.ContainsFunc(channels, func(c membership.Channel) bool { return slices.Contains(w.channels, c) }) {
			return key, true
		}
	}
	return "", false
}

// usable returns the channels that a membership can be of: the kernel checks
// nothing (K13).
func usable(m Membership) (channels []membership.Channel) {
	for _, source := range m.Sources {
		c := membership.Channel{Source: source, Group: m.Group}
		if c.Validate(membership.AnyMulticastRange) == nil {
			channels = append(channels, c)
		}
	}
	return channels
}

func (a *adoption) leaveOut(now *seen, what string) {
	const most = 100
	if len(a.leftOut) < most {
		a.leftOut = append(a.leftOut, fmt.Sprintf("process %d, descriptor %d: %s", now.process.process.PID, now.FD, what))
	}
}

// keep has the channels of a wish kept. Nobody begins anew what somebody removed
// by its name.
func (a *adoption) keep(ctx context.Context, socket *adopted, w *wish, channels []membership.Channel, now *seen) {
	if w.lost {
		w.problem = cmp.Or(w.problem, "the membership was removed")
		return
	}
	if w.lease != nil && slices.Equal(w.channels, channels) {
		return
	}
	var err error
	if w.lease != nil {
		err = a.put(ctx, socket, w, channels)
	} else {
		err = a.lend(ctx, socket, w, channels, now)
	}
	if err != nil {
		w.problem = err.Error()
		return
	}
	w.channels, w.problem = channels, ""
}

func (a *adoption) put(ctx context.Context, socket *adopted, w *wish, channels []membership.Channel) error {
	m, err := a.make(socket, w, channels)
	if err != nil {
		return err
	}
	return w.lease.Put(ctx, m)
}

// lend finds a name that is free.
func (a *adoption) lend(ctx context.Context, socket *adopted, w *wish, channels []membership.Channel, now *seen) error {
	why := fmt.Sprintf("is of process %d, which is adopted: ssmd adopt --stop %s lets go of it", now.process.process.PID, a.id)
	lost := func(note string) {
		a.adopter.log.Warn("a membership of an adopted process is not kept any more", "adoption", a.id, "membership", w.name, "reason", note)
		go a.adopter.forget(a, w, note)
	}
	base := nameFor(now)
	for n := range 100 {
		w.name = base
		switch {
		case n == 1 && w.iface != "":
			w.name += "-" + cleaned(w.iface)
		case n > 0:
			w.name = fmt.Sprintf("%s-%s-%d", base, cleaned(w.iface), n)
		}
		m, err := a.make(socket, w, channels)
		if err != nil {
			return err
		}
		lease, err := a.adopter.keeper.Lend(ctx, m, why, lost)
		if err == nil {
			w.lease = lease
			return nil
		}
		if !errors.Is(err, ErrNameInUse) {
			return err
		}
	}
	return fmt.Errorf("%s: %w, and all that are like it", base, ErrNameInUse)
}

func (a *adoption) make(socket *adopted, w *wish, channels []membership.Channel) (membership.Membership, error) {
	m, err := a.adopter.keeper.Make(w.name, a.rules, w.iface, channels)
	m.Socket, m.Keep, m.AnyRange = socket.Conn, membership.KeepAlways, membership.AnyMulticastRange
	return m, err
}

// forget notes that somebody else ended a membership.
func (a *Adopter) forget(one *adoption, w *wish, note string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.lease, w.lost, w.problem = nil, true, note
	a.note()
}
