package adopt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

// Adoption is a selection of processes whose memberships are kept alive, as the
// control API shows it.
type Adoption struct {
	ID string `json:"id"`
	Selection
	Since       time.Time       `json:"since"`
	Processes   []ProcessStatus `json:"processes"`   // that are meant now, by number
	Memberships []string        `json:"memberships"` // names, sorted
	LeftOut     []string        `json:"left_out"`    // what is not kept, and why
}

// ProcessStatus is one process of an adoption.
type ProcessStatus struct {
	PID   int    `json:"pid"`
	Name  string `json:"name"`
	Error string `json:"error,omitempty"` // why nothing of it is seen
}

// ErrNotFound is wrapped where there is no adoption of an ID, ErrNameInUse where
// somebody else has a membership's name, and ErrTooMany where there are more
// adoptions than a daemon takes.
var (
	ErrNotFound  = errors.New("no such adoption")
	ErrNameInUse = errors.New("name in use")
	ErrTooMany   = errors.New("too many adoptions, want at most 64")
)

// Keeper keeps memberships joined.
type Keeper interface {
	// Make returns the membership of channels with the rules of an entry of
	// the file, from which name and channels are missing. iface is the name of
	// the interface where the rules say nothing of one.
	Make(name string, rules []byte, iface string, channels []membership.Channel) (membership.Membership, error)
	// Lend keeps a membership until the lease ends. Where it ends otherwise,
	// lost is told, which does not wait. The error wraps ErrNameInUse where
	// the name is somebody's.
	Lend(ctx context.Context, m membership.Membership, why string, lost func(note string)) (Lease, error)
	// AttachedTo returns the indexes of the interfaces that a membership is
	// attached to.
	AttachedTo(ctx context.Context, name string) []int
	// Pending returns the channels of a membership that are not joined where
	// it is attached, and that the socket's program has not left: they are
	// going to be joined.
	Pending(ctx context.Context, name string) []membership.Channel
}

// PendingIn returns what Keeper.Pending does, of what a manager says of the
// membership.
func PendingIn(e membership.Explanation) (channels []membership.Channel) {
	for _, c := range e.Channels {
		if c.Interface != "" && !c.Joined && !strings.Contains(c.Error, membership.ErrOwnerLeft.Error()) {
			channels = append(channels, c.Channel)
		}
	}
	return channels
}

// Lease is a membership that is kept.
type Lease interface {
	// Put replaces the membership.
	Put(ctx context.Context, m membership.Membership) error
	// End removes the membership, and leaves what is joined.
	End(ctx context.Context) error
}

// The bounds of what others can cost.
const (
	mostAdoptions = 64
	mostProcesses = 256  // of an adoption
	mostSockets   = 4096 // with memberships, of an adoption
)

// The pauses between two looks at everything. Nothing tells of a second source,
// nor of a socket that was opened.
const (
	leastPause = time.Second
	hintPause  = 20 * time.Millisecond
	hintShare  = 10  // of the time, where something hints at a change
	lookShare  = 100 // of the time, one part
)

// nameFor makes a name of the process, its number and the descriptor.
func nameFor(now *seen) string {
	return fmt.Sprintf("%s-%d-%d", cleaned(now.process.name), now.process.process.PID, now.FD)
}

// cleaned replaces what cannot be in a name.
func cleaned(words string) string {
	return strings.Map(func(r rune) rune {
		if membership.ValidateName("x"+string(r)) != nil {
			return '-'
		}
		return r
	}, words)
}
