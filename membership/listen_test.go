package membership

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// silentConfig is a receiver on an interface that there is none of.
func silentConfig(port uint16) ListenConfig {
	return ListenConfig{Channels: channels("10.0.0.1@232.9.9.9"), Port: port, Rules: reattach.Rules{Selector: reattach.ByName("no-such-if")}}
}

func listenSilently(t *testing.T, c ListenConfig) *Conn {
	t.Helper()
	conn, err := Listen(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// wantNoneLeft is for many rounds: a few files may be the runtime's own.
func wantNoneLeft(t *testing.T, before int) {
	t.Helper()
	const runtimes = 4
	if after := openFiles(t); after > before+runtimes {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

func TestListenRefuses(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*ListenConfig){
		"port: 0":                  func(c *ListenConfig) { c.Port = 0 },
		"channels: none":           func(c *ListenConfig) { c.Channels = nil },
		"want one family":          func(c *ListenConfig) { c.Channels = append(c.Channels, six) },
		"not source-specific":      func(c *ListenConfig) { c.Channels = channels("10.0.0.1@239.1.1.1") },
		"leftovers: 7":             func(c *ListenConfig) { c.Leftovers = 7 },
		"share: -1":                func(c *ListenConfig) { c.Share = -1 },
		"attach: all":              func(c *ListenConfig) { c.Rules.Attach = reattach.AttachAll },
		"name: ":                   func(c *ListenConfig) { c.Name = "a b" },
		"set socket options: busy": func(c *ListenConfig) { c.Control = func(syscall.RawConn) error { return errors.New("busy") } },
		"bind to 232.9.9.9:22":     func(c *ListenConfig) { c.Port, c.Control = 22, bindBefore },
		"operation not permitted":  func(c *ListenConfig) { c.Options.Watch.Within = func(func() error) error { return unix.EPERM } },
		"no netlink":               func(c *ListenConfig) { c.Options.Watch.Within = onlyOnce(errors.New("no netlink")) },
	} {
		config := silentConfig(5001)
		change(&config)
		conn, err := Listen(t.Context(), config)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "listen: ") || conn != nil {
			t.Errorf("%v, %v, want %q in it", conn, err, want)
		}
	}
}

// bindBefore binds the socket, so that it cannot be bound again.
func bindBefore(c syscall.RawConn) (err error) {
	controlErr := c.Control(func(fd uintptr) { err = unix.Bind(int(fd), &unix.SockaddrInet4{}) })
	return errors.Join(controlErr, err)
}

// onlyOnce runs one function, and then fails.
func onlyOnce(err error) func(func() error) error {
	ran := false
	return func(f func() error) error {
		if ran {
			return err
		}
		ran = true
		return f()
	}
}

// The port is nobody else's unless both say so.
func TestListenSharesNothingUnasked(t *testing.T) {
	t.Parallel()
	listenSilently(t, silentConfig(5002))
	for _, share := range []Share{ShareNothing, ShareAddress} {
		config := silentConfig(5002)
		config.Share = share
		if _, err := Listen(t.Context(), config); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("a second one: %v", err)
		}
	}
	shared := silentConfig(5003)
	shared.Share = ShareAddress
	listenSilently(t, shared)
	listenSilently(t, shared)
}

func TestListenBindsToTheGroup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		channels []string
		want     string
	}{
		{[]string{"10.0.0.1@232.9.9.9", "10.0.0.2@232.9.9.9"}, "232.9.9.9:5004"},
		{[]string{"10.0.0.1@232.9.9.9", "10.0.0.1@232.9.9.8"}, "0.0.0.0:5004"},
		{[]string{"2001:db8::1@ff3e::8000:1"}, "[ff3e::8000:1]:5004"},
		{[]string{"fe80::1@ff32::8000:1"}, "[::]:5004"}, // or it would be bound to an index
		{[]string{"2001:db8::1@ff3e::8000:1", "2001:db8::1@ff3e::8000:2"}, "[::]:5004"},
	} {
		config := silentConfig(5004)
		config.Channels, config.Share = channels(c.channels...), ShareAddress
		if got := listenSilently(t, config).LocalAddr().String(); got != c.want {
			t.Errorf("%v: bound to %s, want %s", c.channels, got, c.want)
		}
	}
}

// It answers as any net.PacketConn does.
func TestConnDeadlineAndClose(t *testing.T) {
	t.Parallel()
	for _, config := range []ListenConfig{silentConfig(5005), {Channels: channels("10.0.0.1@232.9.9.9", "10.0.0.1@232.9.9.8"), Port: 5006, Rules: silentConfig(1).Rules, Leftovers: DropLeftovers}} {
		conn := listenSilently(t, config)
		b := make([]byte, 10)
		_ = conn.SetReadDeadline(time.Now().Add(-time.Second))
		if _, _, err := conn.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after a deadline: %v", err)
		}
		_ = conn.SetDeadline(time.Time{})
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				if _, _, err := conn.ReadFrom(b); !errors.Is(err, net.ErrClosed) {
					t.Errorf("while it is closed: %v", err)
				}
			})
		}
		var closers sync.WaitGroup
		var first, later int
		var mu sync.Mutex
		for range 3 {
			closers.Go(func() {
				err := conn.Close()
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					first++
				case errors.Is(err, net.ErrClosed):
					later++
				}
			})
		}
		closers.Wait()
		readers.Wait()
		if first != 1 || later != 2 {
			t.Errorf("closed %d times, and %d times it was closed already", first, later)
		}
		if _, err := conn.ReadDatagram(b); !errors.Is(err, net.ErrClosed) {
			t.Errorf("afterwards: %v", err)
		}
		if _, err := conn.Status(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("status: %v", err)
		}
		if err := conn.SetChannels(t.Context(), config.Channels); !errors.Is(err, net.ErrClosed) {
			t.Errorf("set channels: %v", err)
		}
		if _, err := SocketOf(conn); !errors.Is(err, net.ErrClosed) {
			t.Errorf("socket of it: %v", err)
		}
	}
}

// The end of the context is Close.
func TestConnEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := Listen(ctx, silentConfig(5007))
	if err != nil {
		t.Fatal(err)
	}
	events := conn.Subscribe()
	time.AfterFunc(time.Millisecond, cancel)
	if _, _, err := conn.ReadFrom(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("close: %v", err)
	}
	for e, err := events.Next(t.Context()); err == nil; e, err = events.Next(t.Context()) {
		if e.Membership != conn.Name() || e.State != StateWaiting {
			t.Errorf("heard of %+v", e)
		}
	}
	if conn, err := Listen(ctx, silentConfig(5007)); !errors.Is(err, context.Canceled) || conn != nil {
		t.Errorf("with a context that has ended: %v", err)
	}
	listenSilently(t, silentConfig(5007)) // the port is free
}

// A manager may serve many, and outlives them; where its Run ends they are deaf and
// say so.
func TestConnOnASharedManager(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	manager := New(Options{})
	ended := make(chan error)
	go func() { ended <- manager.Run(ctx) }()
	config := silentConfig(5008)
	config.Manager, config.Name = manager, "a"
	a := listenSilently(t, config)
	config.Port, config.Name = 5009, ""
	b := listenSilently(t, config)
	config.Port, config.Name = 5010, "a"
	if _, err := Listen(ctx, config); err == nil || !strings.Contains(err.Error(), `a membership "a" already`) {
		t.Errorf("a name twice: %v", err)
	}
	if _, err := a.Status(ctx); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	all, err := manager.Status(ctx)
	if err != nil || len(all) != 1 || all[0].Name != b.Name() {
		t.Errorf("%+v, %v", all, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := b.Status(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("status: %v", err)
	}
	config.Name = "c"
	if _, err := Listen(t.Context(), config); !errors.Is(err, ErrStopped) {
		t.Errorf("on a manager that has ended: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// Whoever waits for a manager that nobody runs goes when the context does.
func TestListenOnAManagerThatDoesNotRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	config := silentConfig(5011)
	config.Manager = New(Options{})
	if _, err := Listen(ctx, config); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("listen: %v", err)
	}
}

// Nothing is left of many: neither a descriptor nor, as TestMain looks, a
// goroutine. It is not parallel, to count.
func TestListenLeavesNothing(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	before := openFiles(t)
	for n := range rounds {
		conn, err := Listen(t.Context(), silentConfig(5012))
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _, _ = conn.ReadFrom(make([]byte, 1)) }()
		if n%2 == 0 {
			go conn.Close()
		}
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	}
	wantNoneLeft(t, before)
}

// The kernel's words beside a datagram, and whatever else may stand there.
func TestDatagramControl(t *testing.T) {
	t.Parallel()
	for _, junk := range [][]byte{nil, {1}, make([]byte, 16), append([]byte{255, 255, 255, 255, 255, 255, 255, 255}, make([]byte, 20)...)} {
		var d Datagram
		d.readControl(junk)
		if d != (Datagram{}) {
			t.Errorf("%v is %+v", junk, d)
		}
	}
	var d Datagram
	d.readControl(unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: 7, Addr: [4]byte{232, 0, 0, 1}}))
	d.readControl(unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: 8, Addr: netip.MustParseAddr("ff3e::1").As16()}))
	if d.Index != 8 || d.Group.String() != "ff3e::1" {
		t.Errorf("%+v", d)
	}
}

// What came before an attachment's end and is read after it is left over.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		l := &Leftovers{name: "a", events: h.subscribe()}
		start := time.Now()
		at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
		clock := func(seconds int) time.Time { return at(seconds).Round(0) } // as the kernel tells it
		tell := func(kind EventType, name string, index int, instance ifwatch.ID) {
			h.publish(Event{Time: time.Now(), Type: kind, Membership: name, Index: index, Instance: instance})
		}
		want := func(index int, received time.Time, want bool) {
			t.Helper()
			if got := l.Include(index, received); got != want {
				t.Errorf("of index %d at %v: %v", index, received.Sub(start), got)
			}
		}
		tell(EventAttached, "a", 7, 1)
		want(7, clock(0), false)
		want(8, clock(0), false)
		time.Sleep(10 * time.Second)
		tell(EventDetached, "b", 7, 1)
		want(7, clock(5), false)
		tell(EventDetached, "a", 7, 1)
		want(7, clock(5), true)
		want(7, clock(10), true)
		want(7, clock(11), false) // of a life that is not told of yet
		want(7, time.Time{}, true)
		time.Sleep(5 * time.Second)
		tell(EventReattached, "a", 7, 2)
		want(7, clock(5), true)
		want(7, clock(12), false)
		want(7, time.Time{}, false)
		want(8, time.Time{}, false)
		tell(EventDetached, "a", 7, 2)
		tell(EventReattached, "a", 9, 3)
		want(7, clock(12), true)
		want(9, clock(12), false)
		for n := range 2 * mostEnds {
			tell(EventDetached, "a", 100+n, ifwatch.ID(100+n))
		}
		want(7, clock(0), false) // long ago
		want(100+2*mostEnds-1, clock(0), true)
		if len(l.ends) != mostEnds {
			t.Errorf("%d are remembered", len(l.ends))
		}
		l.Close()
		h.end()
		want(100+2*mostEnds-1, clock(0), true)
	})
}

// A clock that is set makes nothing older or younger than it is.
func TestSinceStart(t *testing.T) {
	t.Parallel()
	now := time.Now()
	set := now.Round(0).Add(-time.Hour) // what the kernel says after the clock was put back by an hour, and then the process
	if got := sinceStart(now.Round(0).Add(-time.Second), now); now.Sub(got) != time.Second {
		t.Errorf("%v ago", now.Sub(got))
	}
	if got := sinceStart(set, now); now.Sub(got) != time.Hour {
		t.Errorf("%v ago", now.Sub(got))
	}
}

// A change that was not made leaves what is received as it is.
func TestConnChangeThatFails(t *testing.T) {
	t.Parallel()
	config := silentConfig(5014)
	config.Channels = channels("10.0.0.1@232.9.9.9", "10.0.0.1@232.9.9.8")
	conn := listenSilently(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = conn.manager.changing.Acquire(t.Context(), 1) // somebody else changes something
	if err := conn.SetChannels(ctx, channels("10.0.0.1@232.9.9.7")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	conn.manager.changing.Release(1)
	for _, c := range config.Channels {
		if !slices.Contains(*conn.groups.Load(), c.Group) {
			t.Errorf("%s is not read any more", c.Group)
		}
	}
	if n := len(*conn.groups.Load()); n != 2 {
		t.Errorf("%d groups are read, want 2", n)
	}
	if err := conn.SetChannels(t.Context(), channels("10.0.0.1@232.9.9.7")); err != nil || len(*conn.groups.Load()) != 1 {
		t.Errorf("%v, and then %v are read", err, *conn.groups.Load())
	}
}

// Of a connection that is closed another one's membership tells nothing.
func TestConnStatusOfAnother(t *testing.T) {
	t.Parallel()
	m := New(Options{})
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	running.Go(func() { _ = m.Run(ctx) })
	defer running.Wait()
	defer cancel()
	config := silentConfig(5015)
	config.Manager, config.Name = m, "feed"
	first := listenSilently(t, config)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	listenSilently(t, config)
	if _, err := first.Status(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want that it is closed", err)
	}
}

// Contexts that end at any moment, and changes beside Close, leave nothing either.
// It is not parallel, to count.
func TestListenInterrupted(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	before := openFiles(t)
	for n := range rounds {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%30)*20*time.Microsecond)
		config := silentConfig(5013)
		config.Channels = append(config.Channels, channel("10.0.0.1@232.9.9.8"))
		conn, err := Listen(ctx, config)
		if err == nil {
			var all sync.WaitGroup
			for k := range 3 {
				all.Go(func() { _ = conn.SetChannels(t.Context(), config.Channels[k%2:]) })
				all.Go(func() { _, _ = conn.Status(t.Context()) })
				all.Go(func() { _ = conn.Close() })
			}
			all.Wait()
			err = conn.Close()
		}
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	}
	wantNoneLeft(t, before)
}
