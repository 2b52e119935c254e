package control

import (
	"fmt"
	"log/slog"
	"net"
)

// DoorOptions configure a Door. Most is needed, the rest may be zero.
type DoorOptions struct {
	// Access says who may come in. Zero: root and the process's own user.
	Access Access
	// Most is how many may be in at a time. Users other than root and the
	// daemon's own have seven eighths of them, and each of these half.
	Most int
	// What names what there may be Most of, in the plural.
	What string
	// Logger gets what goes wrong with a connection; nil discards it.
	Logger *slog.Logger
}

// Door lets clients of a socket in: those that may, as many as may be.
type Door struct {
	listener net.Listener
	access   Access
	quota    *quota
	log      *slog.Logger
}

// NewDoor returns a door at a Listener, which is the caller's to close.
func NewDoor(l net.Listener, o DoorOptions) *Door {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	share := func(part, of int) int { return max(1, o.Most*part/of) }
	b := bounds{all: o.Most, others: share(7, 8), each: share(1, 2)}
	return &Door{listener: l, access: o.Access, quota: newQuota(o.What, b), log: o.Logger}
}

// Taken returns how many are in.
func (d *Door) Taken() int { return d.quota.taken() }

// Visitor is a connection, with who is at the other end as of its beginning.
type Visitor struct {
	*net.UnixConn
	PID     int      // zero where it has none in the daemon's namespace
	User    string   // as errors name it: "user 1000"
	Refused *Problem // why it is not let in, nil where it is

	close func() error
	leave func()
}

// Accept waits for a connection. One that is refused has no place; whoever
// serves says why, and closes it.
func (d *Door) Accept() (*Visitor, error) {
	c, err := d.listener.Accept()
	if err != nil {
		return nil, err
	}
	socket, ok := socketOf(c)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("accept: %T is no unix socket", c)
	}
	p, err := peerOf(c)
	if err != nil {
		d.log.Warn("take a connection for a stranger's", "error", err)
	}
	v := &Visitor{UnixConn: socket, PID: p.pid, User: p.String(), close: c.Close, leave: func() {}}
	if d.access.roleOf(p) != changer {
		v.Refused = forbidden(fmt.Sprintf("%s may not hand anything over: want %s", p, d.access.changers()))
		return v, nil
	}
	switch d.quota.take(p) {
	case over:
		d.quota.give(p)
		fallthrough
	case none:
		v.Refused = d.quota.exceeded(p)
	case fair:
		v.leave = func() { d.quota.give(p) }
	}
	return v, nil
}

// Close closes the connection, and makes room for another. It is called once.
func (v *Visitor) Close() error {
	defer v.leave()
	return v.close()
}
