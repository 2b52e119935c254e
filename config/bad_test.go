package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const manyErrors = `log: {level: loud}
foo: {}
pace: {joins_per_second: -1}
memberships:
  - name: feed-a
    groups: [232.1.1.1, 239.1.1.1, 232.1.3.9-232.1.3.1]
    sources: [10.1.0.1, 224.0.0.1]
    interface: {nmae: eth0}
    reattach: {same: [mac], settle: 1}
  - name: feed-a
    channels: 10.1.0.1@ff3e::1
`

const manyMessages = `ssmd.yaml:1:14: log.level: unknown level "loud", want debug, info, warn or error
ssmd.yaml:2:1: foo: unknown key, want one of log, control, handoff, http, state_dir, pace, audit, include, hooks, defaults, memberships
ssmd.yaml:3:26: pace.joins_per_second: "-1", want a number from 1 to 1000000, or 0 for no limit
ssmd.yaml:6:25: memberships[0](feed-a).groups[1]: group 239.1.1.1 is not source-specific, want one in 232.0.0.0/8 or ff3x::/32, or allow_any_range: true
ssmd.yaml:6:36: memberships[0](feed-a).groups[2]: range 232.1.3.9-232.1.3.1 runs backwards, want 232.1.3.1-232.1.3.9
ssmd.yaml:7:25: memberships[0](feed-a).sources[1]: source 224.0.0.1 is not a unicast address
ssmd.yaml:8:17: memberships[0](feed-a).interface.nmae: unknown key, did you mean "name"?
ssmd.yaml:9:16: memberships[0](feed-a).reattach.same: given with policy match, want policy: same
ssmd.yaml:9:37: memberships[0](feed-a).reattach.settle: "1" is no time, want a time with its unit, for example 200ms, 10s or 1h30m
ssmd.yaml:10:5: memberships[1](feed-a).interface: missing, want for example eth0, here or under defaults
ssmd.yaml:10:11: memberships[1](feed-a).name: "feed-a" is the name of another membership, on line 5, want names that differ
ssmd.yaml:11:15: memberships[1](feed-a).channels: channel 10.1.0.1@ff3e::1: source and group of different families, want both IPv4 or both IPv6`

func TestManyErrors(t *testing.T) {
	_, err := Parse("ssmd.yaml", []byte(manyErrors))
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(strings.Split(manyMessages, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// badMembership are errors in one membership, whose name is on line 2. The
// position and the path of the membership are left out of want.
var badMembership = []struct{ name, keys, want string }{
	{"group without sources", "groups: 232.1.1.1\n" + interfaceLine, `3:5: groups: given without sources, want both: every source goes with every group`},
	{"sources without groups", "sources: 10.0.0.1\n" + interfaceLine, `3:5: sources: given without groups, want both: every source goes with every group`},
	{"no channels", interfaceLine, `2:5: channels: missing, want channels, for example [10.1.0.1@232.1.1.1], or groups and sources`},
	{"empty channels", "channels: []\n" + interfaceLine, `3:15: channels: an empty list, want a channel, for example 10.1.0.1@232.1.1.1`},
	{"channel without @", "channels: 10.0.0.1\n" + interfaceLine, `3:15: channels: channel "10.0.0.1": no @, want SOURCE@GROUP, for example 10.1.0.1@232.1.1.1`},
	{"channel is a list", "channels: [[]]\n" + interfaceLine, `3:16: channels[0]: a list, want a channel, for example 10.1.0.1@232.1.1.1`},
	{"group is a number", "groups: 232.1\nsources: 10.0.0.1\n" + interfaceLine, `3:13: groups: "232.1" is not an IP address, a prefix or a range, want a group, a prefix or a range, for example 232.1.1.1, 232.1.2.0/28 or 232.1.3.1-232.1.3.9`},
	{"prefix with bits set", "groups: 232.1.1.1/24\nsources: 10.0.0.1\n" + interfaceLine, `3:13: groups: 232.1.1.1/24 has bits set behind its length, want 232.1.1.0/24`},
	{"range of two families", "groups: 232.1.1.1-ff3e::1\nsources: 10.0.0.1\n" + interfaceLine, `3:13: groups: range 232.1.1.1-ff3e::1 has ends of different families, want one`},
	{"range out of SSM", "groups: 232.255.255.0-233.0.0.0\nsources: 10.0.0.1\n" + interfaceLine, `3:13: groups: group 233.0.0.0 is not source-specific, want one in 232.0.0.0/8 or ff3x::/32, or allow_any_range: true`},
	{"range out of multicast", "groups: 239.255.255.0-240.0.0.0\nsources: 10.0.0.1\nallow_any_range: true\n" + interfaceLine, `3:13: groups: group 240.0.0.0 is not a multicast address...`},
	{"group with a zone", "groups: ff3e::1%eth0\nsources: fe80::1\n" + interfaceLine, `3:13: groups: group ff3e::1%eth0 has a zone, want the interface named...`},
	{"families of sources", "groups: 232.1.1.1\nsources: [10.0.0.1, '::2']\n" + interfaceLine, `4:25: sources[1]: source ::2 is not of the family of source 10.0.0.1, and every source goes with every group, want one family, or pairs under channels`},
	{"families of groups", "groups: [ff3e::1, 232.1.1.1]\nsources: 10.0.0.1\n" + interfaceLine, `3:14: groups[0]: group ff3e::1 and source 10.0.0.1 are of different families, want one family, or pairs under channels`},
	{"range of everything", "groups: 224.0.0.0/4\nallow_any_range: true\nsources: 10.0.0.1\n" + interfaceLine, `3:13: groups: more than 1000000 channels in all memberships together, want fewer`},
	{"no interface", channelLine, `2:5: interface: missing, want for example eth0, here or under defaults`},
	{"interface without value", channelLine + "interface:\n", `4:15: interface: no value, want a pattern, for example "eth*"`},
	{"interface list", channelLine + "interface: [eth0]", `4:16: interface: a list, want a name, or attributes, for example {name: [eth0, eth1]}`},
	{"interface number", channelLine + "interface: 5", `4:16: interface: 5 is a number to YAML, want a pattern, for example "eth*": quote it, "5"`},
	{"interface date", channelLine + "interface: 2024-01-01", `4:16: interface: 2024-01-01 is a date to YAML, want a pattern, for example "eth*": quote it, "2024-01-01"`},
	{"interface tag", channelLine + "interface: !eth0", `4:16: interface: !eth0 is a tag to YAML, want a pattern, for example "eth*": quote it, "!eth0"`},
	{"interface binary", channelLine + "interface: !!binary eA==", `4:16: interface: a value with the tag "!!binary", want a pattern, for example "eth*"`},
	{"interface control character", channelLine + `interface: "eth\0"`, `4:16: interface: "eth\x00" has a character that cannot be printed, want a pattern, for example "eth*"`},
	{"interface of nothing", channelLine + "interface: {}", `4:16: interface: selects every interface, want at least one attribute; {name: "*"} says so on purpose`},
	{"glob", channelLine + "interface: {kind: [veth, 'a[']}", `4:30: interface.kind[1]: pattern "a[" is malformed...`},
	{"empty globs", channelLine + "interface: {kind: []}", `4:23: interface.kind: an empty list, want a pattern, for example "eth*"`},
	{"subnet", channelLine + "interface: {subnet: 10.1.0.1}", `4:25: interface.subnet: "10.1.0.1" is not a prefix, want for example 10.1.0.0/16`},
	{"octal", channelLine + "interface: {vlan_id: 010}", `4:26: interface.vlan_id: 010 is not a plain decimal number, and readers of YAML disagree on what it is, want for example 10`},
	{"attribute outside", channelLine + interfaceLine + "kind: veth", `5:5: kind: not a key of memberships, want it under interface`},
	{"enumeration", channelLine + interfaceLine + "attach: al", `5:13: attach: unknown value "al", want one or all, did you mean "all"?`},
	{"requirement", channelLine + interfaceLine + "require: [up, up]", `5:19: require[1]: up is given twice, want it once`},
	{"truth", channelLine + interfaceLine + "allow_any_range: yes", `5:22: allow_any_range: "yes" is a string, want true or false, without quotes`},
	{"policy", channelLine + interfaceLine + "reattach: {policy: approved}", `5:24: reattach.policy: unknown value "approved", want match, same, approve or never, did you mean "approve"?`},
	{"settle negative", channelLine + interfaceLine + "reattach: {settle: -1s}", `5:24: reattach.settle: "-1s" is negative, want 0 or more`},
	{"settle is a list", channelLine + interfaceLine + "reattach: {settle: [1s]}", `5:24: reattach.settle: a list, want a time with its unit, for example 200ms, 10s or 1h30m`},
	{"within without unit", channelLine + interfaceLine + "reattach: {within: 1.5}", `5:24: reattach.within: "1.5" is no time, want a time with its unit, for example 200ms, 10s or 1h30m`},
	{"settles too late", channelLine + interfaceLine + "reattach: {within: 1m, settle: 60s}", `5:36: reattach.settle: 1m0s, want less than within, 1m0s: nothing would settle in time`},
	{"limit without count", channelLine + interfaceLine + "reattach: {limit: {per: 1m}}", `5:23: reattach.limit.count: missing, want for example 5, or 0 for no limit`},
	{"limit without per", channelLine + interfaceLine + "reattach: {limit: {count: 5}}", `5:23: reattach.limit.per: missing, want for example 1m`},
	{"limit per nothing", channelLine + interfaceLine + "reattach: {limit: {count: 5, per: 0}}", `5:39: reattach.limit.per: 0, want more, for example 1m`},
	{"limit of words", channelLine + interfaceLine + "reattach: {limit: {count: five, per: 1m}}", `5:31: reattach.limit.count: "five" is a string, want a number from 1 to 1000, or 0 for no limit`},
	{"limit too high", channelLine + interfaceLine + "reattach: {limit: {count: 1001, per: 1m}}", `5:31: reattach.limit.count: 1001 is a number to YAML, want a number from 1 to 1000, or 0 for no limit`},
	{"limit is a number", channelLine + interfaceLine + "reattach: {limit: 5}", `5:23: reattach.limit: 5 is a number to YAML, want a mapping, for example {count: 5, per: 1m}`},
	{"limit key", channelLine + interfaceLine + "reattach: {limit: {cout: 5, count: 5, per: 1m}}", `5:24: reattach.limit.cout: unknown key, did you mean "count"?`},
	{"when, at its column", channelLine + interfaceLine + "reattach:\n      when: candidate.mtu >= previous.mut", `6:43: reattach.when: column 27 of the expression: no attribute mut, want one of name,...`},
	{"when, quoted", channelLine + interfaceLine + "reattach: {when: 'candidate.mtu'}", `5:22: reattach.when: expected bool, but got int, want a comparison, for example candidate.mtu >= previous.mtu`},
	{"when is true", channelLine + interfaceLine + "reattach: {when: true}", `5:22: reattach.when: true is a truth value to YAML, want an expression, for example candidate.mtu >= previous.mtu: quote it, "true"`},
	{"when loops", channelLine + interfaceLine + "reattach: {when: '1 in 1..1000000000'}", `5:22: reattach.when: column 7 of the expression: .. is not supported, want a comparison`},
	{"same without attributes", channelLine + interfaceLine + "reattach: {policy: same}", `5:15: reattach.same: missing with policy same, want at least one attribute, for example mac`},
	{"same of nothing", channelLine + interfaceLine + "reattach: {policy: same, same: []}", `5:36: reattach.same: an empty list, want at least one attribute, for example mac`},
	{"same of no attribute", channelLine + interfaceLine + "reattach: {policy: same, same: macs}", `5:36: reattach.same: unknown value "macs", want name, kind, link_type, mac, permanent_mac, device, parent, master, vlan_id, link_group, alias or subnet, did you mean "mac"?`},
	{"monitor without a port", channelLine + interfaceLine + "monitor: {rtp: true}", `5:14: monitor.port: missing, want the UDP port that the sources send to, for example 5001`},
	{"on_stall without a monitor", channelLine + interfaceLine + "on_stall: reannounce", `5:5: on_stall: given without monitor, want for example monitor: {port: 5001}`},
	{"monitor on no port", channelLine + interfaceLine + "monitor: {port: 65536}", `5:21: monitor.port: 65536 is a number to YAML, want a port from 1 to 65535, or 0 for no monitor`},
	{"stalled at once", channelLine + interfaceLine + "monitor: {port: 1, stalled_after: 1ms}", `5:39: monitor.stalled_after: 1ms, want at least 10ms`},
	{"nothing to do on a stall", channelLine + interfaceLine + "on_stall: reboot", `5:15: on_stall: unknown value "reboot", want reannounce`},
	{"namespace in /proc", channelLine + interfaceLine + "netns: /proc/1/ns/net", `5:12: netns: "/proc/1/ns/net": nothing tells of the end of what is in /proc, want a name as ip netns shows it, or the path of a file that a namespace is mounted on`},
	{"relative path", channelLine + interfaceLine + "netns: a/b", `5:12: netns: "a/b" is no absolute path, want a name as ip netns shows it, or the path of a file that a namespace is mounted on`},
	{"key twice", channelLine + interfaceLine + interfaceLine, `5:5: interface: given twice, first on line 4, want it once`},
	{"merge key", channelLine + interfaceLine + "<<: {attach: all}", `5:5: <<: merge keys are not supported, want the keys themselves, or shared ones under defaults`},
}

func TestBadMembership(t *testing.T) {
	for _, tt := range badMembership {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("", []byte(one(tt.keys)))
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.TrimPrefix(strings.Replace(err.Error(), "memberships[0](a).", "", 1), ":")
			// The end of another package's message is that package's affair.
			if start, open := strings.CutSuffix(tt.want, "..."); open && strings.HasPrefix(got, start) {
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

var badFiles = []struct{ name, text, want string }{
	{"tab", "log:\n\tlevel: info\n", `f:2: YAML: found character that cannot start any token, want spaces: YAML is not indented with tabs`},
	{"tab after a scalar", one(channelLine) + "\tattach: all\n", `f:4: YAML: found a tab character that violates indentation, want spaces: YAML is not indented with tabs`},
	{"bad indentation", one(channelLine) + "   attach: all\n", `f:4: YAML: did not find expected '-' indicator in what began on line 2`},
	{"open list", one("require: [up\n" + channelLine), `f:4: YAML: did not find expected ',' or ']' in what began on line 3`},
	{"open quote", one("interface: \"eth0\n" + channelLine), `f:3: YAML: found unexpected end of stream`},
	{"anchor", one(channelLine + "interface: *eth\nattach: all\n"), `f:4: YAML: unknown anchor 'eth' referenced; a pattern that begins with "*" has to be in quotes`},
	{"star", one(channelLine + "interface: *\nattach: all\n"), `f:4: YAML: did not find expected alphabetic or numeric character; a pattern that begins with "*" has to be in quotes`},
	{"colon", "log: level: info\n", `f:1: YAML: mapping values are not allowed in this context, want a value with ": " in quotes, or the key on a line of its own, indented like its siblings`},
	{"latin-1", "# caf\xe9\n", `f:1:6: byte 0xe9 is not UTF-8, want a text file in UTF-8`},
	{"binary", "log:\n \x00", `f:2:2: character U+0000, want only text`},
	{"two documents", "log: {}\n---\nlog: {}\n", `f:2:1: a second document begins here, want one in a file`},
	{"list", "- a\n", `f:1:1: a list, want a mapping, as "memberships:"`},
	{"key is a list", "? [a]\n: b\n", `f:1:3: a key is a list, want one of log, control, handoff, http, state_dir, pace, audit, include, hooks, defaults, memberships`},
	{"long key", strings.Repeat("x", 500) + ": 1\n", `f:1:1: "` + strings.Repeat("x", 60) + `"...: unknown key, want one of log, control, handoff, http, state_dir, pace, audit, include, hooks, defaults, memberships`},
	{"memberships is a mapping", "memberships: {}\n", `f:1:14: memberships: a mapping, want a list of memberships`},
	{"membership is a string", "memberships: [a]\n", `f:1:15: memberships[0]: "a" is a string, want a mapping, as "name:"`},
	{"status in quotes", "http: {status: 'true'}\n", `f:1:16: http.status: "true" is a string, want true or false, without quotes`},
	{"pace in quotes", "pace: {joins_per_second: '5'}\n", `f:1:26: pace.joins_per_second: "5" is a string, want a number from 1 to 1000000, or 0 for no limit`},
	{"pace of a fraction", "pace: {joins_per_second: 0.5}\n", `f:1:26: pace.joins_per_second: 0.5 is a number to YAML, want a number from 1 to 1000000, or 0 for no limit`},
	{"pace beyond all", "pace: {joins_per_second: 1000001}\n", `f:1:26: pace.joins_per_second: "1000001", want a number from 1 to 1000000, or 0 for no limit`},
	{"listen on a number", "http: {listen: 9781}\n", `f:1:16: http.listen: 9781 is a number to YAML, want a string: quote it, "9781"`},
	{"listen without a port", "http: {listen: localhost}\n", `f:1:16: http.listen: "localhost" is no address to listen on, want HOST:PORT, for example 127.0.0.1:9781, [::1]:9781 or :9781, or nothing`},
	{"unknown key of http", "http: {lisen: ''}\n", `f:1:8: http.lisen: unknown key, did you mean "listen"?`},
	{"mode", "control: {mode: 660}\n", `f:1:17: control.mode: 660 without quotes is a decimal number, want three or four octal digits up to 0777, for example "0660"`},
	{"mode digits", "control: {mode: 0999}\n", `f:1:17: control.mode: "0999" is no mode, want three or four octal digits up to 0777, for example "0660"`},
	{"mode of more bits", "control: {mode: '4755'}\n", `f:1:17: control.mode: "4755" is no mode, want three or four octal digits up to 0777, for example "0660"`},
	{"abstract socket", "control: {socket: '@x'}\n", `f:1:19: control.socket: "@x" is an abstract socket, which has neither mode nor group, want a path`},
	{"no socket", "control: {socket: ''}\n", `f:1:19: control.socket: empty, want a path, for example /run/ssmd/control.sock`},
	{"readers in a list", "control: {readers: [a]}\n", `f:1:20: control.readers: a list, want a string`},
	{"abstract handoff", "handoff: {socket: '@x'}\n", `f:1:19: handoff.socket: "@x" is an abstract socket, which has neither mode nor group, want a path`},
	{"handoff limit", "handoff: {limit: 0}\n", `f:1:18: handoff.limit: "0", want a number from 1 to 10000`},
	{"quoted limit", "handoff: {limit: '5'}\n", `f:1:18: handoff.limit: "5" is a string, want a number from 1 to 10000`},
	{"handoff mode", "handoff: {mode: 660}\n", `f:1:17: handoff.mode: 660 without quotes is a decimal number, want three or four octal digits up to 0777, for example "0660"`},
	{"group is a number", "control: {group: 5}\n", `f:1:18: control.group: 5 is a number to YAML, want a string: quote it, "5"`},
	{"default name", "defaults: {name: a}\n", `f:1:12: defaults.name: no default, want it in each membership`},
	{"bad default, said once", "defaults: {interface: {kind: []}}\nmemberships: [{name: a, channels: 10.0.0.1@232.0.0.1}]\n", `f:1:30: defaults.interface.kind: an empty list, want a pattern, for example "eth*"`},
	{"same in defaults", "defaults: {reattach: {same: mac}}\n", `f:1:23: defaults.reattach.same: given with policy match, want policy: same`},
	{"no name", "memberships: [{channels: 10.0.0.1@232.0.0.1, interface: x}]\n", `f:1:15: memberships[0].name: missing, want letters, digits, ".", "_" and "-"`},
	{"bad name", "memberships: [{name: a b, channels: 10.0.0.1@232.0.0.1, interface: x}]\n", `f:1:22: memberships[0].name: "a b", want letters, digits, ".", "_" and "-", and not dots alone`},
	{"cycle", "memberships: &m [*m]\n", `f:1:14: memberships[0]: a list, want a mapping, as "name:"`},
}

func TestBadFiles(t *testing.T) {
	for _, tt := range badFiles {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f", []byte(tt.text))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestBounds holds that small files take little time and memory.
func TestBounds(t *testing.T) {
	long := "[" + strings.Repeat("x,", 100_000) + "x]"
	names := func(keys string, count int) string {
		var b strings.Builder
		for i := range count {
			fmt.Fprintf(&b, "{name: n%d, %s},", i, keys)
		}
		return b.String()
	}
	tests := []struct{ name, text, want string }{
		{"errors", "memberships: [" + strings.Repeat("x,", 100_000) + "]", "checking stopped here"},
		{"aliased lists", "memberships: [{name: a, require: &x " + long + "}," + strings.Repeat("{require: *x},", 10_000) + "]", "checking stopped here"},
		{"aliased good lists", "memberships: [{name: a, channels: &c 10.0.0.1@232.0.0.1, interface: &x {name: " + long + "}}," + names("channels: *c, interface: *x", 100) + "]", "aliases repeat more than"},
		{"aliased errors", "memberships: [&x {name: a}," + strings.Repeat("*x,", 100_000) + "]", "checking stopped here"},
		{"inherited patterns", "defaults: {interface: {name: " + long + "}}" + "\nmemberships: [" + names("channels: 10.0.0.1@232.0.0.1", 100_000) + "]", "patterns in all memberships"},
		{"sources", one("groups: 232.0.0.0/13\nsources: [" + strings.Repeat("10.0.0.1,", 100_000) + "]\n" + interfaceLine), "channels in all memberships"},
		{"IPv6", one("groups: ff3e::/32\nsources: 2001:db8::1\n" + interfaceLine), "channels in all memberships"},
		{"IPv6 over SSM blocks", one("groups: ff30::0-ff3f::0\nsources: 2001:db8::1\n" + interfaceLine), "channels in all memberships"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse("f", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.200v, want ... %s", err, tt.want)
			}
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}
