package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/handover"
	"github.com/ssmd-project/ssmd/internal/service"
	"github.com/ssmd-project/ssmd/internal/web"
	"github.com/ssmd-project/ssmd/membership"
)

// handoverPatience bounds how long another process may take for its part: the
// manager stands still meanwhile.
const handoverPatience = 10 * time.Second

// succession is how what is joined outlives the process: a successor takes it
// over, or the service manager keeps it for the next start.
type succession struct {
	manager  *membership.Manager
	notifier *service.Notifier
	listener *control.Listener
	handoff  *control.Listener // nil for none
	http     *web.Listener
	log      *slog.Logger

	giving atomic.Int64 // how often at the moment

	mu        sync.Mutex
	successor *net.UnixConn // open until this process has nothing left that the other one needs
	gone      string        // to whom, in the words of the log; empty: nothing was handed over
}

// isKept reports whether the service manager keeps anything for the next start.
func (s *succession) isKept() bool { return s.notifier != nil && service.StoreSize() > 0 }

// isGiving reports whether the manager stands still for another process.
func (s *succession) isGiving() bool { return s.giving.Load() > 0 }

// bequeath has the service manager keep what is joined, and reports whether it
// does: then the manager has ended.
func (s *succession) bequeath(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, handoverPatience)
	defer cancel()
	s.giving.Add(1)
	defer s.giving.Add(-1)
	err := s.manager.HandOver(ctx, func(h membership.Handover) error {
		if need, room := handover.Need(h), service.StoreSize(); need > room {
			s.log.Warn("the service manager has too little room for what is joined: the rest is left, and joined again", "room", room, "want", need, "setting", "FileDescriptorStoreMax")
		}
		return handover.Store(ctx, s.notifier, h)
	})
	if errors.Is(err, membership.ErrStopped) {
		return false
	}
	if err != nil {
		s.log.Warn("nothing is kept for the next start", "error", err)
		return false
	}
	s.went("kept by the service manager for the next start", nil)
	return true
}

// yield hands everything to a successor, or goes on as before. It reports whether
// the daemon ends.
func (s *succession) yield(ctx context.Context, successor *net.UnixConn) bool {
	ctx, cancel := context.WithTimeout(ctx, handoverPatience)
	defer cancel()
	s.giving.Add(1)
	defer s.giving.Add(-1)
	_ = successor.SetDeadline(time.Now().Add(handoverPatience)) // its errors are those of what follows
	err := s.manager.HandOver(ctx, func(h membership.Handover) error {
		listeners, err := s.listeners()
		p := handover.Parcel{Handover: h, Listeners: listeners}
		defer p.CloseListeners()
		if err != nil {
			return err
		}
		if err := handover.Send(successor, p); err != nil {
			return err
		}
		s.listener.Abandon()
		if s.handoff != nil {
			s.handoff.Abandon()
		}
		return nil
	})
	if errors.Is(err, membership.ErrStopped) {
		_ = successor.Close() // which comes again, to find somebody else or nobody
		return true
	}
	if err != nil {
		s.log.Warn("not handed over: going on as before", "error", err)
		_ = successor.Close()
		return false
	}
	s.went("handed over to another ssmd", successor)
	if err := handover.Given(successor); err != nil {
		s.log.Warn("whoever took over has ended: the kernel leaves the groups", "error", err)
	}
	return true
}

// The names of what goes with the sockets.
const (
	controlFiles = "control"
	handoffFiles = "handoff"
	httpFile     = "http"
)

// listeners returns duplicates, also with an error.
func (s *succession) listeners() (all []handover.Listener, err error) {
	files, err := s.listener.Files()
	for _, f := range files {
		all = append(all, handover.Listener{Name: controlFiles, File: f})
	}
	if err == nil && s.handoff != nil {
		files, err = s.handoff.Files()
		for _, f := range files {
			all = append(all, handover.Listener{Name: handoffFiles, Address: s.handoff.Addr().String(), File: f})
		}
	}
	if err != nil || s.http == nil {
		return all, err
	}
	f, err := s.http.File()
	if err != nil {
		return all, err
	}
	return append(all, handover.Listener{Name: httpFile, Address: s.http.Configured(), File: f}), nil
}

func (s *succession) went(how string, successor *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone, s.successor = how, successor
}

// end says how it ended, and lets the successor go on: the state is saved, and
// its directory free.
func (s *succession) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == "" {
		said := "ended: every group is left"
		if s.handoff != nil {
			said += ", but on sockets that were handed over"
		}
		s.log.Info(said)
		return
	}
	s.log.Info("ended: what is joined stays so, " + s.gone)
	if s.successor != nil {
		_ = s.successor.Close()
	}
}
