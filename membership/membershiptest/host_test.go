package membershiptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

var (
	one  = channel("10.1.0.1@232.1.1.1")
	two  = channel("10.1.0.2@232.1.1.1")
	six  = channel("2001:db8::1@ff3e::8000:1")
	many = func() (all []membership.Channel) {
		for n := range 30 {
			all = append(all, channel(fmt.Sprintf("10.1.0.%d@232.1.1.2", n+1)))
		}
		return all
	}()
)

func channel(text string) membership.Channel {
	c, err := membership.ParseChannel(text)
	if err != nil {
		panic(err)
	}
	return c
}

func feed(name string, channels ...membership.Channel) membership.Membership {
	return membership.Membership{Name: name, Channels: channels, Rules: reattach.Rules{Selector: reattach.ByName("eth0")}}
}

// running is a manager that runs on a host with eth0, in a bubble of its own time.
type running struct {
	*Host
	*membership.Manager
	t *testing.T
}

func run(t *testing.T, test func(*running)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := NewHost()
		h.Add(Ethernet("eth0"))
		r := &running{Host: h, Manager: h.New(membership.Options{}), t: t}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		test(r)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		r.wantJoined("eth0")
	})
}

func (r *running) put(m membership.Membership) {
	r.t.Helper()
	if err := r.Put(r.t.Context(), m); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) want(name string, state membership.State, reason string) membership.Status {
	r.t.Helper()
	status, err := r.StatusOf(r.t.Context(), name)
	if err != nil || status.State != state || !strings.Contains(status.Reason, reason) {
		r.t.Errorf("%s is %s: %s (%v), want %s: %s", name, status.State, status.Reason, err, state, reason)
	}
	return status
}

func (r *running) wantJoined(name string, want ...membership.Channel) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.Joined(name), cmpopts.EquateComparable(membership.Channel{}), cmpopts.EquateEmpty()); diff != "" {
		r.t.Errorf("joined on %s (-want +got):\n%s", name, diff)
	}
}

func TestLivesOfAnInterface(t *testing.T) {
	run(t, func(r *running) {
		r.put(feed("a", one, two, six))
		r.put(feed("b", one))
		r.wantJoined("eth0", one, two, six)
		index := r.want("a", membership.StateJoined, "eth0").Attachments[0].Index
		for n, next := range []int{0, index + 1, index + 1, 50} { // also the same again
			r.Remove("eth0")
			r.wantJoined("eth0")
			if n%2 == 0 { // or both at once
				r.want("a", membership.StateDetached, "no interface matches")
			}
			i := Ethernet("eth0")
			i.Index = next
			i = r.Add(i)
			status := r.want("a", membership.StateJoined, "eth0")
			if a := status.Attachments[0]; a.Index != i.Index || a.Instance != i.ID || status.Counters.Reattaches != uint64(n+1) {
				t.Errorf("%+v of %+v", a, status.Counters)
			}
			r.wantJoined("eth0", one, two, six)
		}
		if err := r.Delete(r.t.Context(), "a"); err != nil {
			t.Error(err)
		}
		r.wantJoined("eth0", one)
	})
}

func TestManySourcesOfAGroup(t *testing.T) {
	run(t, func(r *running) {
		r.put(feed("a", many...))
		r.want("a", membership.StateJoined, "")
		r.put(feed("a", many[:3]...))
		r.wantJoined("eth0", many[:3]...)
		r.Refuse(unix.EINVAL, many[7])
		r.put(feed("a", many...))
		r.want("a", membership.StateDegraded, "1 of 30 channels")
		r.Refuse(nil)
		time.Sleep(time.Second)
		r.want("a", membership.StateJoined, "")
		if got := len(r.Joined("eth0")); got != len(many) {
			t.Errorf("%d are joined", got)
		}
	})
}

func TestChanges(t *testing.T) {
	run(t, func(r *running) {
		r.put(feed("a", one, six))
		events := r.Subscribe()
		r.Change("eth0", func(i *ifwatch.Interface) { i.MTU, i.IPv6.Alive = 1000, false })
		r.want("a", membership.StateDegraded, "IPv6")
		r.wantJoined("eth0", one)
		r.Change("eth0", func(i *ifwatch.Interface) { i.MTU, i.IPv6.Alive = 1500, true })
		r.want("a", membership.StateJoined, "")
		r.wantJoined("eth0", one, six)
		r.Change("eth0", func(i *ifwatch.Interface) { i.Carrier = false })
		r.Change("eth0", func(i *ifwatch.Interface) { i.Carrier = true })
		r.want("a", membership.StateJoined, "")
		time.Sleep(time.Second)
		events.Finish()
		heard := map[membership.EventType]int{}
		for e, err := events.Next(r.t.Context()); err == nil; e, err = events.Next(r.t.Context()) {
			heard[e.Type]++
		}
		if heard[membership.EventReannounced] != 1 || heard[membership.EventDetached] != 0 {
			t.Errorf("heard of %v", heard)
		}
		r.Change("eth0", func(i *ifwatch.Interface) { i.Name = "eth1" })
		r.want("a", membership.StateJoined, "") // on_change: keep
		r.wantJoined("eth1", one, six)
		r.wantJoined("eth0")
		r.Change("eth1", func(i *ifwatch.Interface) { i.Index, i.ID = 99, 99 })
		r.wantJoined("eth1", one, six)
	})
}

func TestSubnetOfAChange(t *testing.T) {
	run(t, func(r *running) {
		m := feed("a", one)
		m.Rules.Require = []reattach.Requirement{reattach.RequireUp, reattach.RequireAddress}
		r.put(m)
		r.want("a", membership.StateWaiting, "address")
		r.Change("eth0", func(i *ifwatch.Interface) {
			i.Addresses = append(i.Addresses, ifwatch.Address{Prefix: netip.MustParsePrefix("10.1.0.2/24")})
		})
		r.want("a", membership.StateJoined, "")
	})
}

func TestRefusedJoins(t *testing.T) {
	run(t, func(r *running) {
		r.Refuse(unix.EPERM)
		r.put(feed("a", one, two))
		if err := r.want("a", membership.StateDegraded, "EPERM").Err; !errors.Is(err, unix.EPERM) {
			t.Errorf("the error is %v", err)
		}
		r.Refuse(nil)
		r.Refuse(unix.EINVAL, two)
		time.Sleep(time.Minute)
		r.want("a", membership.StateDegraded, "1 of 2 channels not joined: "+two.String())
		r.wantJoined("eth0", one)
		r.Refuse(nil, two)
		time.Sleep(time.Minute)
		r.want("a", membership.StateJoined, "")
	})
}

// What is lost behind the manager's back is not to be had here; an audit finds
// nothing.
func TestAuditsFindNothing(t *testing.T) {
	run(t, func(r *running) {
		r.put(feed("a", one, two, six))
		time.Sleep(10 * time.Minute)
		if c := r.want("a", membership.StateJoined, "").Counters; c.Repairs != 0 || c.Attaches != 1 {
			t.Errorf("%+v", c)
		}
	})
}

// An application's own socket is a real one, on which nothing is joined.
func TestApplicationsSocket(t *testing.T) {
	conn, err := net.ListenUDP("udp6", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run(t, func(r *running) {
		m := feed("a", one, six)
		m.Socket = conn
		r.put(m)
		wantOn := func(want ...membership.Channel) {
			t.Helper()
			if diff := cmp.Diff(want, r.JoinedOn(conn), cmpopts.EquateComparable(membership.Channel{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("joined on the socket (-want +got):\n%s", diff)
			}
		}
		wantOn(one, six)
		i := Ethernet("eth0")
		i.Index = r.want("a", membership.StateJoined, "").Attachments[0].Index
		for range 3 {
			r.Remove("eth0")
			wantOn()
			r.Add(i) // the same index: there is a stale entry
			r.want("a", membership.StateJoined, "")
			wantOn(one, six)
			r.wantJoined("eth0", one, six)
		}
		m.Keep = membership.KeepAtEnd
		r.put(m)
		wantOn(one, six)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		r.Remove("eth0")
		r.Add(Ethernet("eth0"))
		if err := r.want("a", membership.StateEnded, "closed").Err; !errors.Is(err, membership.ErrSocketClosed) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestTwoManagers(t *testing.T) {
	run(t, func(r *running) {
		ctx, cancel := context.WithCancel(r.t.Context())
		other, ended := r.New(membership.Options{}), make(chan error)
		go func() { ended <- other.Run(ctx) }()
		r.put(feed("a", one))
		if err := other.Put(ctx, feed("a", one, two)); err != nil {
			t.Error(err)
		}
		r.wantJoined("eth0", one, two)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		r.wantJoined("eth0", one)
		r.Remove("eth0")
		r.want("a", membership.StateDetached, "")
		r.Add(Ethernet("eth0"))
		r.want("a", membership.StateJoined, "")
	})
}

// A connection of Listen is made with a manager of the host.
func TestListenOnAHost(t *testing.T) {
	h := NewHost()
	h.Add(Ethernet("eth0"))
	ctx, cancel := context.WithCancel(t.Context())
	manager, ended := h.New(membership.Options{}), make(chan error)
	go func() { ended <- manager.Run(ctx) }()
	conn, err := membership.Listen(ctx, membership.ListenConfig{
		Channels: []membership.Channel{one}, Port: 5999, Manager: manager,
		Rules: reattach.Rules{Selector: reattach.ByName("eth0")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Joined("eth0"); len(got) != 1 {
		t.Errorf("joined %v", got)
	}
	if err := conn.Close(); err != nil || len(h.Joined("eth0")) > 0 {
		t.Errorf("joined %v, %v", h.Joined("eth0"), err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A test that is wrong is told so.
func TestPanics(t *testing.T) {
	t.Parallel()
	h := NewHost()
	i := h.Add(Ethernet("eth0"))
	same := Ethernet("eth1")
	same.Index = i.Index
	for want, f := range map[string]func(){
		"add eth0: there is one":                  func() { h.Add(Ethernet("eth0")) },
		"add eth1 at index 2: there is eth0":      func() { h.Add(same) },
		"remove eth9: there is no such interface": func() { h.Remove("eth9") },
		"change eth9: there is no such interface": func() { h.Change("eth9", func(*ifwatch.Interface) {}) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasSuffix(got, want) {
					t.Errorf("said %q, want %q", got, want)
				}
			}()
			f()
		}()
	}
	if h.Joined("eth9") != nil {
		t.Error("something is joined on nothing")
	}
}
