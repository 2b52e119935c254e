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
		before := socketsIn(t, l.Near)
		l.churn(func(int) int { return 0 })
		wantSockets(t, l.Near, before)
	})
}

// Where every second life has the index of the one before it, a socket may be left
// by whoever ends while another life has the index of its own: to close it would
// take somebody's membership. The next connection in another life closes it, as
// Manager.Run says.
func TestStoryListenChurnSameIndex(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		before := socketsIn(t, l.Near)
		l.churn(func(n int) int { return l.index() * (n % 2) })
		ok(t, l.Recreate("eth0", testnet.Veth{}))
		l.listenBriefly(l.listenConfig())
		wantSockets(t, l.Near, before)
	})
}

// churn has connections come and go while eth0 is created at these indexes, zero
// for another one, and sees that a connection that stays loses nothing.
func (l *lab) churn(index func(n int) int) {
	l.t.Helper()
	config := l.listenConfig()
	config.Share = membership.ShareAddress
	app := l.listenWith(config)
	app.hearsNew(l.channel.group)

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
		ok(l.t, l.Recreate("eth0", testnet.Veth{Index: index(n)}))
		app.reattached(uint64(n + 1))
	}
	close(stop)
	workers.Wait()
	app.hearsNew(l.channel.group)
	l.wantUsers(1)
	ok(l.t, app.conn.Close())
	l.wantUsers(0)
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
