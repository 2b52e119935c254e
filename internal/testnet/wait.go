package testnet

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Eventually calls f every few milliseconds until it returns nil, and then
// returns nil. When ctx ends first it returns an error that wraps f's last
// one and the cause of ctx's end.
func Eventually(ctx context.Context, f func() error) error {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Bell wakes everyone who waits for a change, at any time and from any
// goroutine. The zero value works.
type Bell struct {
	mu      sync.Mutex
	waiters chan struct{} // nil while nobody waits
}

// next returns a channel that the next Ring closes.
func (b *Bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiters == nil {
		b.waiters = make(chan struct{})
	}
	return b.waiters
}

// Ring wakes who waits in Until. Call it after the change.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiters != nil {
		close(b.waiters)
		b.waiters = nil
	}
}

// Until waits, without polling, until done is true, and then returns nil, or
// until ctx ends, and then returns the cause. It calls done at once and again
// after each Ring, from the caller's goroutine.
func (b *Bell) Until(ctx context.Context, done func() bool) error {
	for {
		changed := b.next()
		if done() {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}
