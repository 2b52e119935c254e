package adopt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// adoption is the state behind an Adoption. The adopter's lock guards it.
type adoption struct {
	Selection
	adopter *Adopter
	id      string
	rules   []byte
	since   time.Time

	anywhere bool                  // the rules say which interface
	life     Life                  // of the process that is given by its number; zero: not opened yet
	recalled map[uint64]KeptSocket // by cookie: what an earlier adopter knew

	followed map[int]*follower   // by the process's number
	sockets  map[uint64]*adopted // by cookie
	leftOut  []string
}

// follower is a process of an adoption.
type follower struct {
	*looker
	name string
	err  error // why nothing is seen of it
}

// look compares what the processes have with what is kept, and follows. The error
// wraps ErrEnded where a process that was given by its number has ended, and says
// what is missing where nothing can be seen at all.
func (a *adoption) look(ctx context.Context) error {
	if err := a.findProcesses(); err != nil {
		return err
	}
	found, open := a.findSockets()
	a.leftOut = nil
	for _, cookie := range slices.Sorted(maps.Keys(a.sockets)) {
		socket := a.sockets[cookie]
		if seen := found[cookie]; seen != nil {
			socket.Conn.setHandles(seen.handles)
			continue
		}
		if open { // all was seen, and it was not
			socket.end(ctx)
			delete(a.sockets, cookie)
		}
	}
	for _, cookie := range slices.Sorted(maps.Keys(found)) {
		if a.follow(ctx, cookie, found[cookie]); len(a.sockets[cookie].wishes) == 0 {
			delete(a.sockets, cookie)
		}
	}
	if open {
		a.recalled = nil
	}
	return a.verdict()
}

// findProcesses opens the processes that are meant now, and lets go of the others.
func (a *adoption) findProcesses() error {
	pids, err := a.pids()
	if err != nil {
		return fmt.Errorf("%s: %w", a.Selection, err)
	}
	for pid, f := range a.followed {
		if f.process.ended() || !slices.Contains(pids, pid) {
			f.process.Close()
			delete(a.followed, pid)
			if a.PID != 0 {
				return fmt.Errorf("process %d: %w", pid, ErrEnded)
			}
		}
	}
	for _, pid := range pids {
		if a.followed[pid] != nil || len(a.followed) >= mostProcesses {
			continue
		}
		p, err := a.open(pid)
		switch {
		case err != nil && a.PID != 0:
			return err
		case err != nil:
			continue // it has ended meanwhile
		}
		a.followed[pid] = &follower{looker: newLooker(p, placesOf(a.recalled))}
		a.adopter.watchers.Go(func() {
			p.Wait()
			a.adopter.Hint()
		})
	}
	return nil
}

// open opens a process that is meant. The error wraps ErrEnded where another one
// has its number by now.
func (a *adoption) open(pid int) (*Process, error) {
	p, err := openProcess(pid)
	if err != nil {
		return nil, err
	}
	if a.PID == 0 {
		if !a.means(p.path("")) {
			err = fmt.Errorf("process %d: %w", pid, ErrEnded)
		}
	} else {
		err = a.recognise(p)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// recognise returns an error where a process is not the one that was adopted by
// its number.
func (a *adoption) recognise(p *Process) error {
	l, err := p.life()
	switch {
	case err != nil:
		return err
	case a.life != (Life{}) && !a.life.same(l):
		return fmt.Errorf("process %d: another one has its number: %w", p.PID, ErrEnded)
	}
	a.life = l
	return nil
}

// seen is a socket with the processes that have it.
type seen struct {
	Found
	handles []handle
	process *follower // the first
}

// findSockets looks into every process, and reports whether it could look into
// all.
func (a *adoption) findSockets() (found map[uint64]*seen, all bool) {
	found, all = make(map[uint64]*seen), true
	groups := a.groups()
	for _, pid := range slices.Sorted(maps.Keys(a.followed)) {
		f := a.followed[pid]
		f.name = f.process.Name()
		var sockets []Found
		sockets, f.err = f.look(groups)
		all = all && (f.err == nil || errors.Is(f.err, ErrEnded))
		for _, s := range sockets {
			known := a.sockets[s.cookie] != nil
			if found[s.cookie] == nil && (known || len(s.Memberships) > 0 && len(found) < mostSockets) {
				found[s.cookie] = &seen{Found: s, process: f}
			}
			if one := found[s.cookie]; one != nil {
				one.handles = append(one.handles, handle{f.process, s.FD})
			}
		}
	}
	return found, all
}

// groups are those that any socket of the adoption is known to have joined: one
// process may have lost an interface that another one of its kind never had.
func (a *adoption) groups() []netip.Addr {
	all := make(map[netip.Addr]bool)
	for _, f := range a.followed {
		maps.Copy(all, f.groups)
	}
	return slices.Collect(maps.Keys(all))
}

// verdict is an error where nothing can be seen at all.
func (a *adoption) verdict() error {
	var errs []error
	for _, pid := range slices.Sorted(maps.Keys(a.followed)) {
		if err := a.followed[pid].err; err == nil || a.PID == 0 && errors.Is(err, ErrEnded) {
			return nil
		}
		errs = append(errs, a.followed[pid].err)
	}
	return errors.Join(errs...)
}

// names returns those of the memberships, sorted.
func (a *adoption) names() []string {
	names := []string{}
	for _, socket := range a.sockets {
		for _, w := range socket.wishes {
			if w.lease != nil {
				names = append(names, w.name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func (a *adoption) status() Adoption {
	s := Adoption{ID: a.id, Selection: a.Selection, Since: a.since, Processes: []ProcessStatus{}, Memberships: a.names(), LeftOut: slices.Concat([]string{}, a.leftOut)}
	for _, pid := range slices.Sorted(maps.Keys(a.followed)) {
		p := ProcessStatus{PID: pid, Name: a.followed[pid].name}
		if err := a.followed[pid].err; err != nil {
			p.Error = err.Error()
		}
		s.Processes = append(s.Processes, p)
	}
	return s
}
