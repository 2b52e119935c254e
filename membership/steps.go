package membership

import (
	"context"
	"time"
)

// arm sets the timer for what is due next; without any such thing, nothing
// wakes.
func (e *engine) arm(timer *time.Timer) {
	timer.Stop()
	if next := e.keeper.nextWake(); !next.IsZero() {
		timer.Reset(time.Until(next))
	}
}

// next waits for what is to be done next, nil for the end. What is due by the time
// may be many portions, one after the other: between two of them it is somebody
// else's turn.
func (e *engine) next(ctx context.Context, timer *time.Timer) func() {
	if ctx.Err() != nil {
		return nil // before anything else that waits, too
	}
	if e.ticked {
		e.ticked = false
		if step := e.asked(ctx); step != nil {
			return step
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case <-e.session.changed():
		return e.observe
	case request := <-e.requests:
		return e.serving(request)
	case <-e.hints.given:
		return e.suspect
	case <-e.moved:
		return func() { e.followNamespace(ctx) }
	case <-timer.C:
		return e.tick
	case <-e.rearm:
		return func() {}
	}
}

// asked returns what there is to do but by the time, nil for nothing.
func (e *engine) asked(ctx context.Context) func() {
	select {
	case <-e.session.changed():
		return e.observe
	case request := <-e.requests:
		return e.serving(request)
	case <-e.hints.given:
		return e.suspect
	case <-e.moved:
		return func() { e.followNamespace(ctx) }
	default:
		return nil
	}
}

func (e *engine) serving(request func()) func() {
	return func() {
		e.observePending()
		request()
	}
}

func (e *engine) suspect() {
	e.observePending() // nothing is looked for where there is nothing any more
	e.keeper.suspect(e.hints.take(), time.Now())
}

func (e *engine) tick() {
	e.observePending() // nothing is joined by what is known no longer
	e.keeper.tick(time.Now())
	e.ticked = true
}
