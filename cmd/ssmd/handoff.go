package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/handoffd"
	"github.com/ssmd-project/ssmd/membership"
)

// lender keeps what is handed over among the memberships that outlive reloads.
type lender struct{ editor *editor }

// Add implements handoffd.Keeper.
func (l lender) Add(ctx context.Context, m membership.Membership, why string, lost func(note string, last uint64)) (handoffd.Kept, error) {
	lent, err := l.editor.lend(ctx, m, why, lost)
	if errors.Is(err, errNameInUse) {
		err = fmt.Errorf("membership %q: %w, want another, or none", m.Name, handoffd.ErrNameInUse)
	}
	if err != nil {
		return nil, err
	}
	return lent, nil
}

// StatusOf implements handoffd.Keeper.
func (l lender) StatusOf(ctx context.Context, name string) (membership.Status, error) {
	return l.editor.manager.StatusOf(ctx, name)
}

// Since implements handoffd.Kept.
func (l *lease) Since() uint64 { return l.since }

// Put implements handoffd.Kept.
func (l *lease) Put(ctx context.Context, m membership.Membership) error { return l.put(ctx, m) }

// Remove implements handoffd.Kept.
func (l *lease) Remove(ctx context.Context) error { return l.end(ctx) }

// newHandoffServer returns the server of applications' sockets.
func (w *worker) newHandoffServer() *handoffd.Server {
	return handoffd.NewServer(handoffd.Options{
		Keeper:    lender{w.editor},
		Parse:     parseNamed,
		Subscribe: w.eventsFromNowOn,
		Access:    w.handoffAccess,
		Limit:     w.config.Handoff.Limit,
		Logger:    w.log,
	})
}

// eventsFromNowOn returns the manager's events, and the number of the last one
// before them.
func (w *worker) eventsFromNowOn() (handoffd.Subscription, uint64) {
	last := w.manager.LastEvent()
	events, err := w.manager.SubscribeSince(membership.Since{Seq: last})
	if err != nil {
		return w.manager.Subscribe(), last // it cannot be: the last one has happened
	}
	return events, last
}

// serveHandoffs serves applications until ctx is cancelled, where there is a
// socket for them.
func (w *worker) serveHandoffs(ctx context.Context) error {
	if w.handoff == nil {
		return nil
	}
	return w.handoffs.Serve(ctx, w.handoff)
}

// listenHandoff listens for applications, on what the service manager passed
// where it did. It returns nil where nobody is to listen.
func (d *daemon) listenHandoff() (*control.Listener, error) {
	c := d.config.Handoff
	if c.Socket == "" {
		return nil, nil
	}
	if socket := d.passed.Take(control.Handoff.Network(), c.Socket); socket != nil {
		return control.Handoff.Activated(socket), nil
	}
	return control.Handoff.Listen(c.Socket, d.handoffAccess.Mode(), c.Group)
}
