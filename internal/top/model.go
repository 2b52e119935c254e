package top

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

// order is what the list is sorted by.
type order int

const (
	byState order = iota // the worst first
	byName
	byChange // the latest first
	byReattaches
	orders // how many there are
)

func (o order) String() string {
	return [...]string{"state", "name", "last change", "reattachments"}[o]
}

// worst puts states in the order in which they want to be seen.
var worst = []membership.State{
	membership.StateDegraded, membership.StateHeld, membership.StateDetached, membership.StateEnded,
	membership.StateWaiting, membership.StateSettling, membership.StateJoined,
}

const mostEvents = 50

// model is all that is known and chosen.
type model struct {
	all    []control.Status
	events []membership.Event // the newest last
	lost   error              // why the daemon is not heard, nil while it is
	since  time.Time          // it is lost

	order     order
	filter    string
	filtering bool   // keys go to the filter
	selected  string // a name
	first     int    // line of the list that is at the top
	height    int    // lines of the list, as it was drawn last
}

// listed returns what passes the filter, sorted.
func (m *model) listed() []control.Status {
	words := strings.Fields(strings.ToLower(m.filter))
	var list []control.Status
	for _, s := range m.all {
		text := strings.ToLower(strings.Join([]string{s.Name, string(s.State), s.AttachedTo(), s.Monitor.Brief(), s.Reason}, " "))
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b control.Status) int {
		by := 0
		switch m.order {
		case byState:
			by = cmp.Compare(slices.Index(worst, a.State), slices.Index(worst, b.State))
		case byChange:
			by = b.Since.Compare(a.Since)
		case byReattaches:
			by = cmp.Compare(b.Counters.Reattaches, a.Counters.Reattaches)
		}
		return cmp.Or(by, strings.Compare(a.Name, b.Name))
	})
	return list
}

// place returns where the selected membership is in a list, or the first.
func (m *model) place(list []control.Status) int {
	return max(0, slices.IndexFunc(list, func(s control.Status) bool { return s.Name == m.selected }))
}

// move selects what is so many lines further on, as far as there is any.
func (m *model) move(by int) {
	list := m.listed()
	if len(list) == 0 {
		return
	}
	at := m.place(list)
	if m.selected == "" && by > 0 {
		by-- // the first is the next
	}
	m.selected = list[min(max(at+by, 0), len(list)-1)].Name
}

// press takes a key, and reports whether it is the last.
func (m *model) press(k key) (quit bool) {
	if m.filtering {
		m.pressFilter(k)
		return k.name == interrupt
	}
	const far = 1 << 30
	switch k {
	case key{name: interrupt}, key{text: "q"}:
		return true
	case key{text: "j"}, key{name: down}:
		m.move(1)
	case key{text: "k"}, key{name: up}:
		m.move(-1)
	case key{name: pageDown}, key{text: " "}:
		m.move(max(1, m.height-1))
	case key{name: pageUp}:
		m.move(-max(1, m.height-1))
	case key{name: home}, key{text: "g"}:
		m.move(-far)
	case key{name: end}, key{text: "G"}:
		m.move(far)
	case key{text: "s"}:
		m.order = (m.order + 1) % orders
	case key{text: "/"}:
		m.filtering = true
	case key{name: escape}:
		m.filter = ""
	}
	return false
}

func (m *model) pressFilter(k key) {
	switch k.name {
	case enter, down:
		m.filtering = false
	case escape:
		m.filtering, m.filter = false, ""
	case backspace:
		runes := []rune(m.filter)
		m.filter = string(runes[:max(0, len(runes)-1)])
	case "":
		m.filter += k.text
	}
}

// note takes an event.
func (m *model) note(e membership.Event) {
	m.events = append(m.events, e)
	m.events = m.events[max(0, len(m.events)-mostEvents):]
}

// lose notes that the daemon is not heard, nil: that it is.
func (m *model) lose(err error, now time.Time) {
	if err != nil && m.lost == nil {
		m.since = now
	}
	m.lost = err
}
