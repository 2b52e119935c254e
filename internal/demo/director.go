package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ssmd-project/ssmd/internal/pause"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// patience is how long the manager and the data may take.
const patience = 10 * time.Second

// director plays the steps on the lab and tells the show what comes of them.
type director struct {
	lab   *lab
	scale float64
	tell  func(func(*show)) // the show's owner runs it, unless all is over

	index      int     // of the latest eth0
	refused    bool    // the rules refuse it
	before     reading // then: from before it was up
	reattaches uint64
}

// run plays the steps. It returns nil when ctx ends before.
func (d *director) run(ctx context.Context, steps []step) error {
	for _, s := range steps {
		d.tell(func(v *show) { v.doing(s.text) })
		err := d.do(ctx, s)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.text, err)
		}
		d.watch(ctx, scaled(s.stay, d.scale))
	}
	last := d.lab.drain(ctx)
	finished := ctx.Err() == nil
	d.tell(func(v *show) {
		v.ledger.end(last)
		v.outcome.finished = finished
	})
	return nil
}

func (d *director) do(ctx context.Context, s step) error {
	switch {
	case s.cut:
		return d.cut(ctx)
	case s.make != nil && s.make.refused:
		return d.createWrong(ctx, s)
	case s.make != nil:
		return d.create(ctx, s)
	}
	return nil
}

// begin applies the membership and waits until it is joined on the first eth0.
func (d *director) begin(ctx context.Context) error {
	d.tell(func(v *show) { v.doing("joining on eth0: one receiver by itself, ssmd for the other") })
	if err := d.lab.manager.Apply(ctx, []membership.Membership{wish()}); err != nil {
		return err
	}
	if _, err := d.waitJoined(ctx); err != nil {
		return err
	}
	d.tell(func(v *show) { v.ledger.begin(reading{}) })
	return d.born(false)
}

// watch lets things go on for a while, and tells of the traffic.
func (d *director) watch(ctx context.Context, stay time.Duration) {
	before, began := d.lab.read(), time.Now()
	pause.For(ctx, stay)
	after, took := d.lab.read(), time.Since(began)
	rate := func(n uint64) float64 { return float64(n) / took.Seconds() }
	d.tell(func(v *show) {
		v.traffic(rate(after[held].sent-before[held].sent),
			rate(after[plain].received-before[plain].received), rate(after[held].received-before[held].received))
	})
}

// cut deletes eth0.
func (d *director) cut(ctx context.Context) error {
	r := d.lab.drain(ctx)
	if heard := r[held].received - d.before[held].received; d.refused && heard > 0 {
		return fmt.Errorf("%d datagrams were heard on an interface that the rules refuse", heard)
	}
	d.tell(func(v *show) { v.ledger.end(r) })
	if err := d.lab.network.Cut(eth0); err != nil {
		return err
	}
	d.tell((*show).died)
	return nil
}

// born tells of the eth0 that was just made.
func (d *director) born(refused bool) error {
	index, err := d.lab.network.Near.Index(eth0)
	if err != nil {
		return err
	}
	d.index, d.refused = index, refused
	d.tell(func(v *show) { v.born(index, refused) })
	return nil
}

// create makes an eth0 that the rules accept, and waits for the manager and
// for the data.
func (d *director) create(ctx context.Context, s step) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	heard := make(chan error, 1)
	var at time.Time
	go func() {
		err := d.lab.receivers[held].WaitNew(ctx, 1)
		at = time.Now()
		heard <- err
	}()
	before, up, err := d.lab.connect(*s.make, d.index)
	if err != nil {
		return err
	}
	d.tell(func(v *show) { v.ledger.begin(before) })
	if err := d.born(false); err != nil {
		return err
	}
	d.reattaches++
	join, err := d.waitJoined(ctx)
	if err != nil {
		return err
	}
	if err := <-heard; err != nil {
		return err
	}
	r := recreation{name: s.name, again: at.Sub(up), join: join}
	d.tell(func(v *show) { v.recovered(r) })
	return nil
}

// waitJoined waits until the manager holds the membership after so many
// reattachments, and returns how long it took for the last.
func (d *director) waitJoined(ctx context.Context) (took time.Duration, err error) {
	err = testnet.Eventually(ctx, func() error {
		s, err := d.lab.manager.StatusOf(ctx, feed)
		if err != nil {
			return err
		}
		if s.State != membership.StateJoined || s.Counters.Reattaches != d.reattaches {
			return fmt.Errorf("%s is %s after %d reattachments (%s), want joined after %d",
				feed, s.State, s.Counters.Reattaches, s.Reason, d.reattaches)
		}
		if s.LastReattachSeconds != nil {
			took = time.Duration(*s.LastReattachSeconds * float64(time.Second))
		}
		return nil
	})
	return took, err
}

// createWrong makes an eth0 that the rules refuse, and waits for the verdict.
func (d *director) createWrong(ctx context.Context, s step) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	before, _, err := d.lab.connect(*s.make, d.index)
	if err != nil {
		return err
	}
	d.before = before
	if err := d.born(true); err != nil {
		return err
	}
	reason, err := d.waitRefused(ctx)
	if err != nil {
		return err
	}
	r := recreation{name: s.name, refused: true, reason: reason}
	d.tell(func(v *show) { v.refused(r) })
	return nil
}

// waitRefused waits for the manager's verdict against eth0, and returns its
// reason.
func (d *director) waitRefused(ctx context.Context) (reason string, err error) {
	err = testnet.Eventually(ctx, func() error {
		x, err := d.lab.manager.Explain(ctx, feed)
		if err != nil {
			return err
		}
		for _, i := range x.Interfaces {
			if i.Index == d.index && !i.Attached && i.Verdict.Result() == reattach.Reject {
				reason = fmt.Sprintf("%s (instance %d): %s", i.Interface, i.Instance, i.Verdict.Reason())
				return nil
			}
		}
		return errors.New("eth0 is not refused")
	})
	return reason, err
}
