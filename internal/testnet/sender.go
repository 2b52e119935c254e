package testnet

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// payload is the size of a datagram: its number and the time it was sent at,
// in nanoseconds since 1970, both big-endian.
const payload = 16

// SenderConfig says what a [Sender] sends.
type SenderConfig struct {
	To        []netip.AddrPort // groups and ports, of either family
	Interface string           // looked up anew whenever it is lost; empty: far0
	Source4   netip.Addr       // invalid: Source4
	Source6   netip.Addr       // invalid: Source6
	Port      uint16           // of the source; 0: the kernel chooses
	Every     time.Duration    // between two datagrams to one group; 0: 5ms
}

// Sender sends numbered datagrams to groups. It outlives its interface: while
// that is away, or has no address yet, nothing is sent and no number is used.
type Sender struct {
	namespace *Namespace
	config    SenderConfig

	mu   sync.Mutex
	sent map[netip.AddrPort]uint64
	err  error

	conns map[bool]*net.UDPConn // owned by Run: by family, true for IPv6
}

// NewSender makes a sender. It sends while Run runs.
func NewSender(n *Namespace, c SenderConfig) *Sender {
	if c.Interface == "" {
		c.Interface = "far0"
	}
	if !c.Source4.IsValid() {
		c.Source4 = Source4
	}
	if !c.Source6.IsValid() {
		c.Source6 = Source6
	}
	if c.Every == 0 {
		c.Every = 5 * time.Millisecond
	}
	return &Sender{namespace: n, config: c,
		sent: map[netip.AddrPort]uint64{}, conns: map[bool]*net.UDPConn{}}
}

// Run sends until ctx ends, and then returns nil. Call it once.
func (s *Sender) Run(ctx context.Context) error {
	defer s.hangUp(false)
	defer s.hangUp(true)
	tick := time.NewTicker(s.config.Every)
	defer tick.Stop()
	for {
		for _, to := range s.config.To {
			s.note(to, s.send(to))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Sent returns how many datagrams went out to a group; the last one had this
// number, the first one 1.
func (s *Sender) Sent(to netip.AddrPort) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[to]
}

// Err returns what kept the last datagram from going out, or nil.
func (s *Sender) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Sender) note(to netip.AddrPort, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.sent[to]++
	}
}

// send sends the next datagram. After any error the family's socket is opened
// anew: the interface may have got another index.
func (s *Sender) send(to netip.AddrPort) error {
	v6 := to.Addr().Is6()
	conn, err := s.dial(v6)
	if err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	var b [payload]byte
	binary.BigEndian.PutUint64(b[:8], s.Sent(to)+1)
	binary.BigEndian.PutUint64(b[8:], uint64(time.Now().UnixNano()))
	if _, err := conn.WriteToUDPAddrPort(b[:], to); err != nil {
		s.hangUp(v6)
		return fmt.Errorf("send to %s: %w", to, err)
	}
	return nil
}

func (s *Sender) dial(v6 bool) (*net.UDPConn, error) {
	if c := s.conns[v6]; c != nil {
		return c, nil
	}
	ifindex, err := s.namespace.Index(s.config.Interface)
	if err != nil {
		return nil, err
	}
	source := s.config.Source4
	if v6 {
		source = s.config.Source6
	}
	c, err := listen(s.namespace, netip.AddrPortFrom(source, s.config.Port))
	if err != nil {
		return nil, err
	}
	if err := sendOn(c, ifindex, v6); err != nil {
		_ = c.Close()
		return nil, err
	}
	s.conns[v6] = c
	return c, nil
}

func (s *Sender) hangUp(v6 bool) {
	if c := s.conns[v6]; c != nil {
		_ = c.Close()
		s.conns[v6] = nil
	}
}
