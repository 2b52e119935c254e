package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/doctor"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

func TestStoryDoctorNoDatagrams(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := newPatient(t, f)
		p.silent("datagrams")
		spare := p.spare(3)
		p.subject.Channels = []membership.Channel{channelOf(spare)}
		p.finds("datagrams", doctor.Warning, "no datagram of "+channelOf(spare).String()+" came in on eth0 within")
	})
}

// Another address of the sender is another source.
func TestStoryDoctorOtherSource(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.silent("datagrams")
	p.subject.Channels = []membership.Channel{channelOf(v4.other)}
	found := p.finds("datagrams", doctor.Fault, "232.1.1.1 comes in on eth0 from 10.1.0.1, and not from 10.1.0.99")
	if want := "ssmd run --join 10.1.0.1@232.1.1.1%eth0"; len(found.Mend) != 1 || found.Mend[0] != want {
		t.Errorf("it says %q, want %q", found.Mend, want)
	}
}

// The reports of a membership go out when it is announced, but where something
// is in the way.
func TestStoryDoctorReport(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := newPatient(t, f)
		m := membership.New(membership.Options{Watch: ifwatch.Options{Within: p.Near.Do}})
		background(t, m.Run)
		ok(t, m.Apply(p.ctx, []membership.Membership{f.feed()}))
		ok(t, p.receiver.Close())
		p.subject.Membership, p.subject.State, p.subject.Attached = "feed", membership.StateJoined, true
		p.finds("report", doctor.Unknown, "none was asked for")
		p.announce = func(ctx context.Context, name string) error { return m.Reannounce(ctx, name) }
		p.silent("report")

		p.shell("nft add table inet f; nft 'add chain inet f out { type filter hook output priority 0; policy drop; }'")
		p.finds("report", doctor.Fault, "no report of "+channelOf(f.channel).String()+" went out on eth0")
		p.shell("nft delete table inet f")
		p.silent("report")

		forced := map[string]string{"v4": "net/ipv4/conf/eth0/force_igmp_version", "v6": "net/ipv6/conf/eth0/force_mld_version"}[f.name]
		old := map[string]string{"v4": "2", "v6": "1"}[f.name]
		p.sysctl(forced, old)()
		p.finds("report", doctor.Fault, "the report of "+channelOf(f.channel).String()+" went out on eth0 without its source")
		p.sysctl(forced, "0")()
		p.silent("report")
	})
}

// A querier of MLDv1 is listed nowhere, but heard.
func TestStoryDoctorOldMLD(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v6)
	p.silent("version")
	s := keepAsking(p, testnet.QueryMLDv1)
	p.obey(p.finds("version", doctor.Fault, "eth0 speaks MLDv1: it was heard to"))
	s.stop()
	p.silent("version")
}

// keepAsking asks again and again.
func keepAsking(p *patient, q testnet.Query) *asking {
	ctx, cancel := context.WithCancel(context.Background())
	a := &asking{cancel, make(chan struct{})}
	go func() {
		defer close(a.done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			_ = p.Far.Ask("far0", q) // before its address is ready it cannot
			<-tick.C
		}
	}()
	p.t.Cleanup(a.stop)
	return a
}

type asking struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (a *asking) stop() {
	a.cancel()
	<-a.done
}

// Somebody asks, or nobody: whoever listens long enough knows.
func TestStoryDoctorQuerier(t *testing.T) {
	t.Parallel()
	for _, story := range []struct {
		family family
		query  testnet.Query
		words  string
	}{{v4, testnet.QueryV3, "by IGMPv3"}, {v6, testnet.QueryMLD, "by MLDv2"}} {
		t.Run(story.family.name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, story.family)
			p.finds("querier", doctor.Unknown, "no general query of", "came in on eth0 within")
			a := keepAsking(p, story.query)
			p.silent("querier")
			found := of(p.examine(), "querier")
			if len(found) != 1 || !hasAll(found[0].Found, []string{story.words}) {
				t.Errorf("found %+v, want %q", found, story.words)
			}
			a.stop()
		})
	}
}

// Where nobody asks, only who listens for longer than a querier is silent can say
// so: two minutes.
func TestStoryDoctorNobodyAsks(t *testing.T) {
	if testing.Short() {
		t.Skip("it listens for two minutes")
	}
	t.Parallel()
	p := newPatient(t, v4)
	p.wait = 126 * time.Second // RFC 3376, section 8.2, and RFC 3810, section 9.2: 125 s
	p.subject.Channels = append(p.subject.Channels, channelOf(v6.channel))
	found := of(p.examine(), "querier")
	if len(found) != 2 {
		t.Fatalf("found %+v, want one for each family", found)
	}
	for i, protocol := range []string{"IGMP", "MLD"} {
		f := found[i]
		if f.Outcome != doctor.Warning || !strings.HasPrefix(f.Found, "nobody asks by "+protocol+" on eth0") || f.Why == "" || f.Advice == "" {
			t.Errorf("found %+v, want a warning that nobody asks by %s, why it matters, and what to do", f, protocol)
		}
	}
}

// Who may not open packet sockets is told what is missing, and so is who does not
// want to listen.
func TestStoryDoctorDeaf(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	for _, check := range []string{"datagrams", "report", "querier"} {
		p.wait = 0
		p.finds(check, doctor.Unknown, "not listened to: --wait is 0")
	}
}
