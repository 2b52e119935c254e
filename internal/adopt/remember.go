package adopt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"
)

// Kept is what a later Adopter needs to go on with an adoption, also after a
// restart of the machine. Its JSON is made to be stored.
type Kept struct {
	ID string `json:"id"`
	Selection
	Life                    // of the process that is given by its number
	Rules   json.RawMessage `json:"rules,omitempty"`
	Since   time.Time       `json:"since"`
	Boot    string          `json:"boot"`              // of the machine; in another one the rest is over
	Sockets []KeptSocket    `json:"sockets,omitempty"` // sorted by cookie
}

// KeptSocket is what nobody can ask a socket for.
type KeptSocket struct {
	Cookie uint64      `json:"cookie"`
	Places []KeptPlace `json:"places,omitempty"` // where it was a member when it was last looked at
	Lost   []string    `json:"lost,omitempty"`   // interfaces whose membership somebody removed by its name; "" for any
}

// KeptPlace is a group on the index of an interface, and what that was called.
type KeptPlace struct {
	Group     netip.Addr `json:"group"`
	Index     int        `json:"index"`
	Interface string     `json:"interface"`
}

// Kept returns what to go on with: before Restore what New was given, and after
// Run as it was then. It does not wait, and nobody changes what it returns.
func (a *Adopter) Kept() []Kept { return *a.kept.Load() }

// Changed returns a channel that receives when Kept may return something else.
func (a *Adopter) Changed() <-chan struct{} { return a.changed }

// note is for the end of whatever changes adoptions: it makes known what others
// ask for without waiting. The lock is held.
func (a *Adopter) note() {
	if a.ended || a.waits {
		return
	}
	names, kept := make(map[string]bool), []Kept{}
	for _, id := range a.ids() {
		one := a.adoptions[id]
		for _, name := range one.names() {
			names[name] = true
		}
		kept = append(kept, one.kept())
	}
	a.names.Store(&names)
	if slices.EqualFunc(kept, a.Kept(), Kept.equal) {
		return
	}
	a.kept.Store(&kept)
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func (k Kept) equal(o Kept) bool {
	return k.ID == o.ID && k.Selection == o.Selection && k.Boot == o.Boot && k.Life == o.Life && bytes.Equal(k.Rules, o.Rules) &&
		slices.EqualFunc(k.Sockets, o.Sockets, func(a, b KeptSocket) bool {
			return a.Cookie == b.Cookie && slices.Equal(a.Places, b.Places) && slices.Equal(a.Lost, b.Lost)
		})
}

// kept is the adoption as it is now.
func (a *adoption) kept() Kept {
	k := Kept{ID: a.id, Selection: a.Selection, Life: a.life, Rules: a.rules, Since: a.since, Boot: bootID()}
	sockets := make(map[uint64]KeptSocket)
	maps.Copy(sockets, a.recalled) // what could not be looked at yet
	for _, f := range a.followed {
		for cookie, places := range f.seen {
			if len(places) > 0 {
				sockets[cookie] = KeptSocket{Cookie: cookie, Places: keptPlaces(places)}
			}
		}
	}
	for cookie, s := range a.sockets {
		one := sockets[cookie]
		one.Cookie = cookie
		for key, w := range s.wishes {
			if w.lost {
				one.Lost = append(one.Lost, key)
			}
		}
		slices.Sort(one.Lost)
		sockets[cookie] = one
	}
	for _, cookie := range slices.Sorted(maps.Keys(sockets)) {
		k.Sockets = append(k.Sockets, sockets[cookie])
	}
	return k
}

func keptPlaces(places map[place]string) []KeptPlace {
	all := make([]KeptPlace, 0, len(places))
	for p, name := range places {
		all = append(all, KeptPlace{p.group, p.index, name})
	}
	slices.SortFunc(all, func(a, b KeptPlace) int { return cmp.Or(a.Group.Compare(b.Group), cmp.Compare(a.Index, b.Index)) })
	return all
}

// Restore goes on with what an earlier Adopter kept, and looks at it once. A
// process that was given by its number is adopted again only if it is the same
// one. It is to be called once.
func (a *Adopter) Restore(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return
	}
	a.waits = false
	for _, k := range a.Kept() {
		one := a.recall(k)
		if number, err := strconv.Atoi(k.ID); err == nil {
			a.last = max(a.last, number)
		}
		if one == nil {
			continue
		}
		a.adds(one)
		switch err := one.look(ctx); {
		case one.PID != 0 && errors.Is(err, ErrEnded):
			a.log.Info("a process that was adopted has ended meanwhile", "adoption", k.ID, "pid", k.PID)
			a.end(ctx, one)
		case err != nil:
			a.log.Warn("cannot look into what is adopted: trying again", "adoption", k.ID, "selection", one.String(), "error", err)
		default:
			a.log.Info("adopted again", "adoption", k.ID, "selection", one.String(), "memberships", len(one.names()))
		}
	}
	a.note()
}

// recall returns an adoption that was kept, nil where it is over.
func (a *Adopter) recall(k Kept) *adoption {
	same := k.Boot == bootID()
	if k.Validate() != nil || k.PID != 0 && (!same || k.Born == 0) || k.ID == "" {
		return nil
	}
	one := a.newAdoption(k.ID, k.Selection, k.Rules)
	one.since, one.life = k.Since, k.Life
	if same {
		one.recalled = make(map[uint64]KeptSocket, len(k.Sockets))
		for _, s := range k.Sockets {
			one.recalled[s.Cookie] = s
		}
	}
	return one
}

// placesOf returns what is remembered of the places of sockets.
func placesOf(sockets map[uint64]KeptSocket) map[uint64]map[place]string {
	all := make(map[uint64]map[place]string, len(sockets))
	for cookie, s := range sockets {
		all[cookie] = make(map[place]string, len(s.Places))
		for _, p := range s.Places {
			all[cookie][place{p.Group, p.Index}] = p.Interface
		}
	}
	return all
}

// bootID tells one run of the machine from the next.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // empty where there is none: then a restart of the machine is not seen
	return string(bytes.TrimSpace(id))
}
