package integration

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// ear is a plain receiver of everything on the port, which joins nothing and
// tells by which interface each datagram came.
type ear struct {
	read  func([]byte) (size, ifindex int, group netip.Addr, err error)
	close func() error

	mu    sync.Mutex
	since time.Time // datagrams that were sent before do not count
	heard map[sound]heard
}

// sound is a group that is heard on an interface.
type sound struct {
	ifindex int
	group   netip.Addr
}

// heard is what was heard of a group from one sender, who numbers its datagrams.
type heard struct {
	count       int
	first, last uint64
}

// newEar opens a receiver of a family. It listens while run runs.
func newEar(n *testnet.Namespace, f fam) (*ear, error) {
	e := &ear{heard: make(map[sound]heard)}
	return e, n.Do(func() error {
		network := [...]string{"udp4", "udp6"}[f]
		conn, err := net.ListenUDP(network, &net.UDPAddr{Port: port})
		if err != nil {
			return err
		}
		e.close = conn.Close
		if f == fam4 {
			p := ipv4.NewPacketConn(conn)
			e.read = func(b []byte) (int, int, netip.Addr, error) {
				size, cm, _, err := p.ReadFrom(b)
				if err != nil || cm == nil {
					return 0, 0, netip.Addr{}, err
				}
				group, _ := netip.AddrFromSlice(cm.Dst.To4())
				return size, cm.IfIndex, group, nil
			}
			return p.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true)
		}
		p := ipv6.NewPacketConn(conn)
		e.read = func(b []byte) (int, int, netip.Addr, error) {
			size, cm, _, err := p.ReadFrom(b)
			if err != nil || cm == nil {
				return 0, 0, netip.Addr{}, err
			}
			group, _ := netip.AddrFromSlice(cm.Dst)
			return size, cm.IfIndex, group, nil
		}
		return p.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true)
	})
}

// run listens until ctx ends.
func (e *ear) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = e.close() })
	defer stop()
	var b [64]byte
	for {
		size, ifindex, group, err := e.read(b[:])
		switch {
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		case size == 16: // a testnet.Sender's: its number and the time
			sent := time.Unix(0, int64(binary.BigEndian.Uint64(b[8:16])))
			e.mu.Lock()
			if !sent.Before(e.since) {
				h, number := e.heard[sound{ifindex, group}], binary.BigEndian.Uint64(b[:8])
				if h.count == 0 {
					h.first = number
				}
				h.count, h.last = h.count+1, number
				e.heard[sound{ifindex, group}] = h
			}
			e.mu.Unlock()
		}
	}
}

// listen forgets what was heard, and counts what is sent from now on.
func (e *ear) listen() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.since = time.Now()
	clear(e.heard)
}

// count returns how many datagrams were heard since listen.
func (e *ear) count(s sound) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard[s].count
}

// lost returns how many are missing among those that one sender sent, first to
// last.
func (e *ear) lost(s sound) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.heard[s]; h.count > 0 {
		return int(h.last-h.first) + 1 - h.count
	}
	return 0
}
