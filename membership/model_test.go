package membership

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

var modelChannels = func() []Channel {
	var channels []Channel
	for _, group := range []string{"232.0.0.1", "232.0.0.2", "232.0.0.3", "232.0.0.4", "ff3e::1"} {
		for _, source := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
			if strings.Contains(group, ":") {
				source = strings.ReplaceAll("2001:db8::"+source, "10.0.0.", "")
			}
			channels = append(channels, Channel{netip.MustParseAddr(source), netip.MustParseAddr(group)})
		}
	}
	return channels
}()

var modelWhen = func() *reattach.When {
	when, err := reattach.ParseWhen("candidate.mac == previous.mac || candidate.name == 'eth2'")
	if err != nil {
		panic(err)
	}
	return when
}()

// modelNames are the memberships of the model; two join on the caller's socket.
var modelNames = []string{"a", "b", "c", "own", "own2"}

func drawMembership(t *rapid.T, w *world, name string) Membership {
	m := Membership{
		Name:     name,
		Channels: rapid.SliceOfNDistinct(rapid.SampledFrom(modelChannels), 1, 8, func(c Channel) Channel { return c }).Draw(t, "channels"),
		Rules: reattach.Rules{
			Selector:  reattach.Selector{Name: reattach.Globs{rapid.SampledFrom([]string{"eth1", "eth2", "eth[123]", "wan*", "*"}).Draw(t, "glob")}},
			Attach:    rapid.SampledFrom([]reattach.Attach{reattach.AttachOne, reattach.AttachAll}).Draw(t, "attach"),
			Ambiguous: rapid.SampledFrom([]reattach.Ambiguous{reattach.AmbiguousHold, reattach.AmbiguousOldest, reattach.AmbiguousNewest}).Draw(t, "ambiguous"),
			OnChange:  rapid.SampledFrom([]reattach.OnChange{reattach.OnChangeKeep, reattach.OnChangeLeave}).Draw(t, "on change"),
			Policy: rapid.SampledFrom([]reattach.Policy{
				{}, {Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}, {Kind: reattach.PolicyNever}, {Kind: reattach.PolicyApprove},
			}).Draw(t, "policy"),
			Settle: rapid.SampledFrom([]time.Duration{0, 0, time.Second}).Draw(t, "settle"),
			Within: rapid.SampledFrom([]time.Duration{0, 0, 5 * time.Second, time.Hour}).Draw(t, "within"),
			Limit:  rapid.SampledFrom([]reattach.Limit{{}, {}, {Count: 1, Per: 3 * time.Second}, {Count: 2, Per: time.Minute}}).Draw(t, "limit"),
			When:   rapid.SampledFrom([]*reattach.When{nil, nil, modelWhen}).Draw(t, "when"),
		},
	}
	if strings.HasPrefix(name, "own") {
		m.Socket, m.Rules.Attach = &fakeConn{socket: w.caller.socket}, reattach.AttachOne
		if name == "own" {
			m.Socket = w.caller
		}
	}
	return m
}

// model does anything at all to a world.
type model struct {
	*world
	meddled map[*fakeSocket]bool // on which the caller joined, left or closed
	stolen  map[stolenGroup]bool // and not found by an audit yet, perhaps
	timing  *timing
	notes   *noting
}

// stolenGroup is what a theft took.
type stolenGroup struct {
	life  *fakeLife
	group netip.Addr
}

func (w *model) index(t *rapid.T) int { return rapid.IntRange(1, 3).Draw(t, "index") }

// existing draws an interface that exists.
func (w *model) existing(t *rapid.T) (int, bool) {
	i := w.index(t)
	_, exists := w.truth[i]
	return i, exists
}

var drawMAC = rapid.SampledFrom([]string{mac1, mac2})

func (w *model) interfaces() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"create or remove": func(t *rapid.T) {
			if i, exists := w.existing(t); exists {
				w.remove(i)
			} else {
				w.create(i, drawMAC.Draw(t, "mac"))
			}
		},
		"recreate": func(t *rapid.T) {
			if i, exists := w.existing(t); exists {
				w.recreate(i, drawMAC.Draw(t, "mac"))
			}
		},
		"flap": func(t *rapid.T) {
			if i, exists := w.existing(t); exists {
				w.alter(i, func(i *ifwatch.Interface) { i.Up = !i.Up })
			}
		},
		"rename": func(t *rapid.T) {
			if i, exists := w.existing(t); exists {
				name := ethernet(i)
				if w.truth[i].Name == name {
					name = fmt.Sprint("wan", i)
				}
				w.rename(i, name)
			}
		},
		"IPv6 dies or lives": func(t *rapid.T) {
			if i, exists := w.existing(t); exists && w.truth[i].IPv6.Alive {
				w.endIPv6(i)
			} else if exists {
				w.beginIPv6(i)
			}
		},
		"IPv6 dies and lives": func(t *rapid.T) {
			if i, exists := w.existing(t); exists && w.truth[i].IPv6.Alive {
				w.endIPv6(i)
				w.beginIPv6(i)
			}
		},
		"deliver":      func(*rapid.T) { w.deliver() },
		"lose events":  func(*rapid.T) { w.losing = true },
		"resync":       func(*rapid.T) { w.resync() },
		"foreign join": func(t *rapid.T) { w.foreign(t) },
	}
}

// foreign joins no group that was stolen just before: whoever has lost it, and
// leaves it unknowing, takes it from whoever came since.
func (w *model) foreign(t *rapid.T) {
	c := rapid.SampledFrom(modelChannels).Draw(t, "channel")
	if life := w.kernel.life(w.index(t), c.Family()); life != nil && !w.stolen[stolenGroup{life, c.Group}] {
		life.foreignJoin(c)
	}
}

// steal takes a whole group, of which no other process is a member, from the
// manager's sockets. Where another is, a theft cannot always be seen.
func (w *model) steal(t *rapid.T) {
	c := rapid.SampledFrom(modelChannels).Draw(t, "channel")
	life := w.kernel.life(w.index(t), c.Family())
	if life == nil {
		return
	}
	for other := range life.foreign {
		if other.Group == c.Group {
			return
		}
	}
	delete(life.groups, c.Group)
	w.stolen[stolenGroup{life, c.Group}] = true
}

func (w *model) wishes() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"put": func(t *rapid.T) {
			w.put(drawMembership(t, w.world, rapid.SampledFrom(modelNames).Draw(t, "name")))
		},
		"apply": func(t *rapid.T) {
			var set []Membership
			for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(modelNames), rapid.ID).Draw(t, "names") {
				set = append(set, drawMembership(t, w.world, name))
			}
			w.apply(set...)
		},
		"delete": func(t *rapid.T) {
			w.keeper.delete(rapid.SampledFrom(modelNames).Draw(t, "name"), w.now)
		},
		"refuse or not": func(t *rapid.T) {
			w.kernel.refuse = rapid.SampledFrom([]error{nil, unix.ENOMEM, unix.EPERM}).Draw(t, "error")
		},
		"pace": func(t *rapid.T) {
			w.keeper.setPace(newPace(rapid.SampledFrom([]int{0, 1, 7, 40}).Draw(t, "joins a second")), w.now)
		},
		"theft": func(t *rapid.T) { w.steal(t) },
		"reannounce": func(t *rapid.T) {
			if m := w.keeper.members[rapid.SampledFrom(modelNames).Draw(t, "name")]; m != nil {
				w.keeper.reannounce(m, w.now)
			}
		},
		"retry":        func(*rapid.T) { w.later(time.Second) },
		"a bit later":  func(*rapid.T) { w.later(300 * time.Millisecond) },
		"what is next": func(*rapid.T) { w.wake() },
		"drain or not": func(t *rapid.T) {
			if i, exists := w.existing(t); exists {
				w.drainOrNot(w.truth[i].Name)
			}
		},
		"approve": func(t *rapid.T) {
			name, id := rapid.SampledFrom(modelNames).Draw(t, "name"), ifwatch.ID(rapid.IntRange(0, 9).Draw(t, "instance"))
			_ = w.keeper.approve(name, id, w.now) // nothing may await it
		},
		"caller leaves": func(t *rapid.T) {
			s := w.caller.socket
			w.meddled[s] = true
			for key, e := range s.entries {
				if !e.life.dead { // else it would be the caller who robs
					_ = s.leave(key.index, Channel{e.sources[0], key.group})
					return
				}
			}
		},
		"caller closes": func(*rapid.T) {
			if s := w.caller.socket; !s.stale() { // likewise
				w.meddled[s] = true
				s.close()
				w.caller = newFakeConn(w.kernel)
			}
		},
		"rest": func(t *rapid.T) {
			w.rest()
			clear(w.stolen)
			err := w.untrue(w.meddled)
			if w.kernel.refuse == nil {
				err = errors.Join(err, w.stuck())
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	}
}

// TestKeeperAgainstModel does anything at all, with a watcher that lags and
// loses events, and checks after each step that nobody was robbed and nothing
// leaked, and at each rest that what is said to be joined is. In the end it
// either takes everything away or shuts down in the midst of it.
func TestKeeperAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &model{newWorld(), make(map[*fakeSocket]bool), make(map[stolenGroup]bool), newTiming(), &noting{noted: true}}
		w.after = w.observeTiming
		w.keeper.noteMemory = w.notes.note
		w.keeper.auditEvery = time.Minute
		if w.portions = rapid.Bool().Draw(t, "portions"); w.portions {
			w.keeper.newPortion = oneCall
		}
		actions := w.interfaces()
		for name, action := range w.wishes() {
			actions[name] = action
		}
		check := func(t *rapid.T) {
			if err := errors.Join(w.robbed(), w.leaked(), w.drainedJoined(), w.untimely(), w.miscounted(), w.outOfLine(), w.untold(), w.misplaced(), w.notes.unnoted(w.keeper)); err != nil {
				t.Fatal(err)
			}
		}
		actions[""] = check
		t.Repeat(actions)
		if rapid.Bool().Draw(t, "shut down") {
			w.checkShutdown(t)
			return
		}
		w.apply()
		for i := range w.truth {
			w.remove(i)
		}
		w.rest()
		check(t)
		if n := len(w.kernel.open_); n > 0 {
			t.Fatalf("%d sockets still open without a membership and an interface", n)
		}
		if n := len(w.caller.socket.entries); n > 0 {
			t.Fatalf("%d entries left on the caller's socket", n)
		}
	})
}

// checkShutdown shuts down and checks that nothing of ours is left in the
// kernel but what would rob somebody.
func (w *model) checkShutdown(t *rapid.T) {
	w.keeper.shutdown(w.now)
	if err := w.robbed(); err != nil {
		t.Fatal(err)
	}
	if open, left := len(w.kernel.open_), len(w.kernel.left.sockets); open != left {
		t.Fatalf("%d sockets open and %d left behind after the end", open, left)
	}
	if w.kernel.probes != 0 {
		t.Fatalf("%d probes open after the end", w.kernel.probes)
	}
	for s := range w.kernel.open_ {
		for key := range s.entries {
			if w.kernel.life(key.index, s.family) == nil {
				t.Fatalf("parked at index %d, which is vacant", key.index)
			}
		}
	}
	w.checkLeftBehind(t)
	for key, e := range w.caller.socket.entries {
		if len(w.keeper.parking.stale) == 0 {
			t.Fatalf("%s at index %d left on the caller's socket (of a dead life: %t)", key.group, key.index, e.life.dead)
		}
	}
}

// checkLeftBehind ends all lives, and checks that a later manager closes what this
// one left.
func (w *model) checkLeftBehind(t *rapid.T) {
	for index := range w.kernel.ifaces {
		w.kernel.end(index)
	}
	w.kernel.left.vacate()
	if open := len(w.kernel.open_); open > 0 {
		t.Fatalf("%d sockets open when nobody has their indexes", open)
	}
}
