package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// Conn is a net.PacketConn that receives channels, and goes on when their
// interface is replaced by another. Listen makes one. All methods are safe for
// concurrent use. Errors are those of a *net.UDPConn: os.ErrDeadlineExceeded after
// a deadline, net.ErrClosed once it is closed.
type Conn struct {
	socket    *net.UDPConn
	config    ListenConfig
	manager   *Manager
	leftovers *Leftovers
	since     uint64 // number of the last event before its own
	anywhere  bool   // bound to every address
	groups    atomic.Pointer[[]netip.Addr]

	stop   context.CancelFunc // of the own manager, nil for another's
	ran    chan struct{}      // closed when its Run has returned
	ranErr error              // what that returned
	ending sync.Once
	ended  atomic.Bool

	changing sync.Mutex  // of what follows; held over a change of channels
	joined   bool        // the manager has the membership
	unwatch  func() bool // of the context, nil before
}

var (
	_ net.PacketConn = (*Conn)(nil)
	_ syscall.Conn   = (*Conn)(nil)
)

func newConn(socket *net.UDPConn, config ListenConfig) *Conn {
	c := &Conn{socket: socket, config: config, manager: config.Manager}
	if c.manager == nil {
		c.manager = New(config.Options)
	}
	c.since = c.manager.hub.last()
	c.leftovers = c.manager.Leftovers(config.Name)
	c.anywhere = !config.bindAddress().IsMulticast()
	c.setGroups(config.Channels)
	return c
}

// begin joins. Where it fails, Close takes everything back.
func (c *Conn) begin(ctx context.Context) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.config.Manager == nil {
		var running context.Context
		running, c.stop = context.WithCancel(context.WithoutCancel(ctx))
		c.ran = make(chan struct{})
		go func() {
			defer close(c.ran)
			c.ranErr = c.manager.Run(running)
		}()
	}
	if err := c.put(ctx, c.config.Channels, c.manager.putNew); err != nil && !errors.Is(err, ErrPutOff) {
		return err
	}
	c.joined = true
	if err := ctx.Err(); err != nil {
		return err
	}
	c.unwatch = context.AfterFunc(ctx, func() { _ = c.Close() })
	return nil
}

// put wishes for channels in one way or another. Where the own manager could not
// begin, the error says why.
func (c *Conn) put(ctx context.Context, channels []Channel, put func(context.Context, Membership) error) error {
	m := c.config.membership(channels)
	m.Socket = c.socket
	err := put(ctx, m)
	if errors.Is(err, ErrStopped) && c.ran != nil {
		<-c.ran
		err = cmp.Or(c.ranErr, err)
	}
	return err
}

// SetChannels has other channels received from now on. What was received before
// and is still wanted is not interrupted. The groups must be the one that the
// connection was made with, where it was made with one.
func (c *Conn) SetChannels(ctx context.Context, channels []Channel) error {
	config := c.config
	config.Channels = slices.Clone(channels)
	if err := config.validate(); err != nil {
		return fmt.Errorf("set channels: %w", err)
	}
	if err := c.canReceive(channels); err != nil {
		return fmt.Errorf("set channels: %w", err)
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.ended.Load() {
		return fmt.Errorf("set channels: %w", net.ErrClosed)
	}
	before := *c.groups.Load()
	c.setGroups(config.Channels, before...) // what is left meanwhile may be read yet
	err := c.put(ctx, config.Channels, c.manager.Put)
	if err == nil || errors.Is(err, ErrPutOff) {
		c.setGroups(config.Channels)
	} else {
		c.groups.Store(&before)
	}
	if err != nil {
		return fmt.Errorf("set channels: %w", err)
	}
	return nil
}

// canReceive returns an error where the socket's address is not that of the
// channels.
func (c *Conn) canReceive(channels []Channel) error {
	for _, x := range channels {
		bound := c.config.Channels[0]
		if x.Family() != bound.Family() {
			return fmt.Errorf("channel %s is %s, want %s", x, x.Family(), bound.Family())
		}
		if !c.anywhere && x.Group != bound.Group {
			return fmt.Errorf("channel %s: the connection is bound to %s alone", x, bound.Group)
		}
	}
	return nil
}

// setGroups has datagrams to the groups of channels read, and to others.
func (c *Conn) setGroups(channels []Channel, others ...netip.Addr) {
	groups := slices.Clone(others)
	for _, x := range channels {
		groups = append(groups, x.Group)
	}
	slices.SortFunc(groups, netip.Addr.Compare)
	groups = slices.Compact(groups)
	c.groups.Store(&groups)
}

// Close leaves every channel and closes the socket. It returns when that is done,
// whoever began it; a second call returns an error that wraps net.ErrClosed. For
// the one socket that may stay open see Manager.Run.
func (c *Conn) Close() error {
	first := false
	var err error
	c.ending.Do(func() {
		first = true
		c.end() // before the socket is closed, which would take entries of dead lives from others
		err = c.socket.Close()
	})
	if !first {
		return c.socket.Close()
	}
	return err
}

// end has the membership left, and nobody follow it any more.
func (c *Conn) end() {
	c.ended.Store(true)
	if c.stop != nil {
		c.stop()
		<-c.ran
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.unwatch != nil {
		c.unwatch()
	}
	if c.stop == nil && c.joined {
		_ = c.manager.Delete(context.Background(), c.config.Name) // or its Run has ended, which has left too
	}
	c.leftovers.Close()
}
