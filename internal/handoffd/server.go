package handoffd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/internal/mailbox"
	"github.com/ssmd-project/ssmd/internal/pause"
	"github.com/ssmd-project/ssmd/membership"
)

// ErrNameInUse is wrapped by the errors of a Keeper for a name that something
// else has.
var ErrNameInUse = errors.New("name in use")

// Keeper keeps memberships on sockets. Its methods are called concurrently.
type Keeper interface {
	// Add adds a membership under a name that nobody has; otherwise the error
	// wraps ErrNameInUse. why says whose it is, as "was handed over by
	// process 12". Where somebody else ends it, lost is told how, and which
	// event is the last of those until then: it does not wait.
	Add(ctx context.Context, m membership.Membership, why string, lost func(note string, last uint64)) (Kept, error)
	// StatusOf returns how a membership stands.
	StatusOf(ctx context.Context, name string) (membership.Status, error)
}

// Kept is a membership that was added.
type Kept interface {
	// Since returns the number of the last event before it was added: those
	// of its name up to there are somebody else's.
	Since() uint64
	// Put replaces it by one of the same name.
	Put(ctx context.Context, m membership.Membership) error
	// Remove removes it, unless it is gone already.
	Remove(ctx context.Context) error
}

// Subscription is what the server needs of a membership.Subscription.
type Subscription interface {
	Next(ctx context.Context) (membership.Event, error)
	Close()
}

// Options configure a Server. All but Access and Logger are needed.
type Options struct {
	Keeper Keeper
	// Parse reads a membership as it stands in the configuration file; this
	// is its name where it says none. A bad one is a control.InvalidError.
	Parse func(name string, entry []byte) (membership.Membership, error)
	// Subscribe returns the manager's events from now on, and the number of
	// the last one before them.
	Subscribe func() (Subscription, uint64)
	// Access says who may hand over. Zero: root and the process's own user.
	Access control.Access
	// Limit is how many sockets may be handed over at a time.
	Limit int
	// Logger gets what begins, ends and goes wrong; nil discards it.
	Logger *slog.Logger
}

// limits bound what clients can cost.
type limits struct {
	first   time.Duration // for the first request to arrive
	answer  time.Duration // for the manager's answer
	write   time.Duration // for a message to be taken
	grace   time.Duration // for the last message to be taken
	refused int64         // clients at a time that are told why they are not let in
	pace    time.Duration // between two requests of one client
	quiet   time.Duration // between two lines of the log about refusals
}

var defaultLimits = limits{
	first: 5 * time.Second, answer: 5 * time.Second, write: time.Minute, grace: time.Second,
	refused: 16, pace: 20 * time.Millisecond, quiet: time.Second,
}

// Server keeps joined what applications hand over.
type Server struct {
	options Options
	limits  limits
	telling *semaphore.Weighted // of refusals
	told    atomic.Int64        // when a refusal was logged last

	sessions sync.WaitGroup
	now      atomic.Int64
	total    atomic.Uint64
	refused  atomic.Uint64

	mu         sync.Mutex
	routes     map[string]*session // where events go, by the names of memberships
	dispatched uint64              // number of the last event that went there
	leaving    map[*session]notice // what is told after a last event
}

// NewServer returns a server. It starts nothing: Serve does.
func NewServer(o Options) *Server { return newServer(o, defaultLimits) }

func newServer(o Options, l limits) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		options: o, limits: l,
		telling: semaphore.NewWeighted(l.refused),
		routes:  make(map[string]*session),
		leaving: make(map[*session]notice),
	}
}

// Totals are a server's numbers. What counts never falls.
type Totals struct {
	Now     int    // sockets that are handed over
	Total   uint64 // sockets that were, those that are among them
	Refused uint64 // connections that brought none that was taken
}

// Totals returns the server's numbers.
func (s *Server) Totals() Totals {
	return Totals{Now: int(s.now.Load()), Total: s.total.Load(), Refused: s.refused.Load()}
}

// Serve serves clients of l until ctx is cancelled, and returns nil then. It
// closes l in any case, and leaves neither a goroutine nor a descriptor behind.
// What it kept it leaves to the manager, which has ended before ctx does.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer s.sessions.Wait()
	defer cancel()
	events, before := s.options.Subscribe()
	defer events.Close()
	s.dispatched = before
	parts.Go(func() { s.dispatch(ctx, events) })
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()

	door := control.NewDoor(l, control.DoorOptions{
		Access: s.options.Access, Most: s.options.Limit, What: "sockets that are handed over", Logger: s.options.Logger,
	})
	wait := pause.Doubling{First: 5 * time.Millisecond, Most: time.Second}
	for {
		v, err := door.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = v.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			s.options.Logger.Warn("accept a hand-over", "error", err)
			wait.Next(ctx)
		default:
			wait.Reset()
			s.sessions.Go(func() { s.receive(ctx, v) })
		}
	}
}

// receive serves one connection, and closes it.
func (s *Server) receive(ctx context.Context, v *control.Visitor) {
	defer v.Close()
	one := &session{Server: s, conn: v, box: mailbox.New(), process: commandOf(v.PID), ending: make(chan struct{}), gone: make(chan struct{})}
	if v.Refused != nil {
		one.refuse(v.Refused)
		return
	}
	stop := context.AfterFunc(ctx, func() {
		one.finish(handoff.CauseShutdown, "the daemon ends; what is joined stays joined: connect again")
	})
	defer stop()
	one.serve(ctx)
}
