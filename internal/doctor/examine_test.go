package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/doctor/firewall"
	"github.com/ssmd-project/ssmd/internal/groupoption"
	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
)

// healthy is a subject of both families, and facts in which nothing is wrong:
// each test spoils something.
func healthy() (Subject, *Facts) {
	on, limit, files := true, 1<<20, 1<<20
	s := Subject{Membership: "feed-a", State: membership.StateJoined, Interface: "eth0", Index: 3, Attached: true, Channels: []membership.Channel{channel4, channel6}, Announced: true}
	f := &Facts{
		Link: &Link{Index: 3, Name: "eth0", Kind: "veth", MAC: "02:00:00:00:00:01", MTU: 1500, Up: true, Carrier: true, Multicast: true, OperState: "up",
			Addresses: []Address{{Prefix: netip.MustParsePrefix("10.1.0.2/24")}, {Prefix: netip.MustParsePrefix("fe80::1/64")}}},
		Names:   map[int]string{1: "lo", 3: "eth0", 4: "eth1"},
		Sysctls: map[string]string{},
		Limits:  Limits{&limit, &limit, &limit, &limit, &files},
		Routes:  map[netip.Addr]Route{source4: {Interfaces: []string{"eth0"}}},
		Bridges: []Bridge{{Name: "br0", Tie: TieBelow, Snooping: true, Querier: true}},
		Lists: map[ifwatch.Family]Lists{
			ifwatch.IPv4: {Whole: true, Included: map[membership.Channel]int{channel4: 1}, Groups: ifwatch.Groups{Users: map[ifwatch.GroupKey]int{{Index: 3, Group: group4}: 1}}},
			ifwatch.IPv6: {Whole: true, Included: map[membership.Channel]int{channel6: 1}, Groups: ifwatch.Groups{Users: map[ifwatch.GroupKey]int{{Index: 3, Group: group6}: 1}}},
		},
		Heard: Heard{For: 2 * time.Second, Streams: []Stream{{source4, netip.AddrPortFrom(group4, 5000), 9}, {source6, netip.AddrPortFrom(group6, 5000), 9}},
			Queries: []Query{{source4, ifwatch.IPv4, 3}, {addr("fe80::9"), ifwatch.IPv6, 2}},
			Reports: []GroupReport{{group4, []netip.Addr{source4}, 3, false}, {group6, []netip.Addr{source6}, 2, false}}},
		Sockets: []Socket{{Family: ifwatch.IPv6, Local: netip.MustParseAddrPort("[::]:5000"), MulticastAll: &on, Asked: true, Process: &Process{PID: 7, Name: "player"}}},
	}
	return s, f
}

func TestHealthy(t *testing.T) {
	s, f := healthy()
	checks := make(map[string]bool)
	for _, found := range Examine(s, f) {
		if found.Outcome != OK || found.Why != "" || found.Mend != nil {
			t.Errorf("found %+v", found)
		}
		checks[found.Check] = true
	}
	for _, p := range Problems() {
		if !checks[p.Check] && p.Check != aboutNamespace {
			t.Errorf("nothing is said of %s", p.Check)
		}
	}
}

// spoiled are facts with one thing wrong each, by what is to be found.
var spoiled = map[string]func(*Subject, *Facts){
	"membership fault: the daemon has not joined it: waiting: for it":  func(s *Subject, _ *Facts) { s.State, s.Reason = membership.StateWaiting, "for it" },
	"membership fault: the kernel refused the daemon 1 of 2":           func(s *Subject, _ *Facts) { s.Refused = []string{"10.1.0.1@232.1.1.1: ENOBUFS"} },
	"membership warning: the daemon is about to join it":               func(s *Subject, _ *Facts) { s.State, s.Reason = membership.StateSettling, "soon" },
	"membership fault: no interface comes near the rules of e":         func(s *Subject, f *Facts) { *s = Subject{Entry: "e"}; f.Link = nil },
	"interface fault: there is no interface eth0":                      func(_ *Subject, f *Facts) { f.Link = nil },
	"interface unknown: the daemon's eth0 has index 9":                 func(s *Subject, _ *Facts) { s.Index = 9 },
	"interface unknown: the interface eth0 could not be read: x":       func(_ *Subject, f *Facts) { f.Link, f.LinkErr = nil, errors.New("x") },
	"up fault: eth0 is down":                                           func(_ *Subject, f *Facts) { f.Link.Up = false },
	"carrier fault: eth0 has no carrier":                               func(_ *Subject, f *Facts) { f.Link.Carrier = false },
	"carrier warning: eth0 has carrier, and its state is dormant":      func(_ *Subject, f *Facts) { f.Link.OperState = "dormant" },
	"multicast_flag fault: eth0 has the flag MULTICAST off":            func(_ *Subject, f *Facts) { f.Link.Multicast = false },
	"address warning: eth0 has no IPv4 address":                        func(_ *Subject, f *Facts) { f.Link.Addresses = f.Link.Addresses[1:] },
	"address fault: eth0 has no IPv6 link-local address":               func(_ *Subject, f *Facts) { f.Link.Addresses = f.Link.Addresses[:1] },
	"address warning: the link-local address fe80::1 of eth0 is still": func(_ *Subject, f *Facts) { f.Link.Addresses[1].Tentative = true },
	"address fault: the link-local address fe80::1 of eth0 is a dupl": func(_ *Subject, f *Facts) {
		f.Link.Addresses[1].Tentative, f.Link.Addresses[1].Duplicate = true, true
	},
	"protocol fault: IPv6 is dead on eth0: its MTU is 1000":             func(_ *Subject, f *Facts) { f.Link.MTU = 1000 },
	"protocol fault: IPv6 is disabled on eth0":                          func(_ *Subject, f *Facts) { f.Sysctls["net/ipv6/conf/eth0/disable_ipv6"] = "1" },
	"kernel_membership fault: the kernel has not joined 10.1.0.1@232":   func(_ *Subject, f *Facts) { clear(f.Lists[ifwatch.IPv4].Groups.Users) },
	"kernel_membership fault: nobody on this host has joined":           func(s *Subject, f *Facts) { s.Membership = ""; clear(f.Lists[ifwatch.IPv4].Groups.Users) },
	"kernel_membership fault: ff3e::8000:1 has users on eth0, and none": func(_ *Subject, f *Facts) { other(f, ifwatch.IPv6, channel6) },
	"kernel_membership unknown: the kernel's lists of groups":           func(_ *Subject, f *Facts) { f.Lists[ifwatch.IPv4] = Lists{Err: errors.New("x")} },
	"kernel_membership unknown: 232.1.1.1 has users on eth0, and the":   func(_ *Subject, f *Facts) { hide(f, ifwatch.IPv4) },
	"any_source warning: 232.1.1.1 has users on eth0 that want any source: 2": func(_ *Subject, f *Facts) {
		f.Lists[ifwatch.IPv4].Groups.Users[ifwatch.GroupKey{Index: 3, Group: group4}] = 3
	},
	"limits fault: no socket can join anything: net.ipv4.igmp_max_msf": func(_ *Subject, f *Facts) { f.Limits.SourcesIPv4 = new(int) },
	"limits warning: one socket takes 1 groups, more or less, by net.cor": func(s *Subject, f *Facts) {
		s.Membership, s.Channels = "", manyGroups(3)
		n := 200
		f.Limits.Memory = &n
	},
	"limits unknown: net.ipv6.mld_max_msf cannot be read in this": func(s *Subject, f *Facts) { s.Membership, s.Channels = "", manySources(65); f.Limits.SourcesIPv6 = nil },
	"limits warning: the daemon may have 64 descriptors, and needs 3": func(s *Subject, f *Facts) {
		s.Channels = manyGroups(3)
		one, few := 1, 64
		f.Limits.GroupsIPv4, f.Limits.Files = &one, &few
	},
	"version fault: eth0 speaks IGMPv1: a querier of that version":                 func(_ *Subject, f *Facts) { querier(f, "V1") },
	"version fault: eth0 is forced to IGMPv2 by net.ipv4.conf.all.":                func(_ *Subject, f *Facts) { f.Sysctls["net/ipv4/conf/all/force_igmp_version"] = "2" },
	"version fault: eth0 is forced to MLDv1 by net.ipv6.conf.eth0.":                func(_ *Subject, f *Facts) { f.Sysctls["net/ipv6/conf/eth0/force_mld_version"] = "1" },
	"version fault: eth0 speaks MLDv1: it was heard to":                            func(_ *Subject, f *Facts) { f.Heard.Queries[1].Version = 1 },
	"bridge fault: eth0 is a port of the bridge br0":                               func(_ *Subject, f *Facts) { f.Bridges[0].Tie = TiePort },
	"bridge warning: the bridge br0 snoops, asks nothing itself, and":              func(_ *Subject, f *Facts) { f.Bridges[0].Querier = false },
	"bridge unknown: whether eth0 leads to a bridge could not be":                  func(_ *Subject, f *Facts) { f.BridgeErr = errors.New("x") },
	"querier warning: nobody asks by IGMP on eth0":                                 func(_ *Subject, f *Facts) { f.Heard.Queries, f.Heard.For = nil, 130*time.Second },
	"querier unknown: no general query of MLD came in on eth0":                     func(_ *Subject, f *Facts) { f.Heard.Queries = f.Heard.Queries[:1] },
	"querier unknown: whether there is a querier was not looked at":                func(_ *Subject, f *Facts) { f.Heard = Heard{Err: errors.New("x")} },
	"report unknown: whether reports go out was not looked at: x":                  func(_ *Subject, f *Facts) { f.Heard = Heard{Err: errors.New("x")} },
	"datagrams unknown: whether datagrams come in was not looked at":               func(_ *Subject, f *Facts) { f.Heard = Heard{Err: errors.New("x")} },
	"report fault: no report of 2001:db8::1@ff3e::8000:1 went out on":              func(_ *Subject, f *Facts) { f.Heard.Reports[1].Leave = true },
	"report fault: the report of 10.1.0.1@232.1.1.1 went out on eth0 w":            func(_ *Subject, f *Facts) { f.Heard.Reports[0] = GroupReport{Group: group4, Version: 2} },
	"report unknown: no report went out on eth0 while it was listened":             func(s *Subject, f *Facts) { s.Announced, f.Heard.Reports = false, nil },
	"datagrams warning: no datagram of 10.1.0.1@232.1.1.1 came in on":              func(_ *Subject, f *Facts) { f.Heard.Streams = f.Heard.Streams[1:] },
	"datagrams fault: 232.1.1.1 comes in on eth0 from 10.9.0.9, and no":            func(_ *Subject, f *Facts) { f.Heard.Streams[0].Source = addr("10.9.0.9") },
	"rp_filter fault: datagrams from 10.1.0.1 are dropped: rp_filter is strict on": func(_ *Subject, f *Facts) { elsewhere(f, "1") },
	"rp_filter fault: datagrams from 10.1.0.1 are dropped: rp_filter is on at eth0, and there": func(_ *Subject, f *Facts) {
		elsewhere(f, "2")
		f.Routes[source4] = Route{}
	},
	"rp_filter fault: datagrams from 10.1.0.1 are dropped: rp_filter is on at eth0, which has no": func(_ *Subject, f *Facts) {
		elsewhere(f, "2")
		f.Link.Addresses = f.Link.Addresses[1:]
	},
	"rp_filter warning: 10.1.0.1 is an address of this host": func(_ *Subject, f *Facts) { f.Routes[source4] = Route{Local: true} },
	"rp_filter unknown: the route to 10.1.0.1 could not be read": func(_ *Subject, f *Facts) {
		elsewhere(f, "1")
		f.Routes[source4] = Route{Err: errors.New("x")}
	},
	"firewall unknown: not all rules of the firewall could be read: x; y": func(_ *Subject, f *Facts) {
		f.Firewall = firewall.Rules{Err: errors.Join(errors.New("x"), errors.New("y"))}
	},
	"receivers warning: no socket of this host is bound to port":     func(_ *Subject, f *Facts) { f.Sockets = nil },
	"receivers warning: process 7 (player) is bound to 10.1.0.2":     func(_ *Subject, f *Facts) { f.Sockets[0].Local = netip.MustParseAddrPort("10.1.0.2:5000") },
	"receivers warning: process 7 (player), at [::]:5000, has lost":  func(_ *Subject, f *Facts) { f.Sockets[0].Drops = 4 },
	"receivers unknown: which sockets are receivers is not known":    func(_ *Subject, f *Facts) { f.Heard.Streams = nil },
	"receivers unknown: the UDP sockets could not be listed: x":      func(_ *Subject, f *Facts) { f.SockErr = errors.New("x") },
	"receiver_device fault: process 7 (player), at [::]:5000, is bo": func(_ *Subject, f *Facts) { f.Sockets[0].Device = 2 },
	"receiver_device warning: process 7 (player), at [::]:5000, is":  func(_ *Subject, f *Facts) { f.Sockets[0].Device = 4 },
	"receiver_multicast_all warning: process 7 (player), at [::]:50": func(_ *Subject, f *Facts) { f.Sockets[0].MulticastAll = new(bool) },
	"receiver_multicast_all unknown: whether a process that cannot ": func(_ *Subject, f *Facts) { f.Sockets[0].MulticastAll, f.Sockets[0].Process = nil, nil },
	"receiver_filter warning: process 7 (player), at [::]:5000, joined ff3e::8000:1 on eth0 itself, but": func(_ *Subject, f *Facts) {
		f.Sockets[0].OnlyIPv6, f.Sockets[0].Filters = true, Filters{group6: {{groupoption.Filter{Sources: []netip.Addr{source6.Next()}}, 3}, {groupoption.Filter{Sources: []netip.Addr{source6}, Exclude: true}, 3}}}
	},
	"stale_membership warning: process 7 (player), at [::]:5000, be": func(_ *Subject, f *Facts) { f.Sockets[0].Stale = []StaleEntry{{group4, 2}} },
	"stale_membership unknown: whether process 7 (player), at [::]":  func(_ *Subject, f *Facts) { f.Sockets[0].Asked = false },
}

func other(f *Facts, family ifwatch.Family, c membership.Channel) {
	delete(f.Lists[family].Included, c)
	f.Lists[family].Included[membership.Channel{Source: c.Source.Next(), Group: c.Group}] = 1
}

func hide(f *Facts, family ifwatch.Family) {
	l := f.Lists[family]
	l.Whole, l.Included = false, nil
	f.Lists[family] = l
}

func querier(f *Facts, version string) {
	l := f.Lists[ifwatch.IPv4]
	l.Groups.OldQueriers = map[int]string{3: version}
	f.Lists[ifwatch.IPv4] = l
}

func elsewhere(f *Facts, mode string) {
	f.Sysctls["net/ipv4/conf/all/rp_filter"] = mode
	f.Routes[source4] = Route{Interfaces: []string{"eth1"}}
}

func manyGroups(n int) []membership.Channel {
	var all []membership.Channel
	for i := range n {
		all = append(all, membership.Channel{Source: source4, Group: netip.AddrFrom4([4]byte{232, 1, 1, byte(i)})})
	}
	return all
}

func manySources(n int) []membership.Channel {
	var all []membership.Channel
	for a := source6; len(all) < n; a = a.Next() {
		all = append(all, membership.Channel{Source: a, Group: group6})
	}
	return all
}

func TestExamine(t *testing.T) {
	missing := make(map[string]bool)
	for _, p := range Problems() {
		missing[string(p.Check)+" "+string(p.Outcome)+": "+p.Found] = true
	}
	for want, spoil := range spoiled {
		s, f := healthy()
		spoil(&s, f)
		var all []string
		for _, found := range Examine(s, f) {
			all = append(all, fmt.Sprintf("%s %s: %s", found.Check, found.Outcome, found.Found))
		}
		at := strings.Join(all, "\n")
		if !strings.Contains("\n"+at, "\n"+want) {
			t.Errorf("want %s\nfound\n%s", want, at)
		}
		for key := range missing {
			pattern := regexp.MustCompile("(?m)^" + verbPattern(key) + "$")
			if pattern.MatchString(at) {
				delete(missing, key)
			}
		}
	}
	// Those that Run adds, and those of rules, which the firewall's tests find.
	for _, p := range []Problem{noNamespace, notAnnounced, drops, mayDrop} {
		delete(missing, p.Check+" "+string(p.Outcome)+": "+p.Found)
	}
	for key := range missing {
		t.Errorf("no test finds %s", key)
	}
}

// verbPattern is a regular expression of what a format may become.
func verbPattern(format string) string {
	parts := verb.Split(format, -1)
	for n, p := range parts {
		parts[n] = regexp.QuoteMeta(p)
	}
	return strings.Join(parts, ".+")
}

// Commands take names that a shell would take apart.
func TestQuote(t *testing.T) {
	s, f := healthy()
	f.Link.Name, f.Link.Up = "a b';$(x)", false
	if got, want := checkUp(s, f)[0].Mend, []string{`ip link set dev 'a b'\'';$(x)' up`}; !cmp.Equal(got, want) {
		t.Errorf("it says %q, want %q", got, want)
	}
	for name, want := range map[string]string{
		"eth0.5": "sysctl -w net/ipv4/conf/eth0.5/rp_filter=2",
		"$(x)":   "sysctl -w 'net.ipv4.conf.$(x).rp_filter'=2",
		"a=b":    `sh -c 'echo 2 >'\''/proc/sys/net/ipv4/conf/a=b/rp_filter'\'''`,
	} {
		if got := set(rpFilter, name, 2); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

func TestOurCommands(t *testing.T) {
	for name, want := range map[string]string{"feed-a": "ssmd explain feed-a", "-j": "ssmd explain -- -j", "a b": "ssmd explain 'a b'"} {
		if got := ssmd("explain", name); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

// To look again names what was looked at, and whoever needs the daemon finds it.
func TestAgain(t *testing.T) {
	given := SubjectsOf([]Given{{channel4, "eth0"}})[0]
	for want, s := range map[string]Subject{
		"ssmd doctor --wait 130s feed-a":                               {Membership: "feed-a"},
		"ssmd doctor --wait 130s --port 5001 -c 'my file.yaml' feed-a": {Entry: "feed-a", File: "my file.yaml", Port: 5001},
		"ssmd doctor --wait 130s " + channel4.String() + "%eth0":       given,
	} {
		if got := s.doctor("--wait 130s", channel4); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
	findings := []Finding{{Mend: []string{"ssmd explain -- -j", "ssmd run --join x", "ip link set dev eth0 up"}}, {}}
	askAt("/run/my ssmd.sock", findings)
	if diff := cmp.Diff([]string{"ssmd explain --socket '/run/my ssmd.sock' -- -j", "ssmd run --join x", "ip link set dev eth0 up"}, findings[0].Mend); diff != "" {
		t.Error(diff)
	}
}

// What asks for channels depends on who is there to ask, and is the same daemon
// where the file is its own.
func TestAsk(t *testing.T) {
	wide := membership.Channel{Source: source4, Group: addr("239.1.1.7")}
	one, another := channel4.String()+"%eth0", wide.String()+"%eth0"
	for want, s := range map[string]Subject{
		"ssmd reannounce feed-a": {Membership: "feed-a", Daemon: true},
		"ssmd run -c feeds.yaml": {Entry: "feed-a", File: "feeds.yaml"},
		"ssmd reload":            {Entry: "feed-a", File: "feeds.yaml", Daemon: true, FileRuns: true},
		"":                       {Entry: "feed-a", File: "feeds.yaml", Daemon: true},
		"ssmd join " + one + "; ssmd join --allow-any-range " + another:                           {Daemon: true},
		"ssmd run --allow-any-range --join " + one + " --join " + another:                         {},
		"ssmd join --netns blue " + one + "; ssmd join --allow-any-range --netns blue " + another: {Daemon: true, Netns: "blue"},
	} {
		f := s.ask(Finding{}, "eth0", []membership.Channel{channel4, wide})
		if got := strings.Join(f.Mend, "; "); got != want || got == "" && f.Advice == "" {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

func TestSubjectsOf(t *testing.T) {
	e := control.Explanation{
		Status: control.Status{Status: membership.Status{
			Name: "feed-a", State: membership.StateDegraded, Attachments: []membership.Attachment{{Interface: "eth0", Index: 3, Instance: 9, Netns: "blue"}},
		}},
		Channels: []membership.ChannelStatus{{Channel: channel4, Instance: 9, Joined: true}, {Channel: channel6, Instance: 9, Error: "no"}, {Channel: channel4, Instance: 8}},
	}
	want := []Subject{{Membership: "feed-a", State: membership.StateDegraded, Channels: []membership.Channel{channel4, channel6}, Refused: []string{channel6.String() + ": no"},
		Interface: "eth0", Attached: true, Index: 3, Netns: "blue", Daemon: true}}
	if diff := cmp.Diff(want, subjectsOf(e, nil), compareAddr); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	e.Status.Monitor, want[0].Port = &monitor.Status{Port: 5001}, 5001
	if diff := cmp.Diff(want, subjectsOf(e, nil), compareAddr); diff != "" {
		t.Errorf("monitored, -want +got:\n%s", diff)
	}
	given := SubjectsOf([]Given{{channel4, "eth0"}, {channel6, "eth1"}, {channel6, "eth0"}, {channel4, "eth0"}})
	want = []Subject{{Interface: "eth0", Channels: []membership.Channel{channel4, channel6}}, {Interface: "eth1", Channels: []membership.Channel{channel6}}}
	if diff := cmp.Diff(want, given, compareAddr); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A socket of this process is its own, and another's where this one is the
// daemon that was handed it.
func TestFindOwners(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	file, err := c.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child := exec.Command("sleep", "60")
	child.ExtraFiles = []*os.File{file}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait() // it was killed
	}()
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if o := findOwners(os.Getpid())[name]; o.process == nil || o.process.PID != child.Process.Pid || o.descriptor != 3 {
		t.Errorf("it is of %v, want %d", o.process, child.Process.Pid)
	}
	if o := findOwners(child.Process.Pid)[name]; o.process == nil || o.process.PID != os.Getpid() {
		t.Errorf("it is of %v, want %d", o.process, os.Getpid())
	}
}
