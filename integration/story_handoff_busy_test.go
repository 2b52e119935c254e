package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// Applications come and go while the daemon reads its file anew, is taken over,
// and is stopped and started: each is joined in the end, and what they leave is
// left.
func storyHandoffBusy(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		h := newHouse(t, f, program)
		index := h.index()
		var clients sync.WaitGroup
		ctx, stop := context.WithCancel(h.ctx)
		defer clients.Wait()
		defer stop()
		const applications = 6
		var conns [applications]*net.UDPConn
		var served [applications]int // each of its own goroutine until all have ended
		for n := range applications {
			conn := h.udp()
			conns[n] = conn
			entry := handoff.Entry{Name: fmt.Sprint("busy-", n), Channels: []membership.Channel{channelOf(f.spare(900 + n))}, Interface: "eth0"}
			clients.Go(func() {
				for ctx.Err() == nil {
					one, err := h.handOverAgain(ctx, conn, entry)
					if err != nil {
						if ctx.Err() == nil {
							t.Errorf("%s: %v", entry.Name, err)
						}
						return
					}
					group := entry.Channels[0].Group
					if err := testnet.Eventually(h.ctx, func() error {
						if users := h.users(index, group); users != 1 {
							return fmt.Errorf("%s: %d users", entry.Name, users)
						}
						return nil
					}); err != nil {
						t.Error(err)
					}
					served[n]++
					if err := one.Close(); err != nil {
						t.Errorf("%s: %v", entry.Name, err)
					}
				}
			})
		}
		for n := range 12 {
			switch n % 4 {
			case 0, 2:
				h.write(fmt.Sprintf("memberships: []\naudit: %ds\n", 30+n))
				_, err := h.daemon.client.Reload(h.ctx)
				ok(t, err)
			case 1:
				first := h.daemon
				h.start("--takeover")
				first.ended()
			case 3:
				h.daemon.signal(unix.SIGTERM)
				h.daemon.ended()
				h.start()
			}
		}
		stop()
		clients.Wait()
		for n, times := range served {
			if times == 0 {
				t.Errorf("application %d was never served", n)
			}
			ok(t, conns[n].Close()) // what was joined when a daemon ended stays so until then
			group := f.spare(900 + n).group
			eventually(t, func() error {
				if users := h.users(index, group); users != 0 {
					return fmt.Errorf("%d users of %s at the end", users, group)
				}
				return nil
			})
		}
	})
}

// handOverAgain hands over what was handed over before. The connection of before
// may be open for a moment yet, in a child process of the test between fork and exec.
func (h *house) handOverAgain(ctx context.Context, conn net.Conn, entry handoff.Entry) (one *handoff.Handoff, err error) {
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		one, err = handoff.HandOver(ctx, conn, entry, handoff.Options{Socket: h.path(), Wait: true})
		if problem, refused := errors.AsType[*control.Problem](err); !refused || problem.Type != handoff.ProblemNameInUse {
			break
		}
	}
	return one, err
}

// udp opens a socket of the family, bound to some port.
func (h *house) udp() (conn *net.UDPConn) {
	h.t.Helper()
	network := "udp4"
	if h.level == unix.IPPROTO_IPV6 {
		network = "udp6"
	}
	ok(h.t, h.Near.Do(func() (err error) {
		conn, err = net.ListenUDP(network, nil)
		return err
	}))
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}
