// Package pause waits, no longer than a context.
package pause

import (
	"context"
	"time"
)

// For waits for a time, and reports whether ctx outlasted it.
func For(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// Doubling is a pause that is twice as long each time, from First up to Most.
type Doubling struct {
	First, Most time.Duration
	last        time.Duration
}

// Next waits, and reports whether ctx outlasted it.
func (p *Doubling) Next(ctx context.Context) bool {
	p.last = min(max(2*p.last, p.First), p.Most)
	return For(ctx, p.last)
}

// Reset has the next pause be the first again.
func (p *Doubling) Reset() { p.last = 0 }
