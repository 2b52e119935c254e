package membership

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// listSocket is a socket that cannot be compared, and incomparableInside one
// of a type that can.
type listSocket []int

func (listSocket) SyscallConn() (syscall.RawConn, error) { return nil, nil }

type incomparableInside struct{ any }

func (incomparableInside) SyscallConn() (syscall.RawConn, error) { return nil, nil }

func TestMembershipValidate(t *testing.T) {
	valid := feed("feed-a", "eth0", one, six)
	change := func(f func(*Membership)) Membership {
		m := valid
		f(&m)
		return m
	}
	var nilConn *net.UDPConn
	for name, test := range map[string]struct {
		membership Membership
		want       []string // parts of the error; none: valid
	}{
		"valid":                    {valid, nil},
		"a channel twice":          {feed("a", "eth0", one, one), nil},
		"zero":                     {Membership{}, []string{"name: empty", "channels: none", "interface: selects every interface"}},
		"name":                     {change(func(m *Membership) { m.Name = "a b" }), []string{`name: "a b", want letters`}},
		"two bad channels":         {feed("a", "eth0", Channel{}, channel("10.0.0.1@239.0.0.1")), []string{"incomplete", "not source-specific"}},
		"any range":                {change(func(m *Membership) { m.Channels, m.AnyRange = channels("10.0.0.1@239.0.0.1"), true }), nil},
		"rules":                    {with(valid, func(r *reattach.Rules) { r.Policy.Kind = reattach.PolicySame }), []string{"same: empty"}},
		"socket":                   {change(func(m *Membership) { m.Socket = &net.UDPConn{} }), nil},
		"socket on all":            {with(on(valid, &fakeConn{}), func(r *reattach.Rules) { r.Attach = reattach.AttachAll }), []string{"attach: all"}},
		"nil socket in a type":     {change(func(m *Membership) { m.Socket = nilConn }), []string{"socket: a nil *net.UDPConn"}},
		"incomparable socket":      {change(func(m *Membership) { m.Socket = listSocket{} }), []string{"socket: a membership.listSocket cannot be told from another"}},
		"socket that panics at ==": {change(func(m *Membership) { m.Socket = incomparableInside{[]int{}} }), []string{"cannot be told from another"}},
	} {
		err := test.membership.Validate()
		if (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range test.want {
			if !strings.Contains(errorText(err), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}

func TestValidateName(t *testing.T) {
	for name, valid := range map[string]bool{
		"a": true, "feed-a": true, "A.b_9": true, "...a": true,
		"": false, ".": false, "..": false, "a/b": false, "a b": false, "ä": false, "a\n": false, "a\x00": false,
	} {
		if err := ValidateName(name); (err == nil) != valid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCheckSet(t *testing.T) {
	_, err := checkSet([]Membership{feed("a", "eth0", one), feed("b", "eth0"), feed("a", "eth1", two), {Name: "c"}}, nil)
	want := `membership "b": channels: none, want at least one
membership "a": name used twice
membership "c": channels: none, want at least one
interface: selects every interface, want at least one attribute; {name: "*"} says so on purpose`
	if diff := cmp.Diff(want, errorText(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// wishOf is a membership's wish on its own.
func wishOf(m Membership) *wish { return newWish(&m, agreements{}.on(&m, nil)) }

func TestNewWish(t *testing.T) {
	w := wishOf(feed("a", "eth0", six, two, one, two, six))
	if diff := cmp.Diff([]Channel{one, two, six}, w.channels, compareAddrs); diff != "" {
		t.Errorf("channels (-want +got):\n%s", diff)
	}
	for f, want := range map[ifwatch.Family][]Channel{ifwatch.IPv4: {one, two}, ifwatch.IPv6: {six}} {
		if diff := cmp.Diff(want, w.channelsOf(f), compareAddrs); diff != "" {
			t.Errorf("of %s (-want +got):\n%s", f, diff)
		}
	}
	if diff := cmp.Diff(bothFamilies, w.families); diff != "" {
		t.Errorf("families (-want +got):\n%s", diff)
	}
	if w := wishOf(feed("a", "eth0", six)); len(w.channelsOf(ifwatch.IPv4)) != 0 || len(w.channelsOf(ifwatch.IPv6)) != 1 {
		t.Errorf("of IPv6 alone: %v, %v", w.channelsOf(ifwatch.IPv4), w.channelsOf(ifwatch.IPv6))
	}
}

// A wish keeps nothing of what it was made from: that may be part of something large.
func TestWishIsItsOwn(t *testing.T) {
	m := feed(strings.Repeat("a", 9), "eth0", one)
	w := wishOf(m)
	if unsafe.StringData(w.name) == unsafe.StringData(m.Name) || &w.channels[0] == &m.Channels[0] {
		t.Error("it has the name or the channels that it was given")
	}
}

func TestWishEqual(t *testing.T) {
	base := feed("a", "eth0", one, two)
	conn := &fakeConn{}
	for name, test := range map[string]struct {
		a, b Membership
		want bool
	}{
		"itself":            {base, base, true},
		"order, repetition": {base, feed("a", "eth0", two, one, two), true},
		"defaults": {base, with(base, func(r *reattach.Rules) {
			r.Attach, r.Require = reattach.AttachOne, []reattach.Requirement{reattach.RequireUp}
		}), true},
		"name":        {base, feed("b", "eth0", one, two), false},
		"channels":    {base, feed("a", "eth0", one), false},
		"selector":    {base, feed("a", "eth1", one, two), false},
		"policy":      {base, with(base, func(r *reattach.Rules) { r.Policy.Kind = reattach.PolicyNever }), false},
		"no require":  {base, with(base, func(r *reattach.Rules) { r.Require = []reattach.Requirement{} }), false},
		"socket":      {base, on(base, conn), false},
		"same socket": {on(base, conn), on(base, conn), true},
		"two globs": {
			with(base, func(r *reattach.Rules) { r.Selector.Name = reattach.Globs{"a,b"} }),
			with(base, func(r *reattach.Rules) { r.Selector.Name = reattach.Globs{"a", "b"} }), false,
		},
	} {
		if got := wishOf(test.a).equal(wishOf(test.b)); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestWithout(t *testing.T) {
	all := manyChannels(1, 4)
	for _, test := range []struct{ channels, others, want []Channel }{
		{all, nil, all},
		{all, all, nil},
		{nil, all, nil},
		{all, all[1:3], []Channel{all[0], all[3]}},
		{all[1:3], all, nil},
		{all[:2], all[2:], all[:2]},
		{all[2:], all[:3], all[3:]},
	} {
		if diff := cmp.Diff(test.want, without(test.channels, test.others), compareAddrs); diff != "" {
			t.Errorf("%v without %v (-want +got):\n%s", test.channels, test.others, diff)
		}
	}
}

// A wish of very many channels is made in time.
func TestNewWishOfMany(t *testing.T) {
	var many []Channel
	for _, c := range manyChannels(10, 10_000) {
		many = append(many, c, c)
	}
	if n := len(wishOf(feed("a", "eth0", many...)).channels); n != 100_000 {
		t.Error(fmt.Sprint(n, " channels, want 100000"))
	}
}
