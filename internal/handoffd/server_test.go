package handoffd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/internal/mailbox"
	"github.com/ssmd-project/ssmd/membership"
)

// ownName is what a socket of this process is called without a name.
func ownName(n int) string {
	return fmt.Sprintf("%s-%d-%d", commandOf(os.Getpid()), os.Getpid(), n)
}

// handed returns a client whose socket was taken, its membership and its port.
func (s *stand) handed(name string) (*client, *kept, int) {
	s.t.Helper()
	fd, port := udp(s.t)
	c := s.dial()
	body := strings.Replace(request, "{", `{"name": "`+name+`", `, 1)
	if name == "" {
		body = request
	}
	c.send(body, fd)
	ok(s.t, unix.Close(fd))
	answer := c.wantType(handoff.TypeAnswer)
	var status membership.Status
	ok(s.t, json.Unmarshal(answer.Membership, &status))
	one := s.keeper.of(status.Name)
	if one == nil || status.State != membership.StateJoined || status.Channels != 1 || name != "" && status.Name != name {
		s.t.Fatalf("answered %+v", status)
	}
	return c, one, port
}

// A socket is kept as long as its connection, and not a moment longer.
func TestHandOver(t *testing.T) {
	s := newStand(t, 8, quick())
	before := openFiles(t)
	c, one, port := s.handed("")
	if one.wish.Name != ownName(1) || one.wish.Keep != membership.KeepAtEnd || one.wish.Socket == nil {
		t.Errorf("kept %+v", one.wish)
	}
	if _, err := net4(port); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("the port is free while the socket is handed over: %v", err)
	}
	if got := s.server.Totals(); got != (Totals{Now: 1, Total: 1}) {
		t.Errorf("%+v", got)
	}
	ok(t, c.Close())
	<-one.removed
	isFree(t, port)
	eventually(t, func() error {
		if now := openFiles(t); now > before {
			return fmt.Errorf("%d files are open, before %d", now, before)
		}
		return nil
	})
	if got := s.server.Totals(); got != (Totals{Total: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestNames(t *testing.T) {
	s := newStand(t, 8, quick())
	s.keeper.with(func() { s.keeper.taken = []string{ownName(2), "taken"} })
	for _, want := range []string{ownName(1), ownName(3), ownName(4)} {
		_, one, _ := s.handed("")
		if one.wish.Name != want {
			t.Errorf("it is called %s, want %s", one.wish.Name, want)
		}
	}
	c, one, _ := s.handed("mine")
	for _, name := range []string{"mine", "taken"} {
		fd, _ := udp(t)
		other := s.dial()
		other.send(`{"name": "`+name+`", "channels": "10.1.0.1@232.1.1.1", "interface": "eth0"}`, fd)
		other.wantRefused(handoff.ProblemNameInUse, name)
	}
	ok(t, c.Close())
	<-one.removed
	eventually(t, func() error { // the connection is still to be closed
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		if s.server.routes["mine"] != nil {
			return errors.New("the name is in use")
		}
		return nil
	})
	s.handed("mine")
}

func net4(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	return fd, unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

// Another request replaces the wish, and what is wrong with one changes nothing.
func TestFurtherRequests(t *testing.T) {
	s := newStand(t, 8, quick())
	c, one, _ := s.handed("mine")
	c.send(`{"channels": ["10.1.0.1@232.1.1.1", "10.1.0.1@232.1.1.2"], "interface": "eth0"}`)
	c.wantType(handoff.TypeAnswer)
	s.keeper.with(func() {
		if len(one.wish.Channels) != 2 || one.wish.Name != "mine" || one.wish.Socket == nil || one.puts != 1 {
			t.Errorf("after a further request: %+v", one.wish)
		}
	})
	fd, _ := udp(t)
	for _, bad := range []struct {
		body string
		fds  []int
		kind string
		want string
	}{
		{"garbage", nil, control.TypeInvalid, "JSON"},
		{`{"channels": "10.1.0.1@232.1.1.1"}`, nil, control.TypeInvalid, "interface"},
		{strings.Replace(request, "{", `{"name": "other", `, 1), nil, control.TypeInvalid, `want "mine" as before`},
		{strings.Replace(request, "{", `{"netns": "blue", `, 1), nil, control.TypeInvalid, "netns"},
		{request, []int{fd}, handoff.ProblemDescriptor, "another socket needs another connection"},
		{request, []int{fd, fd, fd, fd}, handoff.ProblemDescriptor, "want none"},
		{strings.Repeat(" ", handoff.MaxMessage) + request, nil, control.TypeBlank, "65536 bytes"},
	} {
		c.send(bad.body, bad.fds...)
		c.refusedWith(bad.kind, bad.want)
	}
	s.keeper.with(func() {
		if one.puts != 1 {
			t.Errorf("something bad was put: %+v", one.wish)
		}
	})
	c.send(strings.Replace(request, "{", `{"name": "mine", `, 1))
	c.wantType(handoff.TypeAnswer)
}

// An application hears of its own membership alone, in order.
func TestEvents(t *testing.T) {
	s := newStand(t, 8, quick())
	a, _, _ := s.handed("a")
	b, _, _ := s.handed("b")
	for _, name := range []string{"a", "b", "c", "", "b"} {
		s.keeper.events <- membership.Event{Type: membership.EventState, Membership: name, Reason: "of " + name}
	}
	for range 2 {
		if m := b.wantType("state"); m.Reason != "of b" {
			t.Errorf("heard %+v", m)
		}
	}
	if m := a.wantType("state"); m.Reason != "of a" {
		t.Errorf("heard %+v", m)
	}
	s.keeper.events <- membership.Event{Type: membership.EventMissed, Missed: 7}
	for _, c := range []*client{a, b} {
		if m := c.wantType("missed"); m.Missed != 7 {
			t.Errorf("heard %+v", m)
		}
	}
}

// What ends a membership from outside is said, and then the socket is free.
func TestEndedBySomebodyElse(t *testing.T) {
	s := newStand(t, 8, quick())
	c, one, port := s.handed("a")
	one.lost("it was removed", 0)
	if m := c.wantType(handoff.TypeEnded); m.Reason != "it was removed" || m.Cause != string(handoff.CauseRemoved) || string(m.Membership) != `"a"` {
		t.Errorf("heard %+v", m)
	}
	c.wantEnd()
	isFree(t, port)
}

// When the daemon ends it says so, and leaves nothing: the manager had ended
// before.
func TestShutdown(t *testing.T) {
	s := newStand(t, 8, quick())
	c, one, port := s.handed("a")
	idle := s.dial()
	s.stop()
	if m := c.wantType(handoff.TypeEnded); m.Cause != string(handoff.CauseShutdown) {
		t.Errorf("heard %+v", m)
	}
	c.wantEnd()
	idle.wantEnd()
	select {
	case <-one.removed:
		t.Error("the membership was removed")
	default:
	}
	isFree(t, port)
	if left, _ := os.ReadDir(filepath.Dir(s.path)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// An application that wants no events says so by shutdown(2), and is kept.
func TestMute(t *testing.T) {
	s := newStand(t, 8, quick())
	c, one, _ := s.handed("a")
	ok(t, c.CloseRead())
	for range 3 * mailbox.Most {
		s.keeper.events <- membership.Event{Type: membership.EventState, Membership: "a"}
	}
	c.send(`{"channels": ["10.1.0.1@232.1.1.1", "10.1.0.1@232.1.1.2"], "interface": "eth0"}`)
	eventually(t, func() error {
		s.keeper.mu.Lock()
		defer s.keeper.mu.Unlock()
		if one.puts == 0 {
			return errors.New("nothing was put")
		}
		return nil
	})
	if s.server.Totals().Now != 1 {
		t.Error("it was not kept")
	}
	ok(t, c.Close())
	<-one.removed
}

// One that never reads keeps nobody up, and is taken for dead.
func TestNeverReads(t *testing.T) {
	s := newStand(t, 8, quick())
	c, one, port := s.handed("a")
	reads, _, _ := s.handed("b")
	for n := range 20_000 {
		select {
		case <-one.removed:
			isFree(t, port)
			if n < mailbox.Most {
				t.Errorf("taken for dead after %d events", n)
			}
			_ = c.Close()
			return
		case s.keeper.events <- membership.Event{Type: membership.EventState, Membership: "a", Reason: strings.Repeat("x", 1000)}:
		}
		if n%1000 == 0 {
			s.keeper.events <- membership.Event{Type: membership.EventState, Membership: "b"}
			reads.wantType("state")
		}
	}
	<-one.removed
	isFree(t, port)
}

// What is missed is told in its place, and events stay in order.
func TestSlowReaderHearsWhatItMissed(t *testing.T) {
	l := quick()
	l.write = 10 * defaultLimits.first
	s := newStand(t, 8, l)
	c, _, _ := s.handed("a")
	const all = 5000
	for n := range all {
		s.keeper.events <- membership.Event{Seq: uint64(n + 1), Type: membership.EventState, Membership: "a", Reason: strings.Repeat("x", 500)}
	}
	s.keeper.events <- membership.Event{Type: membership.EventAttached, Membership: "a"}
	heard, missed := 0, 0
	for {
		m, err := c.hear()
		ok(t, err)
		missed += m.Missed
		if m.Type == "state" {
			heard++
		}
		if m.Type == "attached" {
			break
		}
	}
	if heard+missed != all || missed == 0 {
		t.Errorf("heard %d and missed %d of %d", heard, missed, all)
	}
}

func TestMailboxIsEmptyWhenIdle(t *testing.T) {
	b := mailbox.New()
	b.Put(membership.Event{Seq: 1})
	if e, found, last := b.Take(); e.Seq != 1 || !found || last {
		t.Errorf("%+v", e)
	}
	if e, found, _ := b.Take(); found {
		t.Errorf("took %+v from nothing", e)
	}
	b.Finish(membership.Event{Seq: 2})
	b.Put(membership.Event{Seq: 3})
	b.Finish(membership.Event{Seq: 4})
	for range 2 {
		if e, found, last := b.Take(); e.Seq != 2 || !found || !last {
			t.Errorf("%+v, %v, %v, want the last one again", e, found, last)
		}
	}
}

func TestEncodeBoundsMessages(t *testing.T) {
	long := strings.Repeat("x", 2*handoff.MaxMessage)
	for _, object := range []any{
		handoff.Answer{Type: handoff.TypeAnswer, Membership: membership.Status{Reason: long}},
		handoff.Refused{Type: handoff.TypeRefused, Problem: &control.Problem{Detail: long, Errors: slices.Repeat([]control.Flaw{{Message: "x"}}, 10_000)}},
		membership.Event{Type: membership.EventState, Reason: long},
		handoff.Answer{Type: handoff.TypeAnswer, Membership: membership.Status{Name: long}},
	} {
		data := encode(object)
		var m said
		if err := json.Unmarshal(data, &m); err != nil || len(data) > handoff.MaxMessage || m.Type == "" {
			t.Errorf("%.80s of %d bytes: %v", data, len(data), err)
		}
	}
}
