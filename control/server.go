package control

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ssmd-project/ssmd/internal/httpserve"
	"github.com/ssmd-project/ssmd/membership"
)

// ServerOptions configure a Server. Manager and Subscribe are needed, the rest
// may be zero.
type ServerOptions struct {
	Manager Manager
	// Editor changes the memberships; nil refuses every change.
	Editor Editor
	// Reloader reads the configuration anew; nil refuses that.
	Reloader Reloader
	// Adopter keeps the memberships of other processes alive; nil refuses that.
	Adopter Adopter
	// Yield has the daemon hand what it holds to the process at the other end
	// of a connection, and end, or go on as before. It owns the connection,
	// and reports whether the daemon ends. Meanwhile clients wait. nil
	// refuses every successor.
	Yield func(ctx context.Context, successor *net.UnixConn) (yielded bool)
	// Subscribe returns a new subscription to the manager's events since a
	// point in the past, or from now on where that is nil. Each is closed
	// when its reader is gone.
	Subscribe func(since *membership.Since) (Subscription, error)
	// Access says who may do what. Zero: root and the process's own user
	// everything, and nobody else anything.
	Access Access
	// Info is told by GET /v1/status.
	Info Info
	// Logger gets what goes wrong with a connection; nil discards it.
	Logger *slog.Logger
}

// limits bound what clients can cost.
type limits struct {
	connections bounds        // open at a time
	streams     bounds        // readers of events among them, so that they leave room for others
	header      int           // bytes of a request's header
	read        time.Duration // for a whole request to arrive
	answer      time.Duration // for the manager's answer
	write       time.Duration // for the answer to be taken, but for events
	idle        time.Duration // between two requests
	grace       time.Duration // for answers under way when Serve is cancelled
}

var defaultLimits = limits{
	connections: bounds{all: 128, others: 112, each: 32},
	streams:     bounds{all: 96, others: 80, each: 16},
	header:      8 << 10,
	read:        time.Second, // who is here says what he wants at once
	answer:      5 * time.Second,
	write:       30 * time.Second,
	idle:        time.Second,
	grace:       time.Second,
}

// Server answers the control API.
type Server struct {
	options     ServerOptions
	limits      limits
	connections *quota
	streams     *quota
	gate        *gate          // of Serve
	yielding    sync.WaitGroup // connections of successors, which are not the listener's any more
	yields      atomic.Int64   // how many there are
}

// NewServer returns a server. It starts nothing: Serve does.
func NewServer(o ServerOptions) *Server { return newServer(o, defaultLimits) }

func newServer(o ServerOptions, l limits) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		options: o, limits: l,
		connections: newQuota("connections", l.connections),
		streams:     newQuota("readers of events", l.streams),
	}
}

// Serve answers on l until ctx is cancelled, and returns nil then. It closes l
// in any case, and leaves no goroutine behind. Answers that are under way at
// the end have a second to be completed; streams of events end by themselves
// where the manager ended before.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.yielding.Wait()
	s.gate = newGate(l, s.connections, s.options.Logger)
	return httpserve.Until(ctx, s.gate, httpserve.Options{
		Name: "the control socket", Handler: s.handler(), Introduce: introduce, Logger: s.options.Logger,
		Header: s.limits.header,
		Read:   s.limits.read, Write: s.limits.write, Idle: s.limits.idle, Grace: s.limits.grace,
	})
}
