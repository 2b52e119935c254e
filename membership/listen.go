package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// ListenConfig says what a [Conn] receives. Channels, Port and Rules are what most
// programs set.
type ListenConfig struct {
	// Channels are what is received, at least one, all of one family. They
	// may have several groups.
	Channels []Channel

	// Port is the UDP port that the sources send to, not zero.
	Port uint16

	// Rules say on which interface, and what may take its place.
	Rules reattach.Rules

	// AnyRange admits groups outside the source-specific ranges.
	AnyRange AnyRange

	// Reannounce says when the network is told anew.
	Reannounce Reannounce

	// Leftovers says what becomes of what an interface that is gone had left
	// in the receive queue.
	Leftovers LeftoverPolicy

	// Share says who else may receive on the port.
	Share Share

	// Control, where it is not nil, is called with the socket before it is
	// bound, to set options of its own.
	Control func(syscall.RawConn) error

	// Manager holds the membership, beside others; its Run runs elsewhere,
	// and for longer. An Apply there removes the membership: use Put. Nil
	// means one of the Conn's own, which follows the interfaces for it alone:
	// a program with many a Conn better shares one.
	Manager *Manager

	// Name is that of the membership. Empty means one that no other Conn of
	// the process has.
	Name string

	// Options are those of the Conn's own manager. With a Manager that works
	// in another network namespace than the caller, Options.Watch.Within is
	// that one's too: the socket is opened there.
	Options Options
}

// LeftoverPolicy says what becomes of a datagram that came by an attachment which
// has ended, as [Leftovers] tells it.
type LeftoverPolicy int

// The policies for what is left over.
const (
	// KeepLeftovers delivers it, in its order: it is what came before the
	// rest, and no other socket would lose it.
	KeepLeftovers LeftoverPolicy = iota

	// DropLeftovers drops it: for streams of which the former interface may
	// have brought another network's.
	DropLeftovers
)

// Share says who else may be bound to the same address and port.
type Share int

// The ways to share a port.
const (
	// ShareNothing lets nobody: an error tells of a second receiver, on either
	// side.
	ShareNothing Share = iota

	// ShareAddress lets everybody who does so too (SO_REUSEADDR). Each gets
	// its own copy of every datagram.
	ShareAddress
)

var conns atomic.Uint64

// Listen returns a connection that receives channels on an interface, and again
// on what takes its place, by rules. There need be no such interface yet: Listen
// returns when what can be joined now was; Status tells how far that is, and what
// was refused. The connection ends with Close, or when ctx does, which closes it.
//
// It is bound to the group, so that nothing else is received, or, where there are
// several groups, to every address, and drops what was sent elsewhere. What
// another process joined is not received (IP_MULTICAST_ALL and IPV6_MULTICAST_ALL
// are 0), but for IPv6, where the kernel delivers a channel from whichever
// interfaces it is joined on.
//
// The error wraps unix.EADDRINUSE where the port is taken.
func Listen(ctx context.Context, config ListenConfig) (*Conn, error) {
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	config.Name = cmp.Or(config.Name, fmt.Sprint("listen-", conns.Add(1)))
	config.Channels = slices.Clone(config.Channels)
	socket, err := config.open()
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	c := newConn(socket, config)
	if err := c.begin(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen: %w", err)
	}
	return c, nil
}

func (c ListenConfig) validate() error {
	var errs []error
	if c.Port == 0 {
		errs = append(errs, errors.New("port: 0, want the one that the sources send to"))
	}
	if c.Leftovers != KeepLeftovers && c.Leftovers != DropLeftovers {
		errs = append(errs, fmt.Errorf("leftovers: %d, want KeepLeftovers or DropLeftovers", c.Leftovers))
	}
	if c.Share != ShareNothing && c.Share != ShareAddress {
		errs = append(errs, fmt.Errorf("share: %d, want ShareNothing or ShareAddress", c.Share))
	}
	m := c.membership(c.Channels)
	m.Socket, m.Name = new(net.UDPConn), cmp.Or(c.Name, "listen")
	errs = append(errs, m.Validate(), oneFamily(c.Channels))
	return errors.Join(errs...)
}

func oneFamily(channels []Channel) error {
	for _, c := range channels {
		if first := channels[0]; c.Family() != first.Family() {
			return fmt.Errorf("channels: %s and %s, want one family: a socket for each", first, c)
		}
	}
	return nil
}

// membership returns that of the connection with these channels.
func (c ListenConfig) membership(channels []Channel) Membership {
	return Membership{Name: c.Name, Channels: channels, AnyRange: c.AnyRange, Rules: c.Rules, Reannounce: c.Reannounce}
}

func (c ListenConfig) family() ifwatch.Family { return c.Channels[0].Family() }
