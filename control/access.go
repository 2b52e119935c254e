package control

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Access says who may do what over a control socket. Root and the user that the
// daemon runs as may do everything; that is all that the zero value allows.
type Access struct {
	mode     fs.FileMode
	name     string // of the endpoint
	changes  *group // whose members may do everything too
	reads    *group // whose members may read
	everyone bool   // may do everything
}

// group is a group with the name that it was given by.
type group struct {
	id   uint32
	name string
}

// NewAccess returns who may do what, by the mode and the group of a control
// socket and the group of those who may only read; groups are names or numbers.
// An empty group is the process's own, whose members may change what the daemon
// does where the mode lets the group write. With empty readers nobody only
// reads.
func NewAccess(mode fs.FileMode, changers, readers string) (Access, error) {
	a, err := newAccess(API, mode, changers)
	if err != nil {
		return Access{}, err
	}
	if readers != "" {
		if a.reads, err = findGroup("control.readers", readers); err != nil {
			return Access{}, err
		}
	}
	return a, nil
}

// NewHandoffAccess returns who may hand sockets over, by the mode and the group
// of that socket, as NewAccess has it. With a mode that lets everybody write
// everybody may: all that it gives is what anybody can do to his own socket.
func NewHandoffAccess(mode fs.FileMode, group string) (Access, error) {
	a, err := newAccess(Handoff, mode, group)
	a.everyone = mode&0o002 != 0
	return a, err
}

func newAccess(e Endpoint, mode fs.FileMode, changers string) (a Access, err error) {
	a = Access{mode: mode.Perm(), name: e.name}
	if mode&0o020 != 0 {
		if changers == "" {
			changers = strconv.Itoa(os.Getegid())
		}
		if a.changes, err = findGroup(e.name+".group", changers); err != nil {
			return Access{}, err
		}
	}
	return a, nil
}

// Mode returns the mode of the socket's file. A file has one group, so where
// another one reads, everybody may connect, and the server refuses whoever is
// in neither.
func (a Access) Mode() fs.FileMode {
	if a.reads != nil {
		return a.mode | 0o666
	}
	return a.mode
}

// findGroup looks a group up by its name or number; key is where it was given.
func findGroup(key, name string) (*group, error) {
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return &group{id: uint32(id), name: name}, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w, want the name or the number of a group", key, err)
	}
	id, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", key, err)
	}
	return &group{id: uint32(id), name: name}, nil
}

// role is what somebody may do.
type role int

const (
	stranger role = iota // nothing
	reader               // ask, with GET and HEAD
	changer              // everything
)

func (a Access) roleOf(p peer) role {
	switch {
	case p.privileged(), a.everyone, a.changes != nil && p.in(a.changes.id):
		return changer
	case a.reads != nil && p.in(a.reads.id):
		return reader
	}
	return stranger
}

// refuse says why somebody may not do something, and who may.
func (a Access) refuse(p peer) string {
	want := a.changers()
	if a.roleOf(p) == reader {
		return fmt.Sprintf("%s may read and change nothing: want %s", p, want)
	}
	readers := "control.readers names no group that may read"
	if a.reads != nil {
		readers = fmt.Sprintf("a member of group %s (control.readers) may read", a.reads.name)
	}
	return fmt.Sprintf("%s may neither read nor change anything: want %s; %s", p, want, readers)
}

// changers says who may do everything.
func (a Access) changers() string {
	who := []string{"root"}
	if own := os.Geteuid(); own != 0 {
		who = append(who, fmt.Sprintf("the daemon's own user %d", own))
	}
	if a.changes != nil {
		who = append(who, fmt.Sprintf("a member of group %s (%s.group)", a.changes.name, a.name))
	}
	return strings.Join(who, " or ")
}
