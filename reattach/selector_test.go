package reattach

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ssmd-project/ssmd/ifwatch"
)

// eth0 is a healthy interface with every attribute.
func eth0(changes ...func(*ifwatch.Interface)) ifwatch.Interface {
	i := ifwatch.Interface{
		ID: 7, Index: 12, Name: "eth0", AltNames: []string{"enp59s0", "uplink"},
		Kind: "vlan", LinkType: "ether",
		MAC: "02:00:00:00:0a:01", PermMAC: "02:00:00:00:0a:ff", Device: "pci/0000:3b:00.0",
		Parent: "trunk0", Master: "br0", VLANID: 100, LinkGroup: 3, Alias: "feed A", MTU: 1500,
		Up: true, Carrier: true, Multicast: true,
		Addresses: addresses("10.1.0.2/24", "2001:db8:1::2/64", "fe80::1/64"),
		IPv4:      ifwatch.Protocol{Alive: true}, IPv6: ifwatch.Protocol{Alive: true},
	}
	for _, change := range changes {
		change(&i)
	}
	return i
}

func addresses(prefixes ...string) []ifwatch.Address {
	all := make([]ifwatch.Address, len(prefixes))
	for i, p := range prefixes {
		all[i].Prefix = netip.MustParsePrefix(p)
	}
	return all
}

func withAddresses(prefixes ...string) func(*ifwatch.Interface) {
	return func(i *ifwatch.Interface) { i.Addresses = addresses(prefixes...) }
}

func bare(i *ifwatch.Interface) {
	i.AltNames, i.Addresses = nil, nil
	i.MAC, i.PermMAC, i.Device, i.Parent, i.Master, i.Alias = "", "", "", "", "", ""
	i.VLANID, i.LinkGroup = -1, 0
}

func mustSelect(t interface {
	Helper()
	Fatal(...any)
}, a Attribute, patterns ...string) Selector {
	t.Helper()
	var s Selector
	if err := s.Set(a, patterns); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSelectorMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		attribute Attribute
		patterns  []string
		candidate ifwatch.Interface
		want      Check
	}{
		{"exact", Name, []string{"eth0"}, eth0(), Check{"name", "eth0", "eth0 enp59s0 uplink", Accept}},
		{"other", Name, []string{"eth1"}, eth0(), Check{"name", "eth1", "eth0 enp59s0 uplink", Reject}},
		{"case counts in names", Name, []string{"ETH0"}, eth0(), Check{"name", "ETH0", "eth0 enp59s0 uplink", Reject}},
		{"glob", Name, []string{"eth?"}, eth0(), Check{"name", "eth?", "eth0 enp59s0 uplink", Accept}},
		{"class", Name, []string{"eth[0-3]"}, eth0(), Check{"name", "eth[0-3]", "eth0 enp59s0 uplink", Accept}},
		{"altname", Name, []string{"up*"}, eth0(), Check{"name", "up*", "eth0 enp59s0 uplink", Accept}},
		{"second of a list", Name, []string{"wlan*", "eth*"}, eth0(), Check{"name", "wlan* eth*", "eth0 enp59s0 uplink", Accept}},
		{"negated", Name, []string{"!eth0"}, eth0(), Check{"name", "!eth0", "eth0 enp59s0 uplink", Reject}},
		{"negated altname", Name, []string{"eth*", "!uplink"}, eth0(), Check{"name", "eth* !uplink", "eth0 enp59s0 uplink", Reject}},
		{"only others negated", Name, []string{"!wlan*", "!lo"}, eth0(), Check{"name", "!wlan* !lo", "eth0 enp59s0 uplink", Accept}},
		{"negated and no plain match", Name, []string{"wlan*", "!lo"}, eth0(), Check{"name", "wlan* !lo", "eth0 enp59s0 uplink", Reject}},
		{"star spans slashes", Device, []string{"pci*"}, eth0(), Check{"device", "pci*", "pci/0000:3b:00.0", Accept}},
		{"slash", Device, []string{"pci/*"}, eth0(), Check{"device", "pci/*", "pci/0000:3b:00.0", Accept}},
		{"other bus", Device, []string{"usb/*"}, eth0(), Check{"device", "usb/*", "pci/0000:3b:00.0", Reject}},
		{"MAC in upper case", MAC, []string{"02:00:00:00:0A:*"}, eth0(), Check{"mac", "02:00:00:00:0A:*", "02:00:00:00:0a:01", Accept}},
		{"MAC class in upper case", PermanentMAC, []string{"*:[A-F]F"}, eth0(), Check{"permanent_mac", "*:[A-F]F", "02:00:00:00:0a:ff", Accept}},
		{"VLAN id", VLANID, []string{"1??"}, eth0(), Check{"vlan_id", "1??", "100", Accept}},
		{"VLAN id 0 is one", VLANID, []string{"0"}, eth0(func(i *ifwatch.Interface) { i.VLANID = 0 }), Check{"vlan_id", "0", "0", Accept}},
		{"no VLAN", VLANID, []string{"*"}, eth0(bare), Check{"vlan_id", "*", "none", Reject}},
		{"link group", LinkGroup, []string{"3"}, eth0(), Check{"link_group", "3", "3", Accept}},
		{"link group 0 is one", LinkGroup, []string{"*"}, eth0(bare), Check{"link_group", "*", "0", Accept}},
		{"alias with a space", Alias, []string{"feed *"}, eth0(), Check{"alias", "feed *", "feed A", Accept}},
		{"absent, any wanted", Master, []string{"*"}, eth0(bare), Check{"master", "*", "none", Reject}},
		{"absent, some unwanted", Master, []string{"!br*"}, eth0(bare), Check{"master", "!br*", "none", Accept}},
		{"absent, all unwanted", Master, []string{"!*"}, eth0(bare), Check{"master", "!*", "none", Accept}},
		{"present, all unwanted", Master, []string{"!*"}, eth0(), Check{"master", "!*", "br0", Reject}},

		{"subnet", Subnet, []string{"10.1.0.0/16"}, eth0(), Check{"subnet", "10.1.0.0/16", "10.1.0.2/24", Accept}},
		{"subnet of either family", Subnet, []string{"192.0.2.0/24", "2001:db8::/32"}, eth0(), Check{"subnet", "192.0.2.0/24, 2001:db8::/32", "2001:db8:1::2/64", Accept}},
		{"other subnet", Subnet, []string{"192.0.2.0/24"}, eth0(withAddresses("10.1.0.2/24")), Check{"subnet", "192.0.2.0/24", "10.1.0.2/24", Reject}},
		{"no address", Subnet, []string{"192.0.2.0/24"}, eth0(bare), Check{"subnet", "192.0.2.0/24", "none", Wait}},
		{"none of the family", Subnet, []string{"192.0.2.0/24"}, eth0(withAddresses("2001:db8::1/64")), Check{"subnet", "192.0.2.0/24", "2001:db8::1/64", Wait}},
		{"link-local only", Subnet, []string{"2001:db8::/32"}, eth0(withAddresses("fe80::1/64")), Check{"subnet", "2001:db8::/32", "fe80::1/64", Wait}},
		{"link-local wanted", Subnet, []string{"fe80::/10"}, eth0(), Check{"subnet", "fe80::/10", "fe80::1/64", Accept}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := mustSelect(t, tt.attribute, tt.patterns...).Match(tt.candidate)
			if diff := cmp.Diff([]Check{tt.want}, got.Checks); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSelectorMatchesAllAttributes(t *testing.T) {
	t.Parallel()
	s := Selector{Kind: Globs{"vlan"}, Master: Globs{"br1"}, Subnet: Subnets{netip.MustParsePrefix("10.1.0.0/24")}}
	got := s.Match(eth0())
	want := []Check{{"kind", "vlan", "vlan", Accept}, {"master", "br1", "br0", Reject}, {"subnet", "10.1.0.0/24", "10.1.0.2/24", Accept}}
	if diff := cmp.Diff(want, got.Checks); diff != "" {
		t.Error(diff)
	}
	if got, want := s.String(), "kind=vlan master=br1 subnet=10.1.0.0/24"; got != want {
		t.Errorf("String: got %q, want %q", got, want)
	}
}

func TestInvalidSelectorMatchesNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []Selector{{}, {Name: Globs{}}, {Name: Globs{"eth0"}, Kind: Globs{}}, {Subnet: Subnets{}}, {Subnet: Subnets{{}}}} {
		if err := s.Validate(); err == nil {
			t.Errorf("%#v: valid", s)
		}
		v := Rules{Selector: s}.Judge([]ifwatch.Family{ifwatch.IPv4}, nil, eth0())
		if v.Result() == Accept {
			t.Errorf("%#v: accepts: %s", s, v.Reason())
		}
	}
}

func TestByName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"eth0", "eth0.100", "a*b", "q?", "x[0]", `b\s`, "!eth0", "!", "[!a]", "-"} {
		s := ByName(name)
		if err := s.Validate(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		for _, other := range []string{name, "eth0", "eth1", "aXb", "qX", "x0", "b", "!"} {
			got := s.Match(ifwatch.Interface{Name: other}).Result() == Accept
			if want := other == name; got != want {
				t.Errorf("ByName(%q) on %q: %v, want %v", name, other, got, want)
			}
		}
		if got := s.Match(ifwatch.Interface{Name: "other", AltNames: []string{name}}).Result(); got != Accept {
			t.Errorf("ByName(%q) on that altname: %v", name, got)
		}
	}
	if err := ByName("").Validate(); err == nil {
		t.Error("the empty name is valid")
	}
}

func TestSelectorSetRejects(t *testing.T) {
	t.Parallel()
	tests := []struct {
		attribute Attribute
		patterns  []string
		want      string
	}{
		{Name, nil, "empty list"},
		{Name, []string{}, "empty list"},
		{Name, []string{""}, "empty"},
		{Name, []string{"eth0", "!"}, `"!"`},
		{Name, []string{"eth[0"}, `"eth[0"`},
		{Name, []string{"ok", "a[]b"}, `"a[]b"`},
		{Name, []string{`eth\`}, "backslash"},
		{Name, []string{"![x"}, `"![x"`},
		{Subnet, nil, "empty list"},
		{Subnet, []string{"10.1.0.0"}, `"10.1.0.0" is not a prefix`},
		{Subnet, []string{"10.1.0.0/16", "eth0"}, `"eth0"`},
		{Subnet, []string{"10.1.2.3/16"}, "want 10.1.0.0/16"},
		{Subnet, []string{"::ffff:10.1.0.0/112"}, "IPv4"},
		{Subnet, []string{"fe80::%eth0/64"}, "not a prefix"},
		{"colour", []string{"red"}, `unknown attribute "colour"`},
	}
	for _, tt := range tests {
		before := Selector{Name: Globs{"kept"}, Subnet: Subnets{netip.MustParsePrefix("10.0.0.0/8")}}
		s := before
		err := s.Set(tt.attribute, tt.patterns)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Set(%s, %q): %v, want an error with %q", tt.attribute, tt.patterns, err, tt.want)
		}
		if diff := cmp.Diff(before, s, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("Set(%s, %q) changed the selector: %s", tt.attribute, tt.patterns, diff)
		}
	}
}

func TestSelectorSetCopies(t *testing.T) {
	t.Parallel()
	patterns := []string{"eth0"}
	s := mustSelect(t, Name, patterns...)
	patterns[0] = "lo"
	if got := s.String(); got != "name=eth0" {
		t.Error(got)
	}
}

func FuzzSelectorSet(f *testing.F) {
	f.Add("name", "eth*", "!eth1", "eth0")
	f.Add("mac", "02:[A-F]*", "!\\*", "02:a")
	f.Add("device", "pci/[+-/]*", "/", "pci/0000:3b:00.0")
	f.Add("subnet", "10.1.0.0/16", "2001:db8::/32", "10.1.0.2")
	f.Add("vlan_id", "[", "!", "x")
	f.Fuzz(func(t *testing.T, attribute, first, second, value string) {
		a, err := ParseAttribute(attribute)
		if err != nil {
			return
		}
		var s, again Selector
		if err := s.Set(a, []string{first, second}); err != nil {
			if err := s.Validate(); err == nil {
				t.Errorf("%q, %q: refused, and still set", first, second)
			}
			return
		}
		if err := s.Validate(); err != nil {
			t.Errorf("%q, %q: taken, and not valid: %v", first, second, err)
		}
		candidate := eth0()
		candidate.Name, candidate.MAC, candidate.Device, candidate.Alias = value, value, value, value
		v := s.Match(candidate)
		if len(v.Checks) != 1 || v.Reason() == "" || v.Checks[0].Wanted == "" || v.Checks[0].Found == "" {
			t.Errorf("%+v", v)
		}
		if err := again.Set(a, []string{first, second}); err != nil || again.Match(candidate).Result() != v.Result() {
			t.Errorf("a second time: %v, %+v", err, again.Match(candidate))
		}
	})
}
