package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/ssmd-project/ssmd/membership"
)

// survived counts what the daemon told of.
type survived struct {
	mu     sync.Mutex
	events map[membership.EventType]int
	errors []string
	end    func()
}

// watch counts the daemon's events until end.
func (s *survived) watch(c *chaos) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.ctx)
	stream, err := c.daemon.client.Events(ctx)
	c.ok(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e, err := stream.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && ctx.Err() == nil {
					s.note("the events ended: " + err.Error())
				}
				return
			}
			s.add(e)
		}
	}()
	s.end = func() { cancel(); stream.Close(); <-done }
	c.t.Cleanup(s.end)
}

func (s *survived) add(e membership.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[e.Type]++
	if e.Type == membership.EventError {
		s.errors = append(s.errors, e.Membership+" on "+e.Interface+": "+e.Reason)
	}
}

func (s *survived) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors = append(s.errors, what)
}

func (s *survived) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	for _, kind := range sortedKeys(s.events) {
		parts = append(parts, fmt.Sprintf("%d %s", s.events[kind], kind))
	}
	return strings.Join(append([]string{strings.Join(parts, ", ")}, s.errors...), "\n\t")
}
