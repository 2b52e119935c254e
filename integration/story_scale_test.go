package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// herd is a namespace with many interfaces, which nothing is behind, and a
// manager.
type herd struct {
	*testing.T
	near    *testnet.Namespace
	manager *membership.Manager
	since   time.Time
	cpu     time.Duration // of the whole process, which other tests use too
}

func newHerd(t *testing.T) *herd {
	t.Helper()
	h := &herd{T: t, near: newNamespace(t)}
	h.manager = membership.New(membership.Options{Watch: ifwatch.Options{Within: h.near.Do}})
	background(t, h.manager.Run)
	return h
}

// herdGroup is the link group of the interfaces: all of it is deleted at once.
const herdGroup = 7

func herdName(n int) string { return fmt.Sprint("herd", n) }

// create makes interfaces that are up, herdN.
func (h *herd) create(numbers ...int) {
	h.Helper()
	for _, n := range numbers {
		a := netlink.NewLinkAttrs()
		a.Name, a.Group = herdName(n), herdGroup
		ok(h, h.near.Add(&netlink.Ifb{LinkAttrs: a}, testnet.MulticastOn, testnet.Up))
	}
}

func (h *herd) deleteAll() {
	h.Helper()
	request := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(herdGroup)))
	ok(h, h.near.Do(func() error {
		_, err := request.Execute(unix.NETLINK_ROUTE, 0)
		return err
	}))
}

// measure begins to, and took logs what was measured.
func (h *herd) measure() { h.since, h.cpu = time.Now(), cpuTime() }

func (h *herd) took(what string) {
	h.Helper()
	h.Logf("%s: %s, %s of processor time", what, time.Since(h.since).Round(time.Millisecond), (cpuTime() - h.cpu).Round(time.Millisecond))
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func (h *herd) wait(check func(membership.Totals) error) {
	h.Helper()
	eventually(h, func() error {
		totals, err := h.manager.Totals(h.Context())
		if err != nil {
			return err
		}
		return check(totals)
	})
}

// holds waits until so many channels are held by so many joined memberships.
func (h *herd) holds(channels, joined int) {
	h.Helper()
	h.wait(func(t membership.Totals) error {
		if got := t.Memberships[membership.StateJoined]; t.Channels != channels || got != joined {
			return fmt.Errorf("%d channels held and %d memberships joined, want %d and %d", t.Channels, got, channels, joined)
		}
		return nil
	})
}

// wantHeld checks what the kernel has, on so many interfaces. It is asked by
// netlink: with so many groups /proc/net/igmp takes seconds.
func (h *herd) wantHeld(interfaces int, channels []membership.Channel) {
	h.Helper()
	wanted := make(map[netip.Addr]bool)
	for _, c := range channels {
		wanted[c.Group] = true
	}
	request := nl.NewNetlinkRequest(unix.RTM_GETMULTICAST, unix.NLM_F_DUMP)
	request.AddData(nl.NewIfAddrmsg(unix.AF_INET))
	var all [][]byte
	err := h.near.Do(func() (err error) {
		all, err = request.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
	if errors.Is(err, unix.EOPNOTSUPP) { // before Linux 6.15
		needs(h, "list of IPv4 groups by netlink", err)
	}
	ok(h, err)
	held := make(map[uint32]int)
	for _, m := range all {
		attributes, err := nl.ParseRouteAttr(m[unix.SizeofIfAddrmsg:])
		ok(h, err)
		for _, a := range attributes {
			if a.Attr.Type == unix.IFA_MULTICAST && wanted[netip.AddrFrom4([4]byte(a.Value))] {
				held[nl.DeserializeIfAddrmsg(m).Index]++
			}
		}
	}
	for index, n := range held {
		if n != len(channels) {
			h.Errorf("%d groups on interface %d, want %d", n, index, len(channels))
		}
	}
	if len(held) != interfaces {
		h.Errorf("%d interfaces have the groups, want %d", len(held), interfaces)
	}
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// 500 interfaces with 200 channels each, of one membership or of one each, are
// all deleted and created again.
func TestStoryManyInterfaces(t *testing.T) {
	t.Parallel()
	interfaces, channels := 500, v4.many(200)
	if testing.Short() {
		interfaces = 50
	}
	all := onEth0("all", channels...)
	all.Rules = reattach.Rules{Selector: reattach.Selector{Name: reattach.Globs{"herd*"}}, Attach: reattach.AttachAll}
	var each []membership.Membership
	for n := range interfaces {
		one := onEth0(herdName(n), channels...)
		one.Rules.Selector = reattach.ByName(herdName(n))
		each = append(each, one)
	}
	for _, set := range [][]membership.Membership{{all}, each} {
		name := fmt.Sprint(len(set), " memberships")
		t.Run(name, func(t *testing.T) {
			h := newHerd(t)
			h.create(upTo(interfaces)...)
			h.measure()
			ok(t, h.manager.Apply(t.Context(), set))
			h.holds(interfaces*len(channels), len(set))
			h.took("join")
			h.wantHeld(interfaces, channels)
			h.measure()
			h.deleteAll()
			h.holds(0, 0)
			h.took("delete")
			h.measure()
			h.create(upTo(interfaces)...)
			h.took("create")
			h.holds(interfaces*len(channels), len(set))
			h.took("create, and join again")
			h.wantHeld(interfaces, channels)
			h.wait(func(t membership.Totals) error {
				if t.Reattaches != uint64(interfaces) && len(set) > 1 || t.Attaches != 2*uint64(interfaces) {
					return fmt.Errorf("%d attaches and %d reattaches", t.Attaches, t.Reattaches)
				}
				return nil
			})
			h.measure()
			ok(t, h.manager.Apply(t.Context(), nil))
			h.holds(0, 0)
			h.took("leave")
		})
	}
}

// 10,000 memberships with as many selectors, over 50 interfaces: the right ones
// are joined again when one of these is re-created, and an event of another
// interface costs next to nothing.
func TestStoryManySelectors(t *testing.T) {
	t.Parallel()
	memberships, interfaces := 10_000, 50
	if testing.Short() {
		memberships = 1000
	}
	var set []membership.Membership
	for n := range memberships {
		group := netip.AddrFrom4([4]byte{232, 3, byte(n >> 8), byte(n)})
		m := onEth0(fmt.Sprint("m", n), membership.Channel{Source: v4.channel.source, Group: group})
		name := herdName(n % interfaces)
		switch n % 3 { // each is another one, and matches one interface
		case 0:
			m.Rules.Selector = reattach.Selector{Name: reattach.Globs{name, fmt.Sprint("none", n)}}
		case 1:
			m.Rules.Selector = reattach.Selector{Name: reattach.Globs{name + "*", "!" + name + "[0-9]*", fmt.Sprintf("!x%d*", n)}}
		case 2:

			m.Rules.Selector = reattach.Selector{Name: reattach.Globs{name}, Kind: reattach.Globs{"ifb", fmt.Sprint(n)}}
		}
		set = append(set, m)
	}
	h := newHerd(t)
	h.create(upTo(interfaces)...)
	h.measure()
	ok(t, h.manager.Apply(t.Context(), set))
	h.holds(memberships, memberships)
	h.took("join")

	ok(t, h.near.Add(testnet.IFB("other")))
	h.measure()
	const events = 2000
	before := h.links()
	for n := range events {
		ok(t, h.near.Set("other", testnet.MTU(1400+n%2)))
	}
	h.wait(func(t membership.Totals) error {
		if t.Netlink.Links < before+events {
			return fmt.Errorf("%d messages", t.Netlink.Links-before)
		}
		return nil
	})
	h.took(fmt.Sprintf("%d events of another interface", events))

	h.measure()
	ok(t, h.near.Set(herdName(7), testnet.Deleted))
	gone := 0
	for n := range memberships {
		if n%interfaces == 7 {
			gone++
		}
	}
	h.holds(memberships-gone, memberships-gone)
	h.create(7)
	h.holds(memberships, memberships)
	h.took("one interface again")
	h.wait(func(t membership.Totals) error {
		if t.Reattaches != uint64(gone) || t.Detaches[membership.CauseRemoval] != uint64(gone) {
			return fmt.Errorf("%d reattached, %v detached, want %d", t.Reattaches, t.Detaches, gone)
		}
		return nil
	})
	for n := 7; n < memberships; n += interfaces {
		status, err := h.manager.StatusOf(t.Context(), fmt.Sprint("m", n))
		ok(t, err)
		if len(status.Attachments) != 1 || status.Attachments[0].Interface != herdName(7) || status.Counters.Reattaches != 1 {
			t.Fatalf("%+v", status)
		}
	}
}

// links returns how many messages about interfaces were read.
func (h *herd) links() uint64 {
	h.Helper()
	totals, err := h.manager.Totals(h.Context())
	ok(h, err)
	return totals.Netlink.Links
}
