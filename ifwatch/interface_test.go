package ifwatch

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEqualSeesEveryField(t *testing.T) {
	t.Parallel()
	for n := range reflect.TypeFor[Interface]().NumField() {
		var a, b Interface
		field := reflect.ValueOf(&b).Elem().Field(n)
		switch v := field.Addr().Interface().(type) {
		case *ID:
			*v = 1
		case *int:
			*v = 1
		case *uint32:
			*v = 1
		case *string:
			*v = "x"
		case *bool:
			*v = true
		case *[]string:
			*v = []string{"x"}
		case *[]Address:
			*v = []Address{{Tentative: true}}
		case *Protocol:
			*v = Protocol{Life: 1}
		case *Returns:
			*v = Returns{Notices: 1}
		default:
			t.Fatalf("new type %T: add it here", v)
		}
		if a.Equal(b) || b.Equal(a) || !b.Equal(b) {
			t.Errorf("Equal does not see %s", reflect.TypeFor[Interface]().Field(n).Name)
		}
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	var i Interface
	for _, p := range []string{"10.1.0.2/24", "10.1.0.3/24", "169.254.1.1/16", "fe80::1/64", "2001:db8::1/64", "::ffff:10.1.0.2/120"} {
		i.Addresses = append(i.Addresses, Address{Prefix: netip.MustParsePrefix(p)})
	}
	for f, want := range map[Family]string{
		IPv4: "[10.1.0.0/24 169.254.0.0/16]",
		IPv6: "[2001:db8::/64 ::ffff:10.1.0.0/120]",
	} {
		var texts []string
		for _, p := range i.Prefixes(f) {
			texts = append(texts, p.String())
		}
		if got := "[" + strings.Join(texts, " ") + "]"; got != want {
			t.Errorf("%v: got %s, want %s", f, got, want)
		}
	}
}

// Lists are never null: programs go through them.
func TestJSONOfABareInterface(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	w.table.apply(plainLink(), false)
	got, err := json.Marshal(w.Take().Changes[0].Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"altnames":[]`, `"addresses":[]`, `"vlan_id":-1`, `"ifindex":5`, `"ipv6":{"alive":true,"life":0}`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	var back Interface
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.Marshal(back); string(again) != string(got) {
		t.Error(cmp.Diff(string(got), string(again)))
	}
}

func TestFamily(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"10.1.0.1": "IPv4", "2001:db8::1": "IPv6", "::ffff:10.1.0.1": "IPv6"} {
		if got := FamilyOf(netip.MustParseAddr(text)).String(); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	if got := Family(9).String(); got != "Family(9)" {
		t.Error(got)
	}
}
