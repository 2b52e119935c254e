package integration

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// paced is what a pace of joins a second lets through in a time: a tenth at
// once.
func paced(perSecond int, in time.Duration) int {
	return perSecond/10 + int(float64(perSecond)*in.Seconds())
}

// groupsOn counts the groups of channels that the kernel has on eth0.
func (l *lab) groupsOn(channels []membership.Channel) int {
	l.t.Helper()
	all, err := testnet.Groups(l.Near)
	ok(l.t, err)
	index, err := l.Near.Index("eth0")
	if err != nil {
		return 0
	}
	n := 0
	for _, c := range channels {
		if all[index][c.Group] > 0 {
			n++
		}
	}
	return n
}

func (f family) many(n int) []membership.Channel {
	channels := []membership.Channel{channelOf(f.channel)}
	for i := range n - 1 {
		channels = append(channels, channelOf(f.spare(1000+i)))
	}
	return channels
}

// wantSpread checks that the channels' groups were reported no earlier than a
// pace from a time on allows, and all of them.
func wantSpread(t *testing.T, reports []wire.Report, channels []membership.Channel, perSecond int, from time.Time) {
	t.Helper()
	first := make(map[netip.Addr]time.Time)
	for _, r := range reports {
		if _, known := first[r.Group]; !known && r.Type == wire.AllowNewSources {
			first[r.Group] = r.Time
		}
	}
	var times []time.Time
	for _, c := range channels {
		at, reported := first[c.Group]
		if !reported {
			t.Errorf("no report of %s", c)
		}
		times = append(times, at)
	}
	slices.SortFunc(times, time.Time.Compare)
	for n, at := range times {
		if most := paced(perSecond, at.Sub(from)); n+1 > most {
			t.Fatalf("%d groups were reported in %s, want at most %d", n+1, at.Sub(from), most)
		}
	}
}

// 200 channels at 100 a second: the kernel and the network see them spread, and
// status and events how far it is. An interface that goes in the middle takes
// what was joined along, and its successor begins at the beginning.
func TestStoryPace(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		const pace = 100
		l, channels := newLab(t, f), f.many(200)
		s := onStage(l, noOptions)
		ok(t, s.manager.SetPace(s.ctx, pace))
		sockets := socketsIn(t, l.Near)
		began := time.Now()
		s.apply(onEth0("feed", channels...))
		s.await("feed", func(status membership.Status) error {
			held := s.groupsOn(channels)
			if most := paced(pace, time.Since(began)); held > most {
				t.Fatalf("the kernel has %d groups after %s, want at most %d", held, time.Since(began), most)
			}
			if status.Joined < 60 {
				return fmt.Errorf("%d joined", status.Joined)
			}
			return inState(membership.StateSettling, fmt.Sprintf("%d of 200 channels joined, the others follow at the pace of 100 joins a second, until about", status.Joined))(status)
		})

		ok(t, s.Cut("eth0"))
		s.wait("feed", membership.StateDetached)
		wantSockets(t, l.Near, sockets)
		reported := len(s.capture.Reports())
		began = time.Now()
		ok(t, s.Connect(testnet.Veth{}))
		s.await("feed", func(status membership.Status) error {
			if held, most := s.groupsOn(channels), paced(pace, time.Since(began)); held > most {
				t.Fatalf("the kernel has %d groups after %s, want at most %d", held, time.Since(began), most)
			}
			return inPlaceOf(1)(status)
		})
		s.countJoined(200)
		if held := s.groupsOn(channels); held != 200 {
			t.Errorf("the kernel has %d groups", held)
		}
		s.hears(s.fed())
		s.mark()
		wantSpread(t, s.capture.Reports()[reported:], channels, pace, began)
		s.wantTold()
	})
}

// wantTold checks the story that the events tell.
func (s *stage) wantTold() {
	s.t.Helper()
	var told []string
	for _, e := range s.events.all() {
		if e.Membership != "feed" || e.State == membership.StateDegraded { // IPv6, of an interface that is down before it is gone
			continue
		}
		line := strings.TrimSpace(string(e.Type) + " " + string(e.State))
		if len(told) == 0 || told[len(told)-1] != line { // how often the progress is told is for the time to say
			told = append(told, line)
		}
	}
	want := []string{"state settling", "attached", "detached", "state detached", "state settling", "reattached", "state joined"}
	if diff := cmp.Diff(want, told); diff != "" {
		s.t.Errorf("events (-want +got):\n%s", diff)
	}
}

// One daemon hands over to the next in the middle: what was joined stays, the
// rest goes on. A reload in the middle takes effect at once.
func storyPaced(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		l, channels := newLab(t, f), f.many(100)
		dir := l.daemonDir()
		write(t, filepath.Join(dir, "ssmd.yaml"), "pace: {joins_per_second: 20}\nmemberships:\n"+pacedEntry(channels))
		capture := newCapture(t, l.Far)
		began := time.Now()
		d := startDaemon(l, program, dir, nil)
		d.await(func(s membership.Status) error {
			if s.Joined < 10 {
				return fmt.Errorf("%d joined", s.Joined)
			}
			return inState(membership.StateSettling, "pace of 20 joins a second")(s)
		})
		next := successor(l, program, dir)
		if code := d.ended(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		status := next.await(inState(membership.StateSettling, "of 100 channels joined"))
		if status.Joined < 10 || status.Counters.Errors != 0 {
			t.Errorf("after the handover: %+v", status)
		}
		// Two daemons, so what may come at once comes twice.
		if held, most := l.groupsOn(channels), 2+paced(20, time.Since(began)); held > most {
			t.Errorf("the kernel has %d groups after %s, want at most %d", held, time.Since(began), most)
		}
		write(t, filepath.Join(dir, "ssmd.yaml"), "memberships:\n"+pacedEntry(channels[:90]))
		next.await(inState(membership.StateJoined))
		if held := l.groupsOn(channels); held != 90 {
			t.Errorf("the kernel has %d groups, want 90", held)
		}
		l.hears(l.fed())
		l.notLeft(capture, 0, l.mark(capture, 1))
		next.signal(unix.SIGTERM)
		if code := next.ended(); code != 0 || l.groupsOn(channels) != 0 {
			t.Errorf("exit code %d, %d groups left", code, l.groupsOn(channels))
		}
	})
}

func pacedEntry(channels []membership.Channel) string {
	texts := make([]string, len(channels))
	for n, c := range channels {
		texts[n] = c.String()
	}
	return "  - {name: feed, channels: ['" + strings.Join(texts, "', '") + "'], interface: eth0}\n"
}
