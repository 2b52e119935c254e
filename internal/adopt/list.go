package adopt

import (
	"errors"
	"fmt"
	"net/netip"
)

// Row is a membership of a process's socket, as "ssmd adopt --list" prints it.
type Row struct {
	PID       int          `json:"pid"`
	Process   string       `json:"process"`
	FD        int          `json:"fd"`
	Local     string       `json:"local"`            // empty: it is not bound
	Device    string       `json:"device,omitempty"` // that it is bound to
	Group     netip.Addr   `json:"group"`
	Sources   []netip.Addr `json:"sources"` // none of an any-source membership
	Interface string       `json:"interface"`
	Ifindex   int          `json:"ifindex"`
	State     State        `json:"state"`
}

// List looks once into all processes that are meant, of the zero Selection into
// every one, and returns what their UDP sockets have joined, sorted by process,
// descriptor, group and index. The error joins one for each process that could not
// be looked into; the rows are of the others. Where no process is meant it wraps
// ErrEnded.
func List(s Selection) ([]Row, error) {
	if s != (Selection{}) {
		if err := s.Validate(); err != nil {
			return nil, err
		}
	}
	pids, err := s.pids()
	if err == nil && len(pids) == 0 {
		err = fmt.Errorf("%s: %w", s, ErrEnded)
	}
	if err != nil {
		return nil, err
	}
	rows, errs := []Row{}, []error{}
	for _, pid := range pids {
		found, err := listOne(s, pid)
		rows = append(rows, found...)
		if err != nil && (s.PID != 0 || !errors.Is(err, ErrEnded)) {
			errs = append(errs, err)
		}
	}
	return rows, errors.Join(errs...)
}

func listOne(s Selection, pid int) ([]Row, error) {
	p, err := openProcess(pid)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if s.PID == 0 && !s.means(p.path("")) {
		return nil, nil // another has its number by now
	}
	name := p.Name()
	all, err := newLooker(p, placesOf(nil)).look(nil)
	if err != nil {
		return nil, err
	}
	return rowsOf(pid, name, all), nil
}

func rowsOf(pid int, name string, all []Found) []Row {
	var rows []Row
	for _, f := range all {
		for _, m := range f.Memberships {
			row := Row{
				PID: pid, Process: name, FD: f.FD, Device: f.Device, Group: m.Group, Sources: m.Sources,
				Interface: m.Interface, Ifindex: m.Index, State: m.State,
			}
			if row.Sources == nil {
				row.Sources = []netip.Addr{}
			}
			if f.Local.IsValid() {
				row.Local = f.Local.String()
			}
			rows = append(rows, row)
		}
	}
	return rows
}
