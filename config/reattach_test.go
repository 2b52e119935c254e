package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/reattach"
)

const inheriting = `
defaults:
  interface: eth0
  reattach: {policy: approve, settle: 200ms, within: 10m, limit: {count: 5, per: 1m}, when: candidate.mtu >= previous.mtu}
memberships:
  - {name: all, channels: 10.0.0.1@232.0.0.1}
  - {name: none, channels: 10.0.0.1@232.0.0.1, reattach: {policy: match, settle: 0, within: 0s, limit: {count: 0}, when: ""}}
  - {name: more, channels: 10.0.0.1@232.0.0.1, reattach: {limit: {count: 9}, when: "true"}}
`

func TestParseReattach(t *testing.T) {
	c, err := Parse("f", []byte(inheriting))
	if err != nil {
		t.Fatal(err)
	}
	agrees(t, inheriting, nil)
	when := func(text string) *reattach.When {
		w, err := reattach.ParseWhen(text)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	base := reattach.Rules{Selector: reattach.Selector{Name: reattach.Globs{"eth0"}}}
	all := base
	all.Policy.Kind, all.Settle, all.Within = reattach.PolicyApprove, 200*time.Millisecond, 10*time.Minute
	all.Limit, all.When = reattach.Limit{Count: 5, Per: time.Minute}, when("candidate.mtu >= previous.mtu")
	more := all
	more.Limit.Count, more.When = 9, when("true")
	for n, want := range []reattach.Rules{all, base, more} {
		if diff := cmp.Diff(want.Normalize(), c.Memberships[n].Rules, exact); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.Memberships[n].Name, diff)
		}
	}
	roundTrip(t, c)
}

func TestCompareReattach(t *testing.T) {
	base, err := Parse("f", []byte(inheriting))
	if err != nil {
		t.Fatal(err)
	}
	for old, new := range map[string]string{
		"200ms": "201ms", "10m": "11m", "count: 5": "count: 6", "per: 1m": "per: 2m", "candidate.mtu >=": "candidate.mtu ==", "policy: approve": "policy: match",
	} {
		changed, err := Parse("f", []byte(strings.ReplaceAll(inheriting, old, new)))
		if err != nil {
			t.Fatal(err)
		}
		if d := Compare(Pack(base), Pack(changed)); len(d.Changed) == 0 || d.Changed[0] != "all" {
			t.Errorf("%s became %s: %+v", old, new, d)
		}
	}
	again, err := Parse("f", []byte(inheriting))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Difference{}, Compare(Pack(base), Pack(again))); diff != "" {
		t.Errorf("an expression compiled twice is another: %s", diff)
	}
}

// An inherited fault is told where it can be mended.
func TestSettleInheritedTooLong(t *testing.T) {
	_, err := Parse("f", []byte("defaults: {interface: eth0, reattach: {settle: 1m}}\nmemberships:\n  - name: a\n    channels: 10.0.0.1@232.0.0.1\n    reattach: {within: 30s}\n"))
	const want = "f:5:24: memberships[0](a).reattach.settle: 1m0s, want less than within, 30s: nothing would settle in time"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// Memberships that inherit an expression share what it is compiled to.
func TestWhenIsCompiledOnce(t *testing.T) {
	var b strings.Builder
	b.WriteString("memberships:\n  - &x {name: a, channels: 10.0.0.1@232.0.0.1, interface: eth0, reattach: &r {when: 'any(candidate.subnet, # in previous.subnet)'}}\n")
	for n := range 20_000 {
		fmt.Fprintf(&b, "  - {name: n%d, channels: 10.0.0.1@232.0.0.1, interface: eth0, reattach: *r}\n", n)
	}
	c, err := Parse("f", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if first, last := c.Memberships[0].Rules.When, c.Memberships[20_000].Rules.When; first == nil || first != last {
		t.Errorf("%p and %p", first, last)
	}
}
