package membership

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compareAddrs = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func TestParseChannel(t *testing.T) {
	a := netip.MustParseAddr
	for text, want := range map[string]Channel{
		"10.1.0.1@232.1.1.1":           {a("10.1.0.1"), a("232.1.1.1")},
		"2001:db8::1@ff3e::8000:1":     {a("2001:db8::1"), a("ff3e::8000:1")},
		"fe80::1%eth0@ff32::8000:1":    {a("fe80::1%eth0"), a("ff32::8000:1")}, // Validate refuses it
		"::ffff:10.1.0.1@232.1.1.1":    {a("::ffff:10.1.0.1"), a("232.1.1.1")},
		"2001:DB8:0::1@ff3e:0::8000:1": {a("2001:db8::1"), a("ff3e::8000:1")},
	} {
		got, err := ParseChannel(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseChannelErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                     `channel "": no @, want SOURCE@GROUP, for example 10.1.0.1@232.1.1.1`,
		"232.1.1.1":            `channel "232.1.1.1": no @, want SOURCE@GROUP, for example 10.1.0.1@232.1.1.1`,
		"@":                    `channel "@": source "" is not an IP address`,
		"host@232.1.1.1":       `channel "host@232.1.1.1": source "host" is not an IP address`,
		"10.1.0.1@":            `channel "10.1.0.1@": group "" is not an IP address`,
		"10.1.0.1@232.1.1.1/8": `channel "10.1.0.1@232.1.1.1/8": group "232.1.1.1/8" is not an IP address`,
		"10.1.0.1@1.1.1.1@2":   `channel "10.1.0.1@1.1.1.1@2": group "1.1.1.1@2" is not an IP address`,
	} {
		_, err := ParseChannel(text)
		if diff := cmp.Diff(want, errorText(err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestChannelValidate(t *testing.T) {
	const source4, source6 = "10.1.0.1@", "2001:db8::1@"
	for _, test := range []struct {
		channel  string
		anyRange AnyRange
		want     string // part of the error, empty for none
	}{
		{channel: "10.1.0.1@232.0.0.0"},
		{channel: "10.1.0.1@232.255.255.255"},
		{channel: "2001:db8::1@ff3e::8000:1"},
		{channel: "fe80::1@ff32::1"},
		{channel: "127.0.0.1@232.1.1.1"},
		{channel: source4 + "224.0.0.1", anyRange: AnyMulticastRange},
		{channel: source4 + "239.255.255.255", anyRange: AnyMulticastRange},
		{channel: source6 + "ff02::1", anyRange: AnyMulticastRange},
		{channel: source4 + "231.255.255.255", want: "not source-specific, want one in 232.0.0.0/8 or ff3x::/32"},
		{channel: source4 + "233.0.0.0", want: "not source-specific"},
		{channel: source6 + "ff0e::1", want: "not source-specific"},
		{channel: source6 + "ff3e:1::1", want: "not source-specific"},
		{channel: source4 + "10.2.0.1", anyRange: AnyMulticastRange, want: "group 10.2.0.1 is not a multicast address"},
		{channel: source6 + "fe80::1", anyRange: AnyMulticastRange, want: "not a multicast address"},
		{channel: "0.0.0.0@232.1.1.1", want: "source 0.0.0.0 is not a unicast address"},
		{channel: "0.1.2.3@232.1.1.1", want: "not a unicast address"},
		{channel: "255.255.255.255@232.1.1.1", want: "not a unicast address"},
		{channel: "240.0.0.1@232.1.1.1", want: "not a unicast address"},
		{channel: "224.0.0.1@232.1.1.1", want: "not a unicast address"},
		{channel: "::@ff3e::1", want: "not a unicast address"},
		{channel: "ff02::1@ff3e::1", want: "not a unicast address"},
		{channel: "10.1.0.1@ff3e::1", want: "different families"},
		{channel: "2001:db8::1@232.1.1.1", want: "different families"},
		{channel: "fe80::1%eth0@ff3e::1", want: "source fe80::1%eth0 has a zone"},
		{channel: source6 + "ff3e::1%eth0", want: "group ff3e::1%eth0 has a zone"},
		{channel: "::ffff:10.1.0.1@ff3e::1", want: "an IPv4 address in an IPv6 one, want 10.1.0.1"},
		{channel: source6 + "::ffff:232.1.1.1", want: "an IPv4 address in an IPv6 one, want 232.1.1.1"},
	} {
		err := channel(test.channel).Validate(test.anyRange)
		if (err == nil) != (test.want == "") || !strings.Contains(errorText(err), test.want) {
			t.Errorf("%s (any range: %t): %v, want %q", test.channel, test.anyRange, err, test.want)
		}
	}
}

func TestChannelValidateIncomplete(t *testing.T) {
	for _, c := range []Channel{{}, {Source: one.Source}, {Group: one.Group}} {
		if err := c.Validate(AnyMulticastRange); err == nil || !strings.Contains(err.Error(), "incomplete") {
			t.Errorf("%v: %v", c, err)
		}
	}
	if ValidateSource(netip.Addr{}) == nil || ValidateGroup(netip.Addr{}, AnyMulticastRange) == nil || IsSourceSpecificGroup(netip.Addr{}) {
		t.Error("no address is taken for one")
	}
}

func TestChannelJSON(t *testing.T) {
	want := map[Channel][]Channel{one: {two, six}}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"10.0.0.1@232.0.0.1":["10.0.0.1@232.0.0.2","2001:db8::1@ff3e::8000:1"]}`, string(data)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var got map[Channel][]Channel
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got2 := one
	if err := json.Unmarshal([]byte(`"nonsense"`), &got2); err == nil || got2 != one {
		t.Errorf("nonsense is read as %s, %v", got2, err)
	}
}

// Channels are ordered by group, IPv4 first, then by source.
func TestChannelCompare(t *testing.T) {
	sorted := channels("10.0.0.2@232.0.0.1", "10.0.0.1@232.0.0.2", "10.0.0.2@232.0.0.2", "2001:db8::1@ff3e::1")
	for i, a := range sorted {
		for j, b := range sorted {
			if got := a.Compare(b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
	}
}

// Whatever is read is written the same and read the same again, and is never
// taken for valid where the families differ.
func FuzzParseChannel(f *testing.F) {
	for _, seed := range []string{"10.1.0.1@232.1.1.1", "2001:db8::1@ff3e::8000:1", "fe80::1%a@b@ff3e::1", "::ffff:1.2.3.4@232.1.1.1", "@", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseChannel(text)
		if err != nil {
			return
		}
		again, err := ParseChannel(c.String())
		if err != nil || again != c {
			t.Errorf("%q is read as %s, and that as %s, %v", text, c, again, err)
		}
		if c.Validate(AnyMulticastRange) == nil && (c.Source.Is4() != c.Group.Is4() || !c.Group.IsMulticast() || c.Source.IsMulticast()) {
			t.Errorf("%s is valid", c)
		}
	})
}
