package integration

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// Connections that are made and closed at any moment of an interface's life and
// death take nothing from one that stays, and leave no socket in its namespace.
func TestStoryListenChurn(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		config := l.listenConfig()
		config.Share = membership.ShareAddress
		before := socketsIn(t, l.Near)
		app := l.listenWith(config)
		app.hearsNew(f.channel.group)

		stop := make(chan struct{})
		var workers sync.WaitGroup
		for range 4 {
			workers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						l.listenBriefly(config)
					}
				}
			})
		}
		for n := range 30 {
			veth := testnet.Veth{Index: l.index() * (n % 2)} // every second one has the same index
			ok(t, l.Recreate("eth0", veth))
			app.reattached(uint64(n + 1))
		}
		close(stop)
		workers.Wait()
		app.hearsNew(f.channel.group)
		l.wantUsers(1)
		ok(t, app.conn.Close())
		l.wantUsers(0)
		wantSockets(t, l.Near, before)
	})
}

// listenBriefly reads a datagram, or none, and closes.
func (l *lab) listenBriefly(config membership.ListenConfig) {
	conn, err := membership.Listen(l.t.Context(), config)
	if err != nil {
		l.t.Error(err)
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, _, err = conn.ReadFrom(make([]byte, 100))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
		l.t.Error(err)
	}
	if err := conn.Close(); err != nil {
		l.t.Error(err)
	}
}
