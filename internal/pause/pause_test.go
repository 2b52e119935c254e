package pause

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !For(t.Context(), time.Second) || time.Since(began) != time.Second {
			t.Errorf("it took %v", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if For(ctx, time.Hour) || time.Since(began) != time.Second {
			t.Errorf("with a context of a second it took %v", time.Since(began))
		}
	})
}

func TestDoubling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Doubling{First: 10 * time.Millisecond, Most: 50 * time.Millisecond}
		var took []time.Duration
		next := func() {
			began := time.Now()
			p.Next(t.Context())
			took = append(took, time.Since(began)/time.Millisecond)
		}
		for range 4 {
			next()
		}
		p.Reset()
		next()
		if want := []time.Duration{10, 20, 40, 50, 10}; !slices.Equal(took, want) {
			t.Errorf("pauses of %v ms, want %v", took, want)
		}
	})
}
