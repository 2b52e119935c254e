package membership

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// mostPastLives is how many lives that have ended are told of, in each network
// namespace.
const mostPastLives = 512

// InterfaceLife is one life of an interface that some membership's selector did
// not reject while it lasted, in the form of the control API.
type InterfaceLife struct {
	Instance  ifwatch.ID `json:"instance"`
	Interface string     `json:"interface"` // its last name
	Index     int        `json:"ifindex"`
	Netns     string     `json:"netns"` // empty: the manager's own
	Kind      string     `json:"kind"`
	MAC       string     `json:"mac"`
	Began     time.Time  `json:"began"`  // when the manager read of it first
	Before    bool       `json:"before"` // it had begun before the manager looked first
	Ended     *time.Time `json:"ended"`  // null: it lasts
}

// Lives returns the lives that last, and the last 512 of those that have ended
// in each network namespace, from the oldest to the newest. A life too short for
// the manager to be told of it is not among them.
func (m *Manager) Lives(ctx context.Context) ([]InterfaceLife, error) {
	var all []InterfaceLife
	err := m.each(ctx, func(k *keeper) { all = append(all, k.lives()...) })
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b InterfaceLife) int { return a.Began.Compare(b.Began) })
	return all, nil
}

// lives returns those that have ended, and those that last.
func (k *keeper) lives() []InterfaceLife {
	all := slices.Clone(k.past)
	for _, i := range k.instances {
		if i.wasNear {
			all = append(all, k.interfaceLife(i, i.now))
		}
	}
	slices.SortFunc(all, func(a, b InterfaceLife) int {
		return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Instance, b.Instance))
	})
	return all
}

// interfaceLife tells of an instance as it is, or was while it was healthy.
func (k *keeper) interfaceLife(i *instance, as ifwatch.Interface) InterfaceLife {
	return InterfaceLife{
		Instance: as.ID, Interface: as.Name, Index: as.Index, Netns: k.netns, Kind: as.Kind, MAC: as.MAC,
		Began: i.began, Before: i.before,
	}
}

// lifeEnded keeps what is told of a life that some rule came near.
func (k *keeper) lifeEnded(i *instance, healthy ifwatch.Interface, now time.Time) {
	if !i.wasNear {
		return
	}
	life := k.interfaceLife(i, healthy)
	life.Ended = &now
	k.past = append(k.past, life)
	if over := len(k.past) - mostPastLives; over > 0 {
		k.past = slices.Delete(k.past, 0, over)
	}
}
