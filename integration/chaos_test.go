package integration

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// The environment of the chaos test.
const (
	chaosTimeVariable = "SSMD_CHAOS_TIME" // for how long, as 60s or 1h
	chaosSeedVariable = "SSMD_CHAOS_SEED" // a number; the same one gives the same acts
)

// chaosTime is what a run of all tests spends on it.
const chaosTime = 5 * time.Second

// TestChaos does anything at all to the interfaces, processes and memberships
// around a daemon. Whenever that is at rest, its status, the kernel's lists, the
// reports on the wire and the datagrams that arrive must be what the model says.
//
// It runs alone: what is late because others are busy is no fault.
func TestChaos(t *testing.T) {
	duration, seed := chaosTime, rand.Uint64()
	if text := os.Getenv(chaosTimeVariable); text != "" {
		var err error
		duration, err = time.ParseDuration(text)
		ok(t, err)
	}
	if text := os.Getenv(chaosSeedVariable); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		ok(t, err)
	}
	t.Logf("again: %s=%d %s=%s go test -run '^TestChaos$' -count=1 ./integration", chaosSeedVariable, seed, chaosTimeVariable, duration)
	c := newChaos(t, buildProgram(t), rand.New(rand.NewPCG(seed, 0)))
	c.run(duration)
	c.end()
	t.Log(c.summary())
}

// chaos is a daemon, what is done around it, and what should become of that.
type chaos struct {
	t              *testing.T
	ctx            context.Context
	rand           *rand.Rand
	near, far      *testnet.Namespace
	away           *testnet.Namespace // where interfaces are moved to
	program        string
	home           *home
	daemon         *daemon // of home
	capture        *wire.Capture
	ears           [2]*ear
	senders        [2]*testnet.Sender // by far end
	stopped        bool               // the daemon is not run
	ended          bool               // nor is there one: its sockets are kept for the next
	unwatched      *unwatched         // nil while a daemon looks
	paused         *unwatched         // what would be if the daemon that is stopped handed over; nil while none is
	strangers      map[int]stranger   // by channel
	neighbour      *process           // a member of another group
	indexes        [places]int        // where the last life of each place was
	count, resting int                // acts and rests so far
	takeovers      int
	restarts       int
	unkept         int // memberships so far that end with the daemon
	tally          map[string]int
	survived       survived
	log            []string // of acts since the last rest
	soFar          []string // and before it

	world     world
	was       world // at the last note
	lives     int
	graves    map[int]grave
	views     []view // since the last rest, which is the first
	members   map[string]*chaosMember
	instances map[int]instanceID // what the daemon calls a life

	lastAt  map[int]int      // the life that had an index last
	indexOf map[int]int      // of each life
	heirs   map[int]bool     // lives at an index that another had before
	behind  map[holding]bool // channels that were left behind by a former life
	parked  map[int]bool     // lives of which a successor may have parked the sockets

	announced map[holding]bool      // to what is beyond the carrier, at the last rest
	steady    map[holding]time.Time // joined without a break since
	reports   int                   // captured before the last rest
}

// chaosMember is a membership and where it may stand.
type chaosMember struct {
	wish aWish
	may  possible
	is   possible // of these, what agrees with its status
}

// holding is a channel on a life.
type holding struct{ life, channel int }

func newChaos(t *testing.T, program string, r *rand.Rand) *chaos {
	t.Helper()
	c := &chaos{
		t: t, ctx: t.Context(), rand: r, program: program,
		near: newNamespace(t), far: newNamespace(t), away: newNamespace(t),
		strangers: make(map[int]stranger), tally: make(map[string]int),
		graves: make(map[int]grave), members: make(map[string]*chaosMember), instances: make(map[int]instanceID),
		lastAt: make(map[int]int), indexOf: make(map[int]int), heirs: make(map[int]bool), behind: make(map[holding]bool), parked: make(map[int]bool),
		announced: make(map[holding]bool), steady: make(map[holding]time.Time),
	}
	ok(t, c.far.Set("lo", testnet.Address(netip.PrefixFrom(testnet.Source4, 32).String(), netip.PrefixFrom(testnet.Source6, 128).String())))
	var to []netip.AddrPort
	for _, w := range wishedChannels {
		to = append(to, netip.AddrPortFrom(w.group, port))
	}
	for n := range c.senders {
		c.senders[n] = testnet.NewSender(c.far, testnet.SenderConfig{To: to, Interface: farNames[n], Every: 10 * time.Millisecond})
		background(t, c.senders[n].Run)
	}
	for f := range c.ears {
		var err error
		c.ears[f], err = newEar(c.near, fam(f))
		ok(t, err)
		background(t, c.ears[f].run)
	}
	c.capture = newCapture(t, c.far)
	c.home = c.newHome()
	c.daemon = c.home.begin()
	c.answers(c.daemon)
	c.survived.events = make(map[membership.EventType]int)
	c.survived.watch(c)
	c.views = c.world.views()
	c.rest()
	return c
}

// run does anything at all for some time.
func (c *chaos) run(duration time.Duration) {
	c.t.Helper()
	for began := time.Now(); time.Since(began) < duration; {
		c.perform(c.draw(slices.Concat(worldActs, otherActs, successionActs)))
		if !c.stopped && c.rand.IntN(3) == 0 {
			c.rest()
		}
	}
	c.rest()
}

// end takes everything away but one interface and one membership, and wants the
// daemon to hold nothing of what was, and to end well.
func (c *chaos) end() {
	c.t.Helper()
	c.say("the end")
	for _, n := range c.strangerChannels() {
		c.strangerEnds(n)
	}
	if c.neighbour != nil {
		neighbourLeaves(c, left)
	}
	for len(c.members) > 0 {
		removeMember(c, left)
	}
	for p := range places {
		if p <= right && c.world.away[p].id != 0 {
			c.moveBack(p)
		}
		if c.world.has(p) {
			c.remove(p)
		}
	}
	c.rest()
	c.addPair(left, placeMACs[left][0], 0)
	c.setFar(left, true)
	c.setUp(left)
	addMember(c, left)
	c.rest()
	c.survived.end()
	c.wantDescriptors()
	c.daemon.signal(unix.SIGTERM)
	c.wantEnded(c.daemon)
	c.ok(c.home.manager.Close()) // which keeps what was joined until then
	c.members = nil
	c.ok(c.listsAgree())
	maps.DeleteFunc(c.behind, func(h holding, _ bool) bool { return c.parked[h.life] })
	if n, most := len(c.behind), mostBehind(c.lives); n > most {
		c.t.Errorf("%d channels were left behind in %d lives, want at most %d", n, c.lives, most)
	}
}

// wantDescriptors wants the daemon to have as many as one that has just begun with
// the same memberships.
func (c *chaos) wantDescriptors() {
	c.t.Helper()
	home := c.newHome()
	fresh := home.begin()
	c.answers(fresh)
	for _, name := range sortedKeys(c.members) {
		_, err := fresh.client.Put(c.ctx, name, c.members[name].wish.entry(), c.members[name].wish.keep())
		c.ok(err)
	}
	c.eventually(func() error {
		if n, want := c.openDescriptors(c.daemon), c.openDescriptors(fresh); !slices.Equal(n, want) {
			return fmt.Errorf("the daemon has open %q, a fresh one %q", n, want)
		}
		return nil
	})
	fresh.signal(unix.SIGTERM)
	c.wantEnded(fresh)
	c.ok(home.manager.Close())
}

// summary says what was done, and survived.
func (c *chaos) summary() string {
	var done []string
	for _, name := range sortedKeys(c.tally) {
		done = append(done, fmt.Sprintf("%s %d", name, c.tally[name]))
	}
	return fmt.Sprintf("%d acts, %d rests, %d takeovers, %d restarts, %d lives of interfaces, %d channels left behind: %s\nsurvived: %s",
		c.count, c.resting, c.takeovers, c.restarts, c.lives, len(c.behind), strings.Join(done, ", "), c.survived.String())
}
