package reattach

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"pgregory.net/rapid"
)

func mustWhen(t interface{ Fatal(...any) }, text string) *When {
	w, err := ParseWhen(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestParseWhenRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text         string
		line, column int
		message      string
	}{
		{"", 0, 0, "empty, want an expression"},
		{" \t", 0, 0, "empty"},
		{"candidate.mtu", 0, 0, "expected bool, but got int, want a comparison"},
		{"candidate.mtu >= ", 1, 17, "it ends too early"},
		{"1 == cand.mtu", 1, 6, "unknown name cand, want candidate or previous"},
		{"'ä' == candidate.nam", 1, 18, "no attribute nam, want one of name, altnames, kind,"},
		{"candidate.mtu >\n 'x'", 1, 15, "mismatched types int and string"},
		{"candidate.up &&\n foo", 2, 2, "unknown name foo"},
		{"candidate.name matches '('", 1, 16, "missing closing )"},
		{"now() == now()", 1, 1, "unknown name now"},
		{"$env.candidate.up", 1, 1, "$env is not supported"},
		{"let a = candidate.name + 'x'; a + a == a", 1, 5, "let is not supported"},
		{"any(1..1000000, # > 1)", 1, 6, ".. is not supported"},
		{"2 ** 3 > 1", 1, 3, "** is not supported"},
		{"true; true", 1, 1, "several expressions"},
		{"any(candidate.subnet, any(previous.subnet, # == 'x'))", 1, 44, "a loop in a loop"},
		{"reduce(candidate.subnet, #acc + #acc, 'x') == ''", 1, 1, "no function reduce, want one of all, any,"},
		{"len(map(candidate.subnet, #)) > 1", 1, 5, "no function map"},
		{"repeat('x', 1000000) == 'x'", 1, 1, "unknown name repeat"},
		{strings.Repeat("!", 1000) + "true", 1, 1004, "more than 200 values and operations"},
		{strings.Repeat(" ", 1024) + "true", 0, 0, "1028 bytes long, want at most 1024"},
	}
	for _, tt := range tests {
		w, err := ParseWhen(tt.text)
		var where *WhenError
		if w != nil || !errors.As(err, &where) {
			t.Errorf("%.60q: got %v, %v", tt.text, w, err)
			continue
		}
		if where.Line != tt.line || where.Column != tt.column || !strings.Contains(where.Message, tt.message) {
			t.Errorf("%.60q: got %d:%d %s, want %d:%d %s", tt.text, where.Line, where.Column, where.Message, tt.line, tt.column, tt.message)
		}
	}
	if got, want := (&WhenError{1, 7, "bad"}).Error(), "column 7 of the expression: bad"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := (&WhenError{2, 7, "bad"}).Error(), "line 2, column 7 of the expression: bad"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// what an expression can be about is what eth0 has and reborn has otherwise.
func TestWhenChecks(t *testing.T) {
	t.Parallel()
	lost := eth0(func(i *ifwatch.Interface) { i.MTU = 1500 })
	candidate := eth0(reborn, func(i *ifwatch.Interface) { i.MTU, i.VLANID = 1400, -1 })
	tests := []struct {
		text  string
		want  Result
		found string
	}{
		{"candidate.mtu >= previous.mtu", Reject, "candidate.mtu 1400, previous.mtu 1500"},
		{"candidate.mtu < previous.mtu", Accept, "candidate.mtu 1400, previous.mtu 1500"},
		{"candidate.name == previous.name and candidate.mac != ''", Accept, `candidate.name "eth0", previous.name "eth0", candidate.mac ` + fmt.Sprintf("%q", candidate.MAC)},
		{"any(candidate.subnet, # in previous.subnet)", Accept, "candidate.subnet [10.1.0.0/24 2001:db8:1::/64], previous.subnet [10.1.0.0/24 2001:db8:1::/64]"},
		{`candidate.altnames[9] == "x"`, Reject, "candidate.altnames [enp59s0 uplink], column 19 of the expression: index out of range: 9 (array length is 2)"},
		{"1 % (candidate.vlan_id + 1) == 0", Reject, "candidate.vlan_id -1, column 3 of the expression: runtime error: integer divide by zero"},
		{"candidate.up == previous.up && candidate.carrier && candidate.multicast", Accept, "candidate.up true, previous.up true, candidate.carrier true, candidate.multicast true"},
		{"true", Accept, "true"},
		{"1 > 2", Reject, "false"},
	}
	for _, tt := range tests {
		got := mustWhen(t, tt.text).check(&lost, &candidate)
		if want := (Check{Rule: "when", Wanted: tt.text, Found: tt.found, Result: tt.want}); got != want {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
}

// Every attribute by which interfaces are selected is there under its name.
func TestWhenKnowsEveryAttribute(t *testing.T) {
	t.Parallel()
	i := eth0()
	for _, a := range Attributes() {
		text := fmt.Sprintf("candidate.%s == previous.%s", a, a)
		c := mustWhen(t, text).check(&i, &i)
		if c.Result != Accept || a != Subnet && !strings.Contains(c.Found, a.value(&i)) {
			t.Errorf("%s: %+v", a, c)
		}
	}
}

func TestWhenSpeaksOfNewInstancesOnly(t *testing.T) {
	t.Parallel()
	r := Rules{Selector: ByName("eth0"), When: mustWhen(t, "false")}
	lost, candidate := eth0(), eth0(reborn)
	if v := r.Judge(v4, nil, candidate); v.Result() != Accept {
		t.Errorf("first: %s", v.Reason())
	}
	if v := r.Judge(v4, []ifwatch.Interface{lost}, lost); v.Result() != Accept {
		t.Errorf("the same instance: %s", v.Reason())
	}
	v := r.Judge(v4, []ifwatch.Interface{lost}, candidate)
	if v.Result() != Reject || v.Reason() != "when: wanted false, found false" {
		t.Errorf("a new instance: %s, %s", v.Result(), v.Reason())
	}
	r.Policy.Kind = PolicyNever // which says it all
	if v := r.Judge(v4, []ifwatch.Interface{lost}, candidate); strings.Contains(v.Reason(), "when") {
		t.Error(v.Reason())
	}
}

// Of several that were lost the one counts for which the expression is true.
func TestWhenChoosesAmongLost(t *testing.T) {
	t.Parallel()
	small, big := eth0(), eth0()
	small.ID, small.MTU, big.ID, big.MTU = 1, 1400, 2, 9000
	candidate := eth0(reborn, func(i *ifwatch.Interface) { i.MTU = 1500 })
	r := Rules{Selector: ByName("eth0"), Attach: AttachAll, When: mustWhen(t, "candidate.mtu >= previous.mtu")}
	if v := r.Judge(v4, []ifwatch.Interface{small, big}, candidate); v.Result() != Accept || v.Replaces != 1 {
		t.Errorf("replaces %d: %s", v.Replaces, v.Reason())
	}
}

// The dearest of what is admitted stays cheap on an interface with any number
// of addresses.
func TestWhenIsBounded(t *testing.T) {
	t.Parallel()
	var i ifwatch.Interface
	for n := range 5000 {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}), 24)
		i.Addresses = append(i.Addresses, ifwatch.Address{Prefix: prefix})
	}
	i.Addresses = i.Addresses[:500]
	text := "any(candidate.subnet, # + 'x' in previous.subnet"
	for len(text) < 720 {
		text += " || # + 'x' in previous.subnet"
	}
	w := mustWhen(t, text+")")
	began := time.Now()
	if c := w.check(&i, &i); c.Result != Reject || strings.Contains(c.Found, "column") {
		t.Error(c)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %s", took)
	}
	if got := len(whenInterfaceOf(&i).Subnet); got != maxWhenSubnets {
		t.Errorf("%d subnets are shown", got)
	}
}

func TestWhenEqualAndText(t *testing.T) {
	t.Parallel()
	one, same, other := mustWhen(t, "true"), mustWhen(t, "true"), mustWhen(t, "1 == 1")
	var none *When
	if !one.Equal(same) || one.Equal(other) || one.Equal(none) || !none.Equal(nil) {
		t.Error("equal is not equal")
	}
	data, err := json.Marshal(Rules{When: other})
	if err != nil || !strings.Contains(string(data), `"When":"1 == 1"`) {
		t.Errorf("%s, %v", data, err)
	}
}

// Whatever the text is, compiling and evaluating it end, and say why not.
func TestWhenAnyText(t *testing.T) {
	t.Parallel()
	words := rapid.SampledFrom([]string{
		"candidate", "previous", ".", "mtu", "subnet", "name", "==", ">=", "1", "'a'", "(", ")", "any(", "#", ",", "in", "&&", "!", "[", "]", "matches", "+", "len(", " ",
	})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(words, 1, 12).Draw(t, "words"), " ")
		w, err := ParseWhen(text)
		if err != nil {
			var where *WhenError
			if !errors.As(err, &where) || where.Message == "" {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		a, b := drawInterface(t, 1), drawInterface(t, 2)
		if c := w.check(&a, &b); c.Found == "" || c != w.check(&a, &b) {
			t.Fatalf("%s: %+v", text, c)
		}
	})
}

func FuzzParseWhen(f *testing.F) {
	for _, text := range []string{"candidate.mtu >= previous.mtu", "any(candidate.subnet, # in previous.subnet)", "candidate.name matches '^eth'", "a ? b : c", "reduce(candidate.subnet, #acc + #acc)"} {
		f.Add(text)
	}
	i := ifwatch.Interface{Name: "eth0"}
	f.Fuzz(func(t *testing.T, text string) {
		if w, err := ParseWhen(text); err == nil {
			w.check(&i, &i)
		}
	})
}
