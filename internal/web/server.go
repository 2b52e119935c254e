package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"github.com/ssmd-project/ssmd/internal/httpserve"
)

// Options configure a Server. All but Page are needed.
type Options struct {
	// Metrics answers GET /metrics.
	Metrics http.Handler
	// Alive returns nil where the manager answers before ctx ends.
	Alive func(ctx context.Context) error
	// Ready returns why the daemon does not hold yet, or no longer, what it
	// is there to hold; nil where it does.
	Ready func() error
	// Page answers for the status page, and says what browsers may do with
	// it; nil: there is none.
	Page http.Handler
	// Logger gets what goes wrong with a connection.
	Logger *slog.Logger
}

// limits bound what clients can cost.
type limits struct {
	connections int           // open at a time; more wait to be accepted
	header      int           // bytes of a request's header
	read        time.Duration // for a whole request to arrive
	write       time.Duration // for the answer to be made and taken
	idle        time.Duration // between two requests
	grace       time.Duration // for answers under way at the end
	alive       time.Duration // for the manager's answer to count as alive
}

var defaultLimits = limits{
	connections: 64,
	header:      8 << 10,
	read:        5 * time.Second, // over a network
	write:       30 * time.Second,
	idle:        2 * time.Minute, // between two scrapes
	grace:       time.Second,
	alive:       time.Second,
}

// Server tells metrics and health.
type Server struct {
	options Options
	limits  limits
}

// NewServer returns a server. It starts nothing: Serve does.
func NewServer(o Options) *Server { return &Server{o, defaultLimits} }

// Serve answers on l until ctx is cancelled, and returns nil then. It closes l
// in any case, and leaves no goroutine behind. On a loopback address it answers
// nobody who asks for a foreign host.
func (s *Server) Serve(ctx context.Context, l *Listener) error {
	handler := s.handler()
	if l.isLoopback() {
		handler = refuseForeign(l.host, handler)
	}
	return httpserve.Until(ctx, netutil.LimitListener(l, s.limits.connections), httpserve.Options{
		Name: "http.listen", Handler: handler, Logger: s.options.Logger,
		Header: s.limits.header,
		Read:   s.limits.read, Write: s.limits.write, Idle: s.limits.idle, Grace: s.limits.grace,
	})
}
