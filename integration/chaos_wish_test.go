package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/control"
)

// wishedChannels are what the chaos's memberships may be of, and its sender
// sends: two of each family.
var wishedChannels = []channel{
	v4.spare(901), v4.spare(902), v6.spare(901), v6.spare(902),
}

func famOf(c int) fam {
	if wishedChannels[c].group.Is4() {
		return fam4
	}
	return fam6
}

// answer is what a selector says of an interface.
type answer int

const (
	no answer = iota
	later
	yes
)

// selection is a selector: how the file puts it, and what it means.
type selection struct {
	key    string
	values []string
	match  func(life) answer
}

func answerTo(b bool) answer {
	if b {
		return yes
	}
	return no
}

func oneOfPlaces(all ...place) func(life) answer {
	return func(l life) answer { return answerTo(slices.Contains(all, l.place)) }
}

var selections = []selection{
	{"name", []string{"eth0"}, func(l life) answer { return answerTo(l.name == "eth0") }},
	{"name", []string{"eth*"}, func(l life) answer { return answerTo(strings.HasPrefix(l.name, "eth")) }},
	{"name", []string{"wan*"}, func(l life) answer { return answerTo(strings.HasPrefix(l.name, "wan")) }},
	{"name", []string{"*0", "!br*"}, func(l life) answer { return answerTo(strings.HasSuffix(l.name, "0") && l.place != bridged) }},
	{"name", []string{"mv*", "br*"}, oneOfPlaces(above, bridged)},
	{"kind", []string{"veth"}, oneOfPlaces(left, right)},
	{"kind", []string{"macvlan"}, oneOfPlaces(above)},
	{"kind", []string{"veth", "bridge"}, oneOfPlaces(left, right, bridged)},
	{"mac", []string{placeMACs[left][0]}, func(l life) answer { return answerTo(l.mac == placeMACs[left][0]) }},
	{"mac", []string{placeMACs[left][1], placeMACs[right][1]}, func(l life) answer {
		return answerTo(slices.Contains([]string{placeMACs[left][1], placeMACs[right][1]}, l.mac))
	}},
	{"master", []string{bridgeName}, func(l life) answer { return answerTo(l.port) }},
	{"parent", []string{"eth*"}, nil}, // of a macvlan; see matches
	{"subnet", []string{subnetOf(fam4, 1), subnetOf(fam6, 1)}, func(l life) answer {
		switch {
		case l.net[fam4] == 1 || l.net[fam6] == 1:
			return yes
		case l.net == nets{}:
			return later
		}
		return no
	}},
}

// matches holds an interface against a selector. Whose parent it is, is not
// its own: the peer of a veth is elsewhere, so that only a macvlan has one.
func (s selection) matches(w world, l life) answer {
	if s.key == "parent" {
		return answerTo(l.place == above && strings.HasPrefix(w.lives[left].name, "eth"))
	}
	return s.match(l)
}

// subnetOf and hostOf are a subnet, and an address in it of what is at a place.
func subnetOf(f fam, n int) string {
	if f == fam4 {
		return fmt.Sprintf("10.%d.0.0/24", n)
	}
	return fmt.Sprintf("2001:db8:%d::/64", n)
}

func hostOf(f fam, n int, p place) string {
	if f == fam4 {
		return fmt.Sprintf("10.%d.0.%d/24", n, p+2)
	}
	return fmt.Sprintf("2001:db8:%d::%d/64", n, p+2)
}

// aWish is a membership of the chaos.
type aWish struct {
	name      string
	channels  []int // of wishedChannels
	where     selection
	all       bool   // attach: all
	ambiguous string // of attach: one
	policy    string // match, same, never
	same      string // mac, name or subnet
	leaves    bool   // on_change: leave
	require   string // up, carrier, address, or empty for nothing
	persists  bool   // over the end of the daemon
}

// drawWish draws anything that the chaos may wish for. An address is required
// only of IPv4: IPv6's own link-local one comes in its own time.
func drawWish(r *rand.Rand, name string) aWish {
	w := aWish{
		name:      name,
		where:     pick(r, selections),
		all:       r.IntN(3) == 0,
		ambiguous: pick(r, []string{"hold", "oldest", "newest"}),
		policy:    pick(r, []string{"match", "match", "same", "same", "same", "never"}),
		leaves:    r.IntN(2) == 0,
		require:   pick(r, []string{"up", "up", "up", "", "carrier", "address"}),
		persists:  r.IntN(4) > 0,
	}
	if w.policy == "same" {
		w.same = pick(r, []string{"mac", "name", "subnet"})
	}
	families := [][]int{{0, 1}, {2, 3}, {0, 1, 2, 3}}
	if w.require == "address" {
		families = families[:1]
	}
	w.channels = drawChannels(r, pick(r, families))
	return w
}

// drawChannels draws at least one channel of each family that there is.
func drawChannels(r *rand.Rand, from []int) []int {
	var channels []int
	for _, pair := range [][]int{{0, 1}, {2, 3}} {
		if !slices.Contains(from, pair[0]) {
			continue
		}
		switch r.IntN(3) {
		case 0:
			channels = append(channels, pair[0])
		case 1:
			channels = append(channels, pair[1])
		default:
			channels = append(channels, pair...)
		}
	}
	return channels
}

// others draws the same families anew.
func (w aWish) others(r *rand.Rand) []int {
	var from []int
	for c := range wishedChannels {
		if w.channelsOf(famOf(c)) > 0 {
			from = append(from, c)
		}
	}
	return drawChannels(r, from)
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// channelsOf counts the channels of a family.
func (w aWish) channelsOf(f fam) int {
	n := 0
	for _, c := range w.channels {
		if famOf(c) == f {
			n++
		}
	}
	return n
}

// keep is for how long the daemon is told to keep it.
func (w aWish) keep() control.Keep {
	if w.persists {
		return control.KeepOver
	}
	return control.KeepUntilExit
}

// entry is the wish as it stands in the file, in JSON.
func (w aWish) entry() []byte {
	channels := make([]string, len(w.channels))
	for i, c := range w.channels {
		channels[i] = wishedChannels[c].String()
	}
	m := map[string]any{
		"channels":  channels,
		"interface": map[string]any{w.where.key: w.where.values},
		"attach":    map[bool]string{true: "all", false: "one"}[w.all],
		"ambiguous": w.ambiguous,
		"on_change": map[bool]string{true: "leave", false: "keep"}[w.leaves],
		"require":   []string{},
		"reattach":  map[string]any{"policy": w.policy},
	}
	if w.require != "" {
		m["require"] = []string{w.require}
	}
	if w.policy == "same" {
		m["reattach"] = map[string]any{"policy": w.policy, "same": []string{w.same}}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and lists of them
	}
	return b
}

func (w aWish) String() string { return w.name + " " + string(w.entry()) }
