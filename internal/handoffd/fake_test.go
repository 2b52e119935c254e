package handoffd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keeper keeps nothing but what it was told. Events are what a test publishes.
type keeper struct {
	mu     sync.Mutex
	kept   map[string]*kept
	taken  []string // names that something else has
	events chan membership.Event
	hangs  bool                             // Add answers only when the asker gives up
	trying func(name string) (since uint64) // before Add looks; nil for nothing
	stuck  chan struct{}                    // until it is closed, Remove answers only then
}

type kept struct {
	keeper  *keeper
	wish    membership.Membership
	lost    func(string, uint64)
	since   uint64
	puts    int
	removed chan struct{}
}

func newKeeper() *keeper {
	return &keeper{kept: make(map[string]*kept), events: make(chan membership.Event)}
}

func (k *keeper) Add(ctx context.Context, m membership.Membership, _ string, lost func(string, uint64)) (Kept, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var since uint64
	if k.trying != nil {
		since = k.trying(m.Name)
	}
	if k.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if k.kept[m.Name] != nil || slices.Contains(k.taken, m.Name) {
		return nil, fmt.Errorf("membership %q: %w", m.Name, ErrNameInUse)
	}
	one := &kept{keeper: k, wish: m, lost: lost, since: since, removed: make(chan struct{})}
	k.kept[m.Name] = one
	return one, nil
}

func (k *keeper) StatusOf(_ context.Context, name string) (membership.Status, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one := k.kept[name]
	if one == nil {
		return membership.Status{}, fmt.Errorf("membership %q: %w", name, membership.ErrNotFound)
	}
	return membership.Status{Name: name, State: membership.StateJoined, Channels: len(one.wish.Channels)}, nil
}

func (one *kept) Since() uint64 { return one.since }

func (one *kept) Put(_ context.Context, m membership.Membership) error {
	one.keeper.mu.Lock()
	defer one.keeper.mu.Unlock()
	one.wish = m
	one.puts++
	return nil
}

func (one *kept) Remove(ctx context.Context) error {
	var stuck chan struct{}
	one.keeper.with(func() { stuck = one.keeper.stuck })
	if stuck != nil {
		select {
		case <-stuck:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	one.keeper.mu.Lock()
	defer one.keeper.mu.Unlock()
	if one.keeper.kept[one.wish.Name] == one {
		delete(one.keeper.kept, one.wish.Name)
		close(one.removed)
	}
	return nil
}

// with changes the keeper, or looks at it.
func (k *keeper) with(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *keeper) of(name string) *kept {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept[name]
}

func (k *keeper) Next(ctx context.Context) (membership.Event, error) {
	select {
	case e, open := <-k.events:
		if !open {
			return e, io.EOF
		}
		return e, nil
	case <-ctx.Done():
		return membership.Event{}, ctx.Err()
	}
}

func (k *keeper) Close() {}

// stand is a running server.
type stand struct {
	t      *testing.T
	keeper *keeper
	server *Server
	path   string
	stop   func()
}

func quick() limits {
	l := defaultLimits
	l.first, l.answer, l.write, l.grace, l.pace = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond, time.Millisecond
	return l
}

func newStand(t *testing.T, limit int, l limits) *stand {
	t.Helper()
	dir, err := os.MkdirTemp("", "ssmd")
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &stand{t: t, keeper: newKeeper(), path: filepath.Join(dir, "s")}
	listener, err := control.Handoff.Listen(s.path, 0o600, "")
	ok(t, err)
	s.server = newServer(Options{
		Keeper: s.keeper, Parse: parseEntry, Subscribe: func() (Subscription, uint64) { return s.keeper, 0 }, Limit: limit,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}, l)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(ctx, listener) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the server does not end")
		}
	})
	t.Cleanup(s.stop)
	return s
}

// parseEntry is what the daemon reads requests with.
func parseEntry(name string, entry []byte) (membership.Membership, error) {
	m, err := config.ParseEntry(name, name, entry)
	if err != nil {
		return m, &control.InvalidError{Err: err}
	}
	return m, nil
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// client is a connection in the test's own hands.
type client struct {
	t *testing.T
	*net.UnixConn
}

func (s *stand) dial() *client {
	s.t.Helper()
	c, err := net.Dial("unixpacket", s.path)
	ok(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	ok(s.t, c.SetDeadline(time.Now().Add(10*time.Second)))
	return &client{s.t, c.(*net.UnixConn)}
}

const request = `{"channels": "10.1.0.1@232.1.1.1", "interface": "eth0"}`

func (c *client) send(body string, fds ...int) {
	c.t.Helper()
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := c.WriteMsgUnix([]byte(body), rights, nil); err != nil {
		c.t.Logf("send: %v", err) // what comes back says more
	}
}

// said is any message of the server.
type said struct {
	Type       string
	Cause      string
	Reason     string
	Missed     int
	Membership json.RawMessage
	Problem    control.Problem
}

func (c *client) hear() (said, error) {
	buffer := make([]byte, handoff.MaxMessage)
	n, err := c.Read(buffer)
	if err != nil {
		return said{}, err
	}
	var m said
	if err := json.Unmarshal(buffer[:n], &m); err != nil {
		c.t.Errorf("%q: %v", buffer[:n], err)
	}
	return m, nil
}

func (c *client) wantType(want string) said {
	c.t.Helper()
	m, err := c.hear()
	if err != nil || m.Type != want {
		c.t.Fatalf("heard %+v, %v, want %s", m, err, want)
	}
	return m
}

// wantRefused wants a refusal with these words, and then the end.
func (c *client) wantRefused(kind string, words ...string) {
	c.t.Helper()
	c.refusedWith(kind, words...)
	if m, err := c.hear(); err != io.EOF {
		c.t.Errorf("heard %+v, %v after a refusal, want the end", m, err)
	}
	_ = c.Close() // it makes room
}

func (c *client) refusedWith(kind string, words ...string) {
	c.t.Helper()
	m := c.wantType(handoff.TypeRefused)
	for _, w := range words {
		if !strings.Contains(m.Problem.Detail, w) {
			c.t.Errorf("refused with %q, want %q in it", m.Problem.Detail, w)
		}
	}
	if m.Problem.Type != kind || m.Problem.Status < 400 || m.Problem.Title == "" {
		c.t.Errorf("refused with %+v, want %s", m.Problem, kind)
	}
}

// wantEnd waits until the connection is closed at the other end.
func (c *client) wantEnd() {
	c.t.Helper()
	for {
		if _, err := c.hear(); err != nil {
			if err != io.EOF && !errors.Is(err, unix.ECONNRESET) { // where it was not accepted yet
				c.t.Errorf("%v, want the end", err)
			}
			return
		}
	}
}

// udp returns a socket, and a port at which it is bound.
func udp(t *testing.T) (fd, port int) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	ok(t, err)
	defer c.Close()
	return duplicate(t, c), c.LocalAddr().(*net.UDPAddr).Port
}

func duplicate(t *testing.T, c interface{ File() (*os.File, error) }) int {
	t.Helper()
	f, err := c.File()
	ok(t, err)
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	ok(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// isFree waits until a port can be bound again.
func isFree(t *testing.T, port int) {
	t.Helper()
	eventually(t, func() error {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// openFiles returns what this process has open, by its targets.
func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	ok(t, err)
	return len(all)
}
