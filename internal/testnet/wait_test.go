package testnet

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestEventually(t *testing.T) {
	t.Parallel()
	tries := 0
	ok(t, Eventually(t.Context(), func() error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	last := errors.New("never")
	if err := Eventually(ctx, func() error { return last }); !errors.Is(err, last) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A ring wakes everyone who waits, and only those whose wait is over return.
func TestBell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bell Bell
		var value, returned atomic.Int32
		for _, wanted := range []int32{1, 1, 2} {
			go func() {
				if err := bell.Until(t.Context(), func() bool { return value.Load() >= wanted }); err != nil {
					t.Error(err)
				}
				returned.Add(1)
			}()
		}
		for ring, want := range []int32{0, 2, 3} {
			value.Store(int32(ring))
			bell.Ring()
			synctest.Wait()
			if got := returned.Load(); got != want {
				t.Errorf("after the ring at %d %d have returned, not %d", ring, got, want)
			}
		}
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		if err := bell.Until(ctx, func() bool { return false }); !errors.Is(err, gone) {
			t.Error(err)
		}
		if err := bell.Until(ctx, func() bool { return true }); err != nil {
			t.Error(err)
		}
	})
}
