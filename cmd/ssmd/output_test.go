package main

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

var (
	then    = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	now     = then.Add(5*time.Minute + 3*time.Second)
	seconds = 0.00021

	feedA = membership.Status{
		Name: "feed-a", State: membership.StateJoined, Reason: "eth0 (instance 7) matches name=eth0", Channels: 2, Joined: 2, Since: then,
		Attachments:         []membership.Attachment{{Interface: "eth0", Index: 12, Instance: 7, Joined: 2, Since: then}},
		Previous:            &membership.Previous{Instance: 3, Name: "eth0", MAC: "02:00:00:00:00:01", Subnet: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}},
		Counters:            membership.Counters{Attaches: 3, Detaches: 2, Reattaches: 2},
		LastReattachSeconds: &seconds,
	}
	feedB = membership.Status{
		Name: "feed-b", State: membership.StateDegraded, Reason: "1 refused", Channels: 3, Joined: 2, Since: then.Add(5 * time.Minute),
		Attachments: []membership.Attachment{
			{Interface: "a\x1b[31m", Index: 1, Instance: 8, Joined: 2, Failed: 1, Since: then},
			{Interface: "b", Index: 2, Instance: 9, Netns: "blue", Joined: 2, Since: then},
		},
		Previous: &membership.Previous{Instance: 4, Name: "c"},
	}
	feedC = membership.Status{Name: "feed-c", State: membership.StateWaiting, Reason: "no interface matches alias=\u202eevil", Channels: 1, Since: then}
)

// printed is what print writes.
func printed(t *testing.T, print func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compare(t *testing.T, want, got string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPrintStatuses(t *testing.T) {
	all := []control.Status{{Status: feedA}, {Status: feedB}, {Status: feedC}}
	got := printed(t, func(w io.Writer) error { return printStatuses(w, now, all) })
	compare(t, `NAME    STATE     JOINED  INTERFACE    SINCE  REASON
feed-a  joined    2/2     eth0         5m3s   eth0 (instance 7) matches name=eth0
feed-b  degraded  2/3     a\x1b[31m,b  3s     1 refused
feed-c  waiting   0/1     -            5m3s   no interface matches alias=\u202eevil
`, got)
	all[0].Monitor = &monitor.Status{Streams: []monitor.Stream{{DatagramsPerSecond: 96, BytesPerSecond: 96_800}}}
	all[2].Monitor = &monitor.Status{Stalled: 1, Streams: []monitor.Stream{{Stalled: true}}}
	got = printed(t, func(w io.Writer) error { return printStatuses(w, now, all) })
	compare(t, `NAME    STATE     JOINED  INTERFACE    SINCE  RATE             REASON
feed-a  joined    2/2     eth0         5m3s   96/s 774 kbit/s  eth0 (instance 7) matches name=eth0
feed-b  degraded  2/3     a\x1b[31m,b  3s     -                1 refused
feed-c  waiting   0/1     -            5m3s   stalled          no interface matches alias=\u202eevil
`, got)
}

func TestPrintNoStatuses(t *testing.T) {
	compare(t, "There is no membership.\n", printed(t, func(w io.Writer) error { return printStatuses(w, now, nil) }))
}

func TestPrintStatus(t *testing.T) {
	for _, test := range []struct {
		status membership.Status
		want   string
	}{{feedA, `name           feed-a
state          joined
since          2026-11-23T10:00:00Z, 5m3s ago
reason         eth0 (instance 7) matches name=eth0
channels       2 of 2 joined
attached       eth0 (ifindex 12, instance 7) for 5m3s: 2 joined
previous       eth0 (instance 3), mac 02:00:00:00:00:01, subnet 10.1.0.0/24
counters       3 attaches, 2 detaches, 2 reattaches, 0 reannounces, 0 repairs, 0 errors
last reattach  210µs
`}, {feedB, `name      feed-b
state     degraded
since     2026-11-23T10:05:00Z, 3s ago
reason    1 refused
channels  2 of 3 joined
attached  a\x1b[31m (ifindex 1, instance 8) for 5m3s: 2 joined, 1 refused
attached  b (ifindex 2, instance 9) for 5m3s: 2 joined, in namespace blue
previous  c (instance 4), mac -, subnet -
counters  0 attaches, 0 detaches, 0 reattaches, 0 reannounces, 0 repairs, 0 errors
`}} {
		compare(t, test.want, printed(t, func(w io.Writer) error { return printStatus(w, now, control.Status{Status: test.status}) }))
	}
}

func TestDaemonLine(t *testing.T) {
	d := control.Daemon{
		Info:        control.Info{Version: "v1", PID: 7, Started: then, ConfigFile: "/etc/\x07.yaml"},
		Memberships: map[membership.State]int{membership.StateJoined: 2, membership.StateHeld: 1, membership.StateEnded: 0},
		Channels:    control.Channels{Wanted: 9, Joined: 8},
	}
	compare(t, `ssmd v1, process 7, for 5m3s; /etc/\a.yaml; 2 joined; 1 held; 8 of 9 channels joined`, daemonLine(now, d))
	d.LastReload = &control.ReloadStatus{Time: then, Error: "a.yaml:1:2: \x1b"}
	compare(t, `ssmd v1, process 7, for 5m3s; /etc/\a.yaml; 2 joined; 1 held; 8 of 9 channels joined; not reloaded 5m3s ago: a.yaml:1:2: \x1b`, daemonLine(now, d))
}

func TestPrintExplanation(t *testing.T) {
	e := control.Explanation{
		Status: control.Status{Status: feedB, Monitor: &monitor.Status{Streams: []monitor.Stream{
			{Channel: channel("10.1.0.1@232.1.1.1"), Interface: "b", Stalled: true, Since: then},
		}}},
		Channels: []membership.ChannelStatus{
			{Channel: channel("10.1.0.1@232.1.1.1"), Interface: "b", Joined: true},
			{Channel: channel("10.1.0.1@232.1.1.2"), Interface: "b", Error: "no buffer space available"},
		},
		Interfaces: []membership.InterfaceExplanation{
			{Interface: "b", Index: 2, Instance: 9, Attached: true, Verdict: reattach.Verdict{Checks: []reattach.Check{
				{Rule: "name", Wanted: "b*", Found: "b", Result: reattach.Accept},
				{Rule: "alias", Wanted: "x*", Found: "x\x1b[2J", Result: reattach.Accept},
			}}},
			{Interface: "c", Index: 3, Instance: 10, Verdict: reattach.Verdict{Checks: []reattach.Check{
				{Rule: "name", Wanted: "b*", Found: "c", Result: reattach.Reject},
				{Rule: "require up", Wanted: "up", Found: "down", Result: reattach.Wait},
			}}},
		},
	}
	compare(t, `feed-b: degraded, 2 of 3 channels joined: 1 refused
  10.1.0.1@232.1.1.2 on b: no buffer space available
  10.1.0.1@232.1.1.1 on b: stalled for 5m3s

b (ifindex 2, instance 9), attached: accept: matches name=b alias=x\x1b[2J
  ok  name   wanted b*  found b
  ok  alias  wanted x*  found x\x1b[2J

c (ifindex 3, instance 10): reject: name: wanted b*, found c
  reject  name        wanted b*  found c
  wait    require up  wanted up  found down
`, printed(t, func(w io.Writer) error { return printExplanation(w, now, e) }))
	compare(t, "feed-c: waiting, 0 of 1 channel joined: none\n\nThere is no interface.\n", printed(t, func(w io.Writer) error {
		none := membership.Status{Name: "feed-c", State: membership.StateWaiting, Channels: 1, Reason: "none"}
		return printExplanation(w, now, control.Explanation{Status: control.Status{Status: none}})
	}))
}

func channel(text string) membership.Channel {
	c, err := membership.ParseChannel(text)
	if err != nil {
		panic(err)
	}
	return c
}

func TestPrintInterfaces(t *testing.T) {
	alive := ifwatch.Protocol{Alive: true}
	interfaces := []membership.InterfaceStatus{
		{Interface: ifwatch.Interface{ID: 1, Index: 1, Name: "lo", Kind: "physical", MTU: 65536, Up: true, Carrier: true, IPv4: alive, IPv6: alive}},
		{Drained: true, Interface: ifwatch.Interface{ID: 7, Index: 12, Name: "eth\x9b0", Kind: "veth", MTU: 1000, Multicast: true, MAC: "02:00:00:00:00:01", Alias: "to\tpeer", IPv4: alive,
			Addresses: []ifwatch.Address{{Prefix: netip.MustParsePrefix("10.1.0.2/24")}, {Prefix: netip.MustParsePrefix("2001:db8::2/64"), Tentative: true}}}},
	}
	compare(t, `IFINDEX  NAME      INSTANCE  KIND      FLAGS                      MTU    MAC                ADDRESSES                              ALIAS
1        lo        1         physical  up,carrier                 65536  -                  -                                      -
12       eth\x9b0  7         veth      multicast,no-ipv6,drained  1000   02:00:00:00:00:01  10.1.0.2/24,2001:db8::2/64(tentative)  to\tpeer
`, printed(t, func(w io.Writer) error { return printInterfaces(w, interfaces) }))
}

func TestEventLine(t *testing.T) {
	tests := map[string]membership.Event{
		"2026-11-23T10:00:00.000000Z reattached feed-a on eth0 (instance 7) (appeared): why": {
			Time: then, Type: membership.EventReattached, Membership: "feed-a", Interface: "eth0", Instance: 7, Cause: membership.CauseAppeared, Reason: "why"},
		"2026-11-23T10:00:00.000000Z state feed-a joined": {
			Time: then, Type: membership.EventState, Membership: "feed-a", State: membership.StateJoined},
		"2026-11-23T10:00:00.000000Z missed 1 event": {Time: then.In(time.FixedZone("x", 3600)), Type: membership.EventMissed, Missed: 1},
		`2026-11-23T10:00:00.000000Z error on \x1b (instance 1): a\nb`: {
			Time: then, Type: membership.EventError, Interface: "\x1b", Instance: 1, Reason: "a\nb"},
	}
	for want, event := range tests {
		compare(t, want, eventLine(event))
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "eth0": "eth0", "ä 好 µ": "ä 好 µ", `a"b`: `a"b`,
		"a\x1b]0;b\a": `a\x1b]0;b\a`, "\u202e": `\u202e`, "\xff": `\xff`, "a\u2028b": `a\u2028b`, "\u009b1m": `\u009b1m`, "\"\n\"": `"\n"`,
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 1900 * time.Millisecond: "1s", time.Minute: "1m0s", 59*time.Minute + 59*time.Second: "59m59s",
		time.Hour: "1h0m", 23*time.Hour + 59*time.Minute: "23h59m", 24 * time.Hour: "1d0h", 777 * time.Hour: "32d9h",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	tests := map[string]struct {
		err  error
		code int
		want string
	}{
		"good":  {nil, 0, ""},
		"plain": {errors.New("broke"), 1, "ssmd: broke\n"},
		"lines": {errors.New("a\nb\x1b"), 1, "ssmd: a\nssmd: b\\x1b\n"},
		"code":  {&exitError{Code: 3, Err: errors.New("not yet")}, 3, "ssmd: not yet\n"},
		"quiet": {&exitError{Code: 3}, 3, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if code := report(&b, test.err); code != test.code || b.String() != test.want {
				t.Errorf("got %d %q, want %d %q", code, b.String(), test.code, test.want)
			}
		})
	}
}

func TestLongReasonsAreShortenedInTheTableOnly(t *testing.T) {
	long := feedC
	long.Reason = strings.Repeat("ä", 1000)
	table := printed(t, func(w io.Writer) error { return printStatuses(w, now, []control.Status{{Status: long}}) })
	if !strings.HasSuffix(table, " "+strings.Repeat("ä", 197)+"...\n") {
		t.Errorf("got %s", table)
	}
	whole := printed(t, func(w io.Writer) error { return printStatus(w, now, control.Status{Status: long}) })
	if !strings.Contains(whole, long.Reason) {
		t.Errorf("got %s", whole)
	}
}
