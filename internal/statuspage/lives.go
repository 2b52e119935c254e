package statuspage

import (
	"fmt"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// life is what the timeline shows of an interface's life.
type life struct {
	Instance  ifwatch.ID `json:"instance"`
	Interface string     `json:"interface"`
	Index     int        `json:"ifindex"`
	Netns     string     `json:"netns,omitempty"`
	Kind      string     `json:"kind"`
	MAC       string     `json:"mac"`
	Began     int64      `json:"began"`
	Before    bool       `json:"before,omitempty"` // it had begun before the daemon looked
	Ended     int64      `json:"ended,omitempty"`
	Attached  []span     `json:"attached"` // when memberships were attached
	Now       int        `json:"now"`      // memberships attached
}

// span is a time from and until; until zero: it lasts.
type span [2]int64

// mostSpans is how many of a life's attachments are told apart: the last.
const mostSpans = 32

// place is an instance of a namespace.
type place struct {
	netns    string
	instance ifwatch.ID
}

func (p place) String() string { return fmt.Sprintf("%d/%s", p.instance, p.netns) }

// attachments counts who is attached where, by the events.
type attachments map[place]*attached

type attached struct {
	count int
	spans []span
}

func (a attachments) add(e membership.Event) {
	p := place{e.Netns, e.Instance}
	at := a[p]
	if at == nil {
		at = &attached{}
	}
	switch e.Type {
	case membership.EventAttached, membership.EventReattached:
		if at.count++; at.count == 1 {
			at.spans = append(at.spans, span{millis(e.Time), 0})
		}
	case membership.EventDetached:
		if at.count = max(0, at.count-1); at.count == 0 {
			at.end(millis(e.Time))
		}
	default:
		return
	}
	at.spans = at.spans[max(0, len(at.spans)-mostSpans):]
	a[p] = at
}

// end ends the last span. Where its beginning is not known any more there is
// one that began with the life.
func (a *attached) end(at int64) {
	if n := len(a.spans); n > 0 && a.spans[n-1][1] == 0 {
		a.spans[n-1][1] = at
		return
	}
	a.spans = append(a.spans, span{0, at})
}

// correct holds the counts against what the memberships say: events are lost
// where many come at once.
func (a attachments) correct(statuses []membership.Status, now time.Time) {
	counts, since := make(map[place]int), make(map[place]int64)
	for _, s := range statuses {
		for _, at := range s.Attachments {
			p := place{at.Netns, at.Instance}
			counts[p]++
			if was, found := since[p]; !found || millis(at.Since) < was {
				since[p] = millis(at.Since)
			}
		}
	}
	for p, at := range a {
		if at.count > 0 && counts[p] == 0 {
			at.end(millis(now))
		}
		at.count = counts[p]
	}
	for p, n := range counts {
		at := a[p]
		if at == nil {
			at = &attached{}
			a[p] = at
		}
		if last := len(at.spans) - 1; last < 0 || at.spans[last][1] != 0 {
			at.spans = append(at.spans, span{since[p], 0})
		}
		at.count = n
	}
}

// tell gives the lives to a table, and forgets what is told no more.
func (a attachments) tell(t *table, lives []membership.InterfaceLife) {
	told, places := make(map[string]struct{}, len(lives)), make(map[place]struct{}, len(lives))
	for _, l := range lives {
		p := place{l.Netns, l.Instance}
		one := life{
			Instance: l.Instance, Interface: l.Interface, Index: l.Index, Netns: l.Netns, Kind: l.Kind, MAC: l.MAC,
			Began: millis(l.Began), Before: l.Before, Attached: []span{},
		}
		if l.Ended != nil {
			one.Ended = millis(*l.Ended)
		}
		if at := a[p]; at != nil {
			one.Attached, one.Now = at.spans, at.count
		}
		t.set(key{kindLife, p.String()}, one)
		told[p.String()], places[p] = struct{}{}, struct{}{}
	}
	t.keep(kindLife, told)
	for p := range a {
		if _, found := places[p]; !found {
			delete(a, p)
		}
	}
}
