// Package httpserve answers HTTP within bounds, and ends without leaving anything
// behind.
package httpserve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options say what is answered, and bound what clients can cost. All but
// Introduce are needed. How many connections there are is the listener's
// business.
type Options struct {
	Name    string // of what listens, in errors and in the log
	Handler http.Handler
	Logger  *slog.Logger // gets what goes wrong with a connection
	// Introduce returns the context of a connection's requests.
	Introduce func(context.Context, net.Conn) context.Context

	Header int           // bytes of a request's header
	Read   time.Duration // for a whole request to arrive
	Write  time.Duration // for the answer to be taken
	Idle   time.Duration // between two requests
	Grace  time.Duration // for answers under way at the end
}

// headerSlack is what net/http reads beyond the bound that it is given.
const headerSlack = 4096

// Until answers on l until ctx is cancelled, and returns nil then. It closes l
// in any case, and leaves no goroutine behind. Answers that are under way at the
// end have the time of grace to be completed; then the contexts of their
// requests are cancelled.
func Until(ctx context.Context, l net.Listener, o Options) error {
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	var connections sync.WaitGroup
	server := &http.Server{
		Handler: o.Handler,

		DisableGeneralOptionsHandler: true, // the handler answers every request
		ReadHeaderTimeout:            o.Read,
		ReadTimeout:                  o.Read,
		WriteTimeout:                 o.Write,
		IdleTimeout:                  o.Idle,
		MaxHeaderBytes:               o.Header - headerSlack,
		ErrorLog:                     slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
		BaseContext:                  func(net.Listener) context.Context { return requests },
		ConnContext:                  o.Introduce,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				connections.Add(1)
			case http.StateClosed, http.StateHijacked: // whoever took it closes it
				connections.Done()
			}
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()

	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serve %s: %w", o.Name, err)
	case <-ctx.Done():
		finish(ctx, server, o)
		<-failed
	}
	endRequests()
	_ = server.Close() // only connections are left to close
	connections.Wait()
	return err
}

// finish closes the listener and lets answers under way be completed.
func finish(ctx context.Context, server *http.Server, o Options) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Grace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		o.Logger.Warn("close "+o.Name, "error", err)
	}
}
