package reattach

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ssmd-project/ssmd/ifwatch"
)

var (
	v4   = []ifwatch.Family{ifwatch.IPv4}
	v6   = []ifwatch.Family{ifwatch.IPv6}
	both = []ifwatch.Family{ifwatch.IPv4, ifwatch.IPv6}
)

func down(i *ifwatch.Interface)        { i.Up, i.Carrier = false, false }
func noCarrier(i *ifwatch.Interface)   { i.Carrier = false }
func noMulticast(i *ifwatch.Interface) { i.Multicast = false }
func lowMTU(i *ifwatch.Interface)      { i.MTU, i.IPv6 = 1000, ifwatch.Protocol{Life: 1} }
func tentative(i *ifwatch.Interface) {
	i.Addresses = addresses("2001:db8:1::2/64")
	i.Addresses[0].Tentative = true
}

func reborn(i *ifwatch.Interface) { i.ID, i.Index = i.ID+1000, i.Index+1 }

func TestJudge(t *testing.T) {
	t.Parallel()
	named := Selector{Name: Globs{"eth0"}}
	sameMAC := Policy{Kind: PolicySame, Same: []Attribute{MAC}}
	never := Policy{Kind: PolicyNever}
	tests := []struct {
		name      string
		rules     Rules
		families  []ifwatch.Family
		lost      []ifwatch.Interface
		candidate ifwatch.Interface
		want      Result
		reason    string
	}{
		{"first", Rules{Selector: named}, v4, nil, eth0(), Accept, "matches name=eth0 enp59s0 uplink"},
		{"other name", Rules{Selector: ByName("eth1")}, v4, nil, eth0(), Reject, "name: wanted eth1, found eth0 enp59s0 uplink"},
		{"down", Rules{Selector: named}, v4, nil, eth0(down), Wait, "require up: wanted up, found down"},
		{"down, nothing required", Rules{Selector: named, Require: []Requirement{}}, v4, nil, eth0(down), Accept, "matches name=eth0 enp59s0 uplink"},
		{"no carrier, not required", Rules{Selector: named}, v4, nil, eth0(noCarrier), Accept, "matches name=eth0 enp59s0 uplink"},
		{"no carrier", Rules{Selector: named, Require: []Requirement{RequireCarrier}}, v4, nil, eth0(noCarrier), Wait, "require carrier: wanted carrier, found no carrier"},
		{"all required", Rules{Selector: named, Require: []Requirement{RequireUp, RequireCarrier, RequireAddress}}, both, nil, eth0(), Accept, "matches name=eth0 enp59s0 uplink"},
		{"no address", Rules{Selector: named, Require: []Requirement{RequireAddress}}, v4, nil, eth0(withAddresses("2001:db8::1/64")), Wait, "require address: wanted an IPv4 address, found none"},
		{"tentative", Rules{Selector: named, Require: []Requirement{RequireAddress}}, v6, nil, eth0(tentative), Wait, "require address: wanted an IPv6 address, found 2001:db8:1::2/64 still tentative"},
		{"multicast off", Rules{Selector: named}, v4, nil, eth0(noMulticast), Wait, "multicast: wanted the interface flag MULTICAST, found it off"},
		{"two things missing", Rules{Selector: named}, v4, nil, eth0(noMulticast, down), Wait, "multicast: wanted the interface flag MULTICAST, found it off; require up: wanted up, found down"},
		{"multicast off, other name", Rules{Selector: ByName("x")}, v4, nil, eth0(noMulticast), Reject, "name: wanted x, found eth0 enp59s0 uplink"},

		{"IPv6 dead", Rules{Selector: named}, v6, nil, eth0(lowMTU), Reject, "protocol IPv6: wanted alive, found not alive at MTU 1000"},
		{"IPv6 dead, IPv4 wanted", Rules{Selector: named}, v4, nil, eth0(lowMTU), Accept, "matches name=eth0 enp59s0 uplink"},
		{"IPv6 dead, both wanted", Rules{Selector: named}, both, nil, eth0(lowMTU), Accept, "matches name=eth0 enp59s0 uplink"},
		{"one family without address, both wanted", Rules{Selector: named, Require: []Requirement{RequireAddress}}, both, nil, eth0(withAddresses("2001:db8::1/64")), Accept, "matches name=eth0 enp59s0 uplink"},
		{"neither family ready", Rules{Selector: named, Require: []Requirement{RequireAddress}}, both, nil, eth0(bare), Wait, "require address: wanted an IPv4 address, found none"},

		{"match", Rules{Selector: named}, v4, []ifwatch.Interface{eth0()}, eth0(reborn, bare), Accept, "matches name=eth0"},
		{"same MAC", Rules{Selector: named, Policy: sameMAC}, v4, []ifwatch.Interface{eth0()}, eth0(reborn), Accept, "matches name=eth0 enp59s0 uplink same mac=02:00:00:00:0a:01"},
		{"other MAC", Rules{Selector: named, Policy: sameMAC}, v4, []ifwatch.Interface{eth0()}, eth0(reborn, bare), Reject, "same mac: wanted 02:00:00:00:0a:01, found none"},
		{"policy of a first attachment", Rules{Selector: named, Policy: never}, v4, nil, eth0(), Accept, "matches name=eth0 enp59s0 uplink"},
		{"never", Rules{Selector: named, Policy: never}, v4, []ifwatch.Interface{eth0()}, eth0(reborn), Reject, "policy: wanted never to replace eth0 (instance 7), found a new instance"},
		{"never, and it is the same instance", Rules{Selector: named, Policy: never}, v4, []ifwatch.Interface{eth0()}, eth0(), Accept, "matches name=eth0 enp59s0 uplink"},
		{"left and changed since", Rules{Selector: named, Policy: sameMAC}, v4, []ifwatch.Interface{eth0()}, eth0(bare), Accept, "matches name=eth0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := tt.rules.Validate(); err != nil {
				t.Fatal(err)
			}
			got := tt.rules.Judge(tt.families, tt.lost, tt.candidate)
			if diff := cmp.Diff([2]string{tt.want.String(), tt.reason}, [2]string{got.Result().String(), got.Reason()}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	r := Rules{Selector: ByName("other"), Require: []Requirement{RequireUp, RequireAddress}}
	tests := []struct {
		name      string
		family    ifwatch.Family
		candidate ifwatch.Interface
		want      []Check
	}{
		{"ready", ifwatch.IPv4, eth0(), []Check{
			{"protocol IPv4", "alive", "alive", Accept},
			{"require up", "up", "up", Accept},
			{"require address", "an IPv4 address", "10.1.0.2/24", Accept},
		}},
		{"dead and without address", ifwatch.IPv6, eth0(lowMTU, withAddresses()), []Check{
			{"protocol IPv6", "alive", "not alive at MTU 1000", Reject},
			{"require up", "up", "up", Accept},
			{"require address", "an IPv6 address", "none", Wait},
		}},
		{"link-local is an address", ifwatch.IPv6, eth0(withAddresses("fe80::1/64")), []Check{
			{"protocol IPv6", "alive", "alive", Accept},
			{"require up", "up", "up", Accept},
			{"require address", "an IPv6 address", "fe80::1/64", Accept},
		}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, r.Ready(tt.family, tt.candidate).Checks); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestValidateNamesEveryError(t *testing.T) {
	t.Parallel()
	r := Rules{
		Selector:  Selector{Name: Globs{"["}, Kind: Globs{}},
		Policy:    Policy{Kind: PolicySame, Same: []Attribute{"colour", "taste"}},
		Require:   []Requirement{"sun", RequireUp, "moon"},
		Attach:    "some",
		Ambiguous: "guess",
		OnChange:  "cry",
	}
	got := strings.Split(r.Validate().Error(), "\n")
	for n, want := range []string{"interface: name: ", "interface: kind: ", `same: unknown attribute "colour"`, `same: unknown attribute "taste"`,
		`attach: unknown value "some"`, `ambiguous: unknown value "guess"`, `on_change: unknown value "cry"`,
		`require: unknown value "sun"`, `require: unknown value "moon"`} {
		if n >= len(got) || !strings.HasPrefix(got[n], want) {
			t.Errorf("error %d: got %q, want %q...", n, got[min(n, len(got)-1)], want)
		}
	}
}

func TestValidatePolicy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		policy Policy
		want   string // empty: valid
	}{
		{Policy{}, ""},
		{Policy{Kind: PolicyMatch}, ""},
		{Policy{Kind: PolicyNever}, ""},
		{Policy{Kind: PolicySame, Same: Attributes()}, ""},
		{Policy{Kind: PolicySame}, "same: empty"},
		{Policy{Same: []Attribute{MAC}}, "same: given with policy match"},
		{Policy{Kind: PolicyNever, Same: []Attribute{MAC}}, "same: given with policy never"},
		{Policy{Kind: "maybe"}, "policy: unknown value \"maybe\", want one of match, same, approve, never"},
	}
	for _, tt := range tests {
		got := ""
		if err := (Rules{Selector: ByName("eth0"), Policy: tt.policy}).Validate(); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%+v: got %q, want %q", tt.policy, got, tt.want)
		}
	}
}
