package handoff

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/mailbox"
	"github.com/ssmd-project/ssmd/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is the other end, in the hands of a test.
type daemon struct {
	t    *testing.T
	path string
	l    *net.UnixListener
}

func newPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ssmd")
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func listen(t *testing.T, path string) *daemon {
	t.Helper()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	ok(t, err)
	d := &daemon{t, path, l}
	t.Cleanup(func() { _ = l.Close() })
	return d
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// visit is a connection at the daemon's end.
type visit struct {
	t *testing.T
	*net.UnixConn
}

func (d *daemon) accept() *visit {
	d.t.Helper()
	ok(d.t, d.l.SetDeadline(time.Now().Add(10*time.Second)))
	c, err := d.l.AcceptUnix()
	ok(d.t, err)
	d.t.Cleanup(func() { _ = c.Close() })
	ok(d.t, c.SetDeadline(time.Now().Add(10*time.Second)))
	return &visit{d.t, c}
}

// request takes one, and returns how many descriptors came with it.
func (v *visit) request() (e Entry, descriptors int) {
	v.t.Helper()
	body, oob := make([]byte, MaxMessage), make([]byte, 256)
	n, size, _, _, err := v.ReadMsgUnix(body, oob)
	ok(v.t, err)
	ok(v.t, json.Unmarshal(body[:n], &e))
	all, err := unix.ParseSocketControlMessage(oob[:size])
	ok(v.t, err)
	for _, m := range all {
		fds, err := unix.ParseUnixRights(&m)
		ok(v.t, err)
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		descriptors += len(fds)
	}
	return e, descriptors
}

func (v *visit) say(object any) {
	v.t.Helper()
	data, err := json.Marshal(object)
	ok(v.t, err)
	_, err = v.Write(data)
	ok(v.t, err)
}

func (v *visit) answer(name string) {
	v.t.Helper()
	v.say(Answer{TypeAnswer, membership.Status{Name: name, State: membership.StateJoined}})
}

func refusal(kind string, status int) Refused {
	return Refused{TypeRefused, &control.Problem{Type: kind, Status: status, Detail: "no luck"}}
}

var entry = Entry{Interface: "eth0", Groups: []string{"232.1.1.1"}, Sources: []string{"10.1.0.1"}}

func socket(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	ok(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// handed returns a Handoff, and the daemon's end of it.
func (d *daemon) handed(conn *net.UDPConn) (*Handoff, *visit) {
	d.t.Helper()
	type result struct {
		h   *Handoff
		err error
	}
	done := make(chan result, 1)
	go func() {
		h, err := HandOver(d.t.Context(), conn, entry, Options{Socket: d.path})
		done <- result{h, err}
	}()
	v := d.accept()
	if e, descriptors := v.request(); descriptors != 1 || e.Interface != "eth0" || e.Require != nil {
		d.t.Errorf("asked for %+v with %d descriptors", e, descriptors)
	}
	v.answer("feed")
	r := <-done
	ok(d.t, r.err)
	d.t.Cleanup(func() { _ = r.h.Close() })
	return r.h, v
}

func (h *Handoff) next(t *testing.T, want membership.EventType) membership.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	e, err := h.Next(ctx)
	if err != nil || e.Type != want {
		t.Fatalf("heard %+v, %v, want %s", e, err, want)
	}
	return e
}

func (h *Handoff) over(t *testing.T, want error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 {
		if e, err := h.Next(ctx); !errors.Is(err, want) {
			t.Fatalf("heard %+v, %v, want the end by %v", e, err, want)
		}
	}
	if _, err := h.Put(ctx, entry); !errors.Is(err, want) {
		t.Errorf("Put said %v, want %v", err, want)
	}
}

func TestEventsAndPut(t *testing.T) {
	d := listen(t, newPath(t))
	h, v := d.handed(socket(t))
	v.say(membership.Event{Type: membership.EventAttached, Membership: "feed", Reason: "why"})
	if e := h.next(t, membership.EventAttached); e.Reason != "why" {
		t.Errorf("heard %+v", e)
	}
	results := make(chan error, 1)
	put := func(e Entry) {
		_, err := h.Put(t.Context(), e)
		results <- err
	}
	other := Entry{Interface: "eth1", Require: []string{}}
	go put(other)
	if e, descriptors := v.request(); descriptors != 0 || e.Interface != "eth1" || e.Require == nil {
		t.Errorf("asked for %+v with %d descriptors", e, descriptors)
	}
	v.say(membership.Event{Type: membership.EventState, Membership: "feed"}) // in between
	v.answer("feed")
	ok(t, <-results)
	go put(Entry{Interface: "bad"})
	v.request()
	v.say(refusal(control.TypeInvalid, 400))
	if p, is := errors.AsType[*control.Problem](<-results); !is || p.Type != control.TypeInvalid {
		t.Errorf("%v, want the refusal", p)
	}
	go put(Entry{Interface: "lost"})
	v.request()
	_ = v.Close()
	if err := <-results; !errors.Is(err, ErrLost) {
		t.Errorf("%v, want that it was lost", err)
	}
	v = d.accept()
	if e, _ := v.request(); e.Interface != "eth1" { // what was accepted last
		t.Errorf("asked the next daemon for %+v", e)
	}
	v.answer("feed")
	h.next(t, membership.EventState)
	h.next(t, EventLost)
	h.next(t, EventResumed)
}

// The daemon ends, in whichever way: the socket goes to the next.
func TestResume(t *testing.T) {
	path := newPath(t)
	for name, end := range map[string]func(*visit){
		"hung up": func(v *visit) {},
		"told":    func(v *visit) { v.say(Ended("feed", CauseShutdown, "bye")) },
		"unread":  func(v *visit) { v.say(membership.Event{Type: membership.EventState}) },
	} {
		t.Run(name, func(t *testing.T) {
			d := listen(t, path)
			h, v := d.handed(socket(t))
			_ = d.l.Close()
			end(v)
			_ = v.Close()
			if name == "unread" {
				h.next(t, membership.EventState)
			}
			h.next(t, EventLost)
			d = listen(t, path)
			_ = d.accept().Close() // one that dies at once
			busy := d.accept()
			busy.request()
			busy.say(refusal(control.TypeStopped, 503))
			_ = busy.Close()
			v = d.accept()
			if _, descriptors := v.request(); descriptors != 1 {
				t.Errorf("%d descriptors, want 1", descriptors)
			}
			v.answer("another")
			if e := h.next(t, EventResumed); e.State != membership.StateJoined || e.Membership != "another" || h.Status().Name != "another" {
				t.Errorf("heard %+v", e)
			}
			ok(t, h.Close())
			h.over(t, io.EOF)
			if _, err := v.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after Close: %v, want the end", err)
			}
			_ = d.l.Close()
		})
	}
}

// What cannot be undone ends it.
func TestOver(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(*visit, *net.UDPConn, *daemon)
		want error
	}{
		"ended": {func(v *visit, _ *net.UDPConn, _ *daemon) { v.say(Ended("feed", CauseRemoved, "it was removed")) }, ErrEnded},
		"closed": {func(v *visit, c *net.UDPConn, _ *daemon) {
			_ = c.Close()
			_ = v.Close()
		}, net.ErrClosed},
		"refused": {func(v *visit, _ *net.UDPConn, d *daemon) {
			_ = v.Close()
			v = d.accept()
			v.request()
			v.say(refusal(ProblemNameInUse, 409))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := listen(t, newPath(t))
			conn := socket(t)
			h, v := d.handed(conn)
			test.end(v, conn, d)
			if name != "ended" {
				h.next(t, EventLost)
			}
			if test.want != nil {
				h.over(t, test.want)
			} else if _, err := h.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "no luck") {
				t.Errorf("%v, want the refusal", err)
			}
			ok(t, h.Close())
		})
	}
}

func TestHandOverErrors(t *testing.T) {
	path := newPath(t)
	conn := socket(t)
	if _, err := HandOver(t.Context(), conn, entry, Options{Socket: path}); !errors.Is(err, ErrNoDaemon) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want ErrNoDaemon with the path", err)
	}
	t.Setenv(Variable, path+"2")
	if _, err := HandOver(t.Context(), conn, entry, Options{}); err == nil || !strings.Contains(err.Error(), path+"2") {
		t.Errorf("%v, want the path of the variable", err)
	}
	if _, err := HandOver(t.Context(), 5, entry, Options{}); err == nil {
		t.Error("a number was handed over")
	}
	if _, err := HandOver(t.Context(), conn, Entry{Interface: make(chan int)}, Options{}); err == nil {
		t.Error("a channel was encoded")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := HandOver(ctx, conn, entry, Options{Socket: path, Wait: true}); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("%v, want ErrNoDaemon in the end", err)
	}
	d := listen(t, path)
	silent, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := HandOver(silent, conn, entry, Options{Socket: path}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("of a daemon that is stopped: %v", err)
	}
	_ = d.accept().Close()
	done := make(chan error, 1)
	go func() {
		_, err := HandOver(t.Context(), conn, entry, Options{Socket: path})
		done <- err
	}()
	v := d.accept()
	v.say(refusal(ProblemDescriptor, 400)) // before anything was read
	if p, is := errors.AsType[*control.Problem](<-done); !is || p.Type != ProblemDescriptor {
		t.Errorf("%v, want the refusal", p)
	}
}

// A daemon that comes later is waited for.
func TestWait(t *testing.T) {
	path := newPath(t)
	done := make(chan error, 1)
	conn := socket(t)
	go func() {
		h, err := HandOver(t.Context(), conn, entry, Options{Socket: path, Wait: true})
		if err == nil {
			err = h.Close()
		}
		done <- err
	}()
	d := listen(t, path)
	v := d.accept()
	v.request()
	v.answer("feed")
	ok(t, <-done)
}

// Nobody has to read events.
func TestSlowReader(t *testing.T) {
	d := listen(t, newPath(t))
	h, v := d.handed(socket(t))
	const all = 4 * mailbox.Most
	for n := range all {
		v.say(membership.Event{Seq: uint64(n + 1), Type: membership.EventState})
	}
	answered := make(chan error, 1)
	go func() {
		_, err := h.Put(t.Context(), entry)
		answered <- err
	}()
	v.request()
	v.answer("feed")
	ok(t, <-answered) // it has read all before
	missed := h.next(t, membership.EventMissed)
	var heard []uint64
	for len(heard) < mailbox.Most {
		heard = append(heard, h.next(t, membership.EventState).Seq)
		if heard[len(heard)-1] == all {
			break
		}
	}
	if !slices.IsSorted(heard) || int(missed.Missed)+len(heard) != all {
		t.Errorf("missed %d, heard %d of %d", missed.Missed, len(heard), all)
	}
}

// FuzzDecode holds that whatever a daemon says is read or refused.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{`{"type":"answer","membership":{"name":"a"}}`, `{"type":"refused","problem":null}`, `{"type":"refused"}`, `{"type":"ended","cause":"shutdown"}`, `{"type":"state","seq":1}`, "", "null"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decode(data)
		if err == nil && m.Refused != nil && m.Refused.Error() == "" {
			t.Errorf("%q: a refusal without a word", data)
		}
	})
}
