package membership

import (
	"sync"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// hints gathers the groups that interfaces may have lost, until the owner takes
// them.
type hints struct {
	given chan struct{} // receives when there may be some

	mu     sync.Mutex
	groups []ifwatch.GroupKey
	others bool // that nobody knows
}

// mostHints bounds what is gathered: of more nobody asks which.
const mostHints = 256

func newHints() *hints { return &hints{given: make(chan struct{}, 1)} }

// add is for the goroutine that hears of losses: groups, or nil for some that are
// not known.
func (h *hints) add(groups []ifwatch.GroupKey) {
	h.mu.Lock()
	h.groups = append(h.groups, groups...)
	h.others = h.others || groups == nil || len(h.groups) > mostHints
	if h.others {
		h.groups = nil
	}
	h.mu.Unlock()
	select {
	case h.given <- struct{}{}:
	default:
	}
}

// take returns what was gathered, nil where not all of it is known.
func (h *hints) take() []ifwatch.GroupKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	groups, others := h.groups, h.others
	h.groups, h.others = nil, false
	if others {
		return nil
	}
	return append([]ifwatch.GroupKey{}, groups...)
}
