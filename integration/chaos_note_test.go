package integration

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
)

// instanceID is what the daemon calls a life.
type instanceID = ifwatch.ID

// look takes a look for a membership, or none: both may be.
func (m *chaosMember) look(c *chaos, v view) {
	for _, s := range sortedStandings(m.may) {
		m.may.add(m.wish.look(v, c.graves, s))
	}
}

func sortedStandings(p possible) []standing {
	var all []standing
	for _, key := range sortedKeys(p) {
		all = append(all, p[key])
	}
	return all
}

// noted has the model know of the world as it is after a step.
func (c *chaos) noted() {
	for p := range places {
		was, now := c.was.lives[p], c.world.lives[p]
		if was.id == now.id && c.was.carrier(p) != c.world.carrier(p) {
			c.world.lag[p] = true
		}
		if was.id != now.id || was.up != now.up || was.deaths6 != now.deaths6 || c.was.carrier(p) != c.world.carrier(p) {
			c.disturb(p)
		}
	}
	c.was = c.world
	views := c.world.views()
	if c.unwatched != nil {
		views = append(views, c.seenAnew().views()...)
	}
	twins := c.twins(c.unwatched)
	c.views = append(c.views, views...)
	for _, v := range views {
		for _, name := range sortedKeys(c.members) {
			m := c.members[name]
			m.look(c, v)
			if c.unwatched != nil {
				m.mistake(c.unwatched, twins)
				m.look(c, v)
			}
		}
	}
	c.noteHeld()
}

// disturb says that something happened to the interface at a place after which
// the network may be told of leaves, and has to be told of joins anew.
func (c *chaos) disturb(p place) {
	for h := range c.steady {
		if h.life == c.was.lives[p].id || h.life == c.world.lives[p].id {
			delete(c.steady, h)
		}
	}
	for h := range c.announced {
		if h.life == c.world.lives[p].id && !c.world.carrier(p) {
			delete(c.announced, h)
		}
	}
}

// noteHeld notes what may not be held without a break.
func (c *chaos) noteHeld() {
	for h := range c.steady {
		if !c.surely(h, func(m *chaosMember) possible { return m.may }) {
			delete(c.steady, h)
		}
	}
}

// surely reports whether some membership holds a channel in each of some states.
func (c *chaos) surely(h holding, states func(*chaosMember) possible) bool {
	for _, m := range c.members {
		held := len(states(m)) > 0
		for _, s := range states(m) {
			held = held && m.wish.holds(s, h)
		}
		if held {
			return true
		}
	}
	return false
}

func (w aWish) holds(s standing, h holding) bool {
	at := s.attachment(h.life)
	return at >= 0 && s.on[at].has[famOf(h.channel)] && slices.Contains(w.channels, h.channel)
}

// held returns the place of every channel that should be joined at this rest: the
// states that agree with a membership's status do not differ in that.
func (c *chaos) held() map[holding]place {
	held := make(map[holding]place)
	for p := range places {
		for n := range wishedChannels {
			if h := (holding{c.world.lives[p].id, n}); c.world.has(p) && c.surely(h, func(m *chaosMember) possible { return m.is }) {
				held[h] = p
			}
		}
	}
	return held
}

// blockedLate is for how long a leave's reports may come after it: two within a
// second (K15), and as much again.
const blockedLate = 2 * time.Second

// pruned returns an error where the network was told of the end of a channel
// that is joined without a break. What is told of it when nothing keeps the
// membership, as with a thief, or when the link comes up (K15), or while it is
// not running yet (K31), is no such case: see disturb.
func (c *chaos) pruned() error {
	var errs []error
	for _, r := range c.capture.Reports()[c.reports:] {
		for p := range places {
			for n, channel := range wishedChannels {
				since, steady := c.steady[holding{c.world.lives[p].id, n}]
				if steady && isLeave(r, channel) && sentFrom(r, p) && r.Time.Sub(since) > blockedLate {
					errs = append(errs, fmt.Errorf("%s is joined on %s for %s, and the network heard %s", channel, placeNames[p][0], r.Time.Sub(since), r))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// sentFrom reports whether the interface at a place sent a report.
func sentFrom(r wire.Report, p place) bool {
	if p <= right && r.Interface != farNames[p] || p == above && r.Interface != farNames[left] {
		return false
	}
	return slices.Contains(placeMACs[p], r.MAC)
}

// ok ends the test on an error, and shows how it came to it.
func (c *chaos) ok(err error) {
	c.t.Helper()
	if err == nil {
		return
	}
	c.t.Log(c.summary())
	var members []string
	for _, name := range sortedKeys(c.members) {
		members = append(members, c.members[name].wish.String())
		for _, s := range sortedStandings(c.members[name].may) {
			members = append(members, "    may be "+s.String())
		}
	}
	c.t.Fatalf("%v\n\nBefore the last rest:\n%s\n\nSince:\n%s\n\nThe world:\n%s\n\nThe memberships:\n%s\n",
		err, indented(c.soFar), indented(c.log), c.world, indented(members))
}

func (s standing) String() string {
	var words []string
	for _, a := range s.on {
		words = append(words, fmt.Sprintf("on %s#%d %v", a.name, a.id, a.has))
	}
	for _, l := range s.lost {
		words = append(words, fmt.Sprintf("lost #%d %s%s%v", l.id, l.name, l.mac, l.net))
	}
	if s.ended {
		words = append(words, "ended")
	}
	if words == nil {
		return "nowhere"
	}
	return strings.Join(words, ", ")
}

func indented(lines []string) string { return "\t" + strings.Join(lines, "\n\t") }
