package statuspage

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ssmd-project/ssmd/membership"
)

// fake is a manager that says what a test gives it to say.
type fake struct {
	mu       sync.Mutex
	statuses map[string]membership.Status
	lives    []membership.InterfaceLife
	asked    atomic.Int64 // for everything
	failing  error        // of Status
	events   chan membership.Event
}

func (f *fake) Status(context.Context) (all []membership.Status, _ error) {
	f.asked.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.statuses {
		all = append(all, s)
	}
	return all, f.failing
}

func (f *fake) StatusOf(_ context.Context, name string) (membership.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, found := f.statuses[name]
	if !found {
		return s, membership.ErrNotFound
	}
	return s, nil
}

func (f *fake) Explain(ctx context.Context, name string) (membership.Explanation, error) {
	s, err := f.StatusOf(ctx, name)
	x := membership.Explanation{Status: s}
	for i := range s.Channels {
		x.Channels = append(x.Channels, membership.ChannelStatus{Joined: i != 600})
	}
	return x, err
}

func (f *fake) Lives(context.Context) ([]membership.InterfaceLife, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lives, nil
}

func (f *fake) set(s membership.Status) {
	f.mu.Lock()
	f.statuses[s.Name] = s
	f.mu.Unlock()
	f.events <- membership.Event{Time: time.Now(), Type: membership.EventState, Membership: s.Name, State: s.State}
}

func (f *fake) remove(name string) {
	f.mu.Lock()
	delete(f.statuses, name)
	f.mu.Unlock()
	f.events <- membership.Event{Time: time.Now(), Type: membership.EventDetached, Membership: name}
}

// subscription gives the events of a fake, to one reader.
type subscription struct {
	events   <-chan membership.Event
	finished bool
}

func (s *subscription) Next(ctx context.Context) (membership.Event, error) {
	if s.finished {
		return membership.Event{}, io.EOF
	}
	select {
	case e, open := <-s.events:
		if !open {
			return e, io.EOF
		}
		return e, nil
	case <-ctx.Done():
		return membership.Event{}, ctx.Err()
	}
}
func (s *subscription) Finish() { s.finished = true }
func (s *subscription) Close()  {}

// show serves the board of a fake until the test ends.
func show(t *testing.T, change func(*Board)) (*fake, *Board, *httptest.Server) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	f := &fake{statuses: map[string]membership.Status{}, events: make(chan membership.Event, 64)}
	b := New(Options{
		Manager: f, Past: func() (Subscription, error) { return &subscription{events: f.events}, nil },
		Version: "1.2.3", Started: noon, Host: "status.example", Logger: slog.New(slog.DiscardHandler),
	})
	b.pause = pause{events: time.Millisecond, longest: 50 * time.Millisecond, rest: 20 * time.Millisecond, answer: time.Second}
	if change != nil {
		change(b)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	server := httptest.NewServer(b.Handler())
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		server.Close()
		goleak.VerifyNone(t, before)
	})
	return f, b, server
}
