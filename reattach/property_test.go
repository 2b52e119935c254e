package reattach

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ssmd-project/ssmd/ifwatch"
	"pgregory.net/rapid"
)

// drawInterface draws from few values, so that interfaces often agree.
func drawInterface(t *rapid.T, id ifwatch.ID) ifwatch.Interface {
	pick := func(label string, values ...string) string { return rapid.SampledFrom(values).Draw(t, label) }
	flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
	i := ifwatch.Interface{
		ID: id, Index: int(id) + 100,
		Name:      pick("name", "eth0", "eth1", "lan0"),
		AltNames:  rapid.SliceOfN(rapid.SampledFrom([]string{"up0", "up1"}), 0, 2).Draw(t, "altnames"),
		Kind:      pick("kind", "physical", "veth", "vlan"),
		LinkType:  pick("link type", "ether", "none"),
		MAC:       pick("mac", "", "02:00:00:00:00:01", "02:00:00:00:00:02"),
		PermMAC:   pick("permanent mac", "", "02:00:00:00:00:0a"),
		Device:    pick("device", "", "pci/0000:3b:00.0", "usb/1-2:1.0"),
		Parent:    pick("parent", "", "trunk0", "trunk1"),
		Master:    pick("master", "", "br0", "br1"),
		VLANID:    rapid.IntRange(-1, 2).Draw(t, "vlan"),
		LinkGroup: rapid.Uint32Range(0, 2).Draw(t, "group"),
		Alias:     pick("alias", "", "feed"),
		MTU:       1500,
		Up:        flag("up"), Carrier: flag("carrier"), Multicast: flag("multicast"),
		IPv4: ifwatch.Protocol{Alive: true}, IPv6: ifwatch.Protocol{Alive: flag("IPv6 alive")},
	}
	for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"10.1.0.2/24", "10.2.0.2/24", "2001:db8:1::2/64", "fe80::1/64"}), 0, 3, rapid.ID).Draw(t, "addresses") {
		i.Addresses = append(i.Addresses, ifwatch.Address{Prefix: netip.MustParsePrefix(p), Tentative: flag("tentative")})
	}
	return i
}

var drawPatterns = map[Attribute][]string{
	Name: {"eth*", "!eth1", "up0", "*"}, Kind: {"veth", "!vlan"}, MAC: {"02:*"}, Device: {"pci/*", "!usb*"},
	Master: {"br?", "!br1"}, VLANID: {"1", "[0-2]"}, Subnet: {"10.1.0.0/16", "2001:db8::/32"},
}

func drawRules(t *rapid.T) Rules {
	var r Rules
	_ = r.Selector.Set(Name, []string{"*"})
	for _, a := range rapid.SliceOfNDistinct(rapid.SampledFrom(Attributes()), 0, 3, rapid.ID).Draw(t, "selected") {
		if values := drawPatterns[a]; values != nil {
			_ = r.Selector.Set(a, rapid.SliceOfN(rapid.SampledFrom(values), 1, 2).Draw(t, "patterns"))
		}
	}
	r.Policy.Kind = rapid.SampledFrom([]PolicyKind{"", PolicyMatch, PolicySame, PolicyApprove, PolicyNever}).Draw(t, "policy")
	if r.Policy.Kind == PolicySame {
		r.Policy.Same = rapid.SliceOfNDistinct(rapid.SampledFrom(Attributes()), 1, 3, rapid.ID).Draw(t, "same")
	}
	r.Require = rapid.SampledFrom([][]Requirement{nil, {}, {RequireUp, RequireCarrier}, {RequireAddress}}).Draw(t, "require")
	r.Attach = rapid.SampledFrom([]Attach{"", AttachOne, AttachAll}).Draw(t, "attach")
	r.Ambiguous = rapid.SampledFrom([]Ambiguous{"", AmbiguousHold, AmbiguousOldest, AmbiguousNewest}).Draw(t, "ambiguous")
	r.OnChange = rapid.SampledFrom([]OnChange{"", OnChangeKeep, OnChangeLeave}).Draw(t, "on change")
	r.Limit.Count, r.Limit.Per = rapid.IntRange(0, 2).Draw(t, "count"), time.Minute
	if text := rapid.SampledFrom([]string{"", "candidate.name == previous.name", "candidate.subnet[1] in previous.subnet"}).Draw(t, "when"); text != "" {
		r.When = mustWhen(t, text)
	}
	return r
}

func drawLost(t *rapid.T) []ifwatch.Interface {
	lost := make([]ifwatch.Interface, rapid.IntRange(0, 3).Draw(t, "lost"))
	for n := range lost {
		lost[n] = drawInterface(t, ifwatch.ID(n+1))
	}
	return lost
}

func drawFamilies(t *rapid.T) []ifwatch.Family {
	return rapid.SampledFrom([][]ifwatch.Family{v4, v6, both}).Draw(t, "families")
}

func TestJudgeIsPure(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type arguments struct {
			R         Rules
			Families  []ifwatch.Family
			Lost      []ifwatch.Interface
			Candidate ifwatch.Interface
		}
		a := arguments{drawRules(t), drawFamilies(t), drawLost(t), drawInterface(t, 9)}
		if err := a.R.Validate(); err != nil {
			t.Fatal(err)
		}
		before, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		v := a.R.Judge(a.Families, a.Lost, a.Candidate)
		if len(v.Checks) != cap(v.Checks) {
			t.Error("whoever appends to one copy of the verdict writes to the others")
		}
		again := a.R.Judge(a.Families, a.Lost, a.Candidate)
		if diff := cmp.Diff(v, again); diff != "" {
			t.Errorf("judged twice: %s", diff)
		}
		if after, _ := json.Marshal(a); string(after) != string(before) {
			t.Errorf("arguments: before\n%s\nafter\n%s", before, after)
		}
		checkVerdict(t, v)
		c := Circumstances{Drained: rapid.Bool().Draw(t, "drained"), Approved: rapid.Bool().Draw(t, "approved"), Now: noon}
		c.Reattached = make([]time.Time, rapid.IntRange(0, 3).Draw(t, "reattached"))
		for n := range c.Reattached {
			c.Reattached[n] = noon.Add(-time.Duration(n) * 20 * time.Second)
		}
		held := a.R.Hold(v, a.Candidate.ID, c)
		if diff := cmp.Diff(held, a.R.Hold(v, a.Candidate.ID, c)); diff != "" {
			t.Errorf("held twice: %s", diff)
		}
		if held.Result() > v.Result() || c.Drained && held.Result() == Accept {
			t.Errorf("%s became %s: %s", v.Result(), held.Result(), held.Reason())
		}
		checkVerdict(t, held)
	})
}

// checkVerdict holds what is true of every verdict.
func checkVerdict(t *rapid.T, v Verdict) {
	t.Helper()
	if len(v.Checks) == 0 || v.Reason() == "" {
		t.Errorf("no checks or no reason: %+v", v)
	}
	for _, c := range v.Checks {
		if c.Rule == "" || c.Wanted == "" || c.Found == "" {
			t.Errorf("check with nothing in it: %+v", c)
		}
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var back Verdict
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v, back); diff != "" {
		t.Errorf("through JSON: %s", diff)
	}
}

func hasAttribute(a Attribute, families []ifwatch.Family, i ifwatch.Interface) bool {
	if a != Subnet {
		return a.value(&i) != ""
	}
	return slices.ContainsFunc(families, func(f ifwatch.Family) bool { return len(i.Prefixes(f)) > 0 })
}

func TestSameAcceptsTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		families, lost := drawFamilies(t), drawInterface(t, 1)
		lost.Up, lost.Carrier, lost.Multicast, lost.IPv6.Alive = true, true, true, true
		var same []Attribute
		for _, a := range Attributes() {
			if hasAttribute(a, families, lost) {
				same = append(same, a)
			}
		}
		r := Rules{Selector: ByName(lost.Name), Policy: Policy{Kind: PolicySame, Same: same}, Attach: drawRules(t).Attach}
		candidate := lost
		candidate.ID, candidate.Index = 2, 999
		others := []ifwatch.Interface{drawInterface(t, 3), lost, drawInterface(t, 4)}
		if v := r.Judge(families, others, candidate); v.Result() != Accept {
			t.Error(v.Reason())
		}
	})
}

// change makes an attribute another one, or takes it away.
func change(t *rapid.T, a Attribute, i *ifwatch.Interface) {
	text := rapid.SampledFrom([]string{"", "another"}).Draw(t, "another")
	switch a {
	case Name:
		i.Name = "another"
	case Kind:
		i.Kind = "another"
	case LinkType:
		i.LinkType = "another"
	case MAC:
		i.MAC = text
	case PermanentMAC:
		i.PermMAC = text
	case Device:
		i.Device = text
	case Parent:
		i.Parent = text
	case Master:
		i.Master = text
	case Alias:
		i.Alias = text
	case VLANID:
		i.VLANID = rapid.SampledFrom([]int{-1, 4000}).Draw(t, "vlan")
	case LinkGroup:
		i.LinkGroup += 1000
	case Subnet:
		i.Addresses = rapid.SampledFrom([][]ifwatch.Address{nil, addresses("192.0.2.1/24", "2001:db8:2::1/64")}).Draw(t, "others")
	}
}

func TestSameNeverAcceptsAnother(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		families, lost := drawFamilies(t), drawInterface(t, 1)
		lost.Up, lost.Multicast = true, true
		a := rapid.SampledFrom(Attributes()).Draw(t, "attribute")
		same := append(rapid.SliceOfN(rapid.SampledFrom(Attributes()), 0, 3).Draw(t, "same"), a)
		r := Rules{Selector: Selector{Name: Globs{"*"}}, Policy: Policy{Kind: PolicySame, Same: same}}
		candidate := lost
		candidate.ID, candidate.Index = 2, 999
		change(t, a, &candidate)
		v := r.Judge(families, []ifwatch.Interface{lost}, candidate)
		if v.Result() > Wait {
			t.Errorf("with another %s: %s", a, v.Reason())
		}
		if !slices.ContainsFunc(v.Checks, func(c Check) bool { return c.Rule == "same "+string(a) && c.Result != Accept }) {
			t.Errorf("no check names %s: %+v", a, v.Checks)
		}
	})
}
