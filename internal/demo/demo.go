package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run plays the demonstration and writes it to out. It takes about 15 seconds
// and returns nil when it is over, also where ctx ended it before; an error
// where the network cannot be made, where what should be heard is not, or
// where out fails. A terminal is left as it was in any case.
//
// It needs the rights over a network namespace that testnet.Isolate gives.
func Run(ctx context.Context, out io.Writer, o Options) error {
	if o.Scale == 0 {
		o.Scale = 1
	}
	_, err := perform(ctx, out, o, scenario())
	return err
}

// perform is Run with any steps, and with what came of them.
func perform(ctx context.Context, out io.Writer, o Options, steps []step) (outcome, error) {
	var d display = &lines{out: out}
	columns := plainColumns
	if o.Size != nil {
		d = &screen{out: out, size: o.Size, paint: painter(o.Color), glyphs: glyphsFor(o.Unicode)}
		columns, _ = o.Size()
	}
	if err := d.open(); err != nil {
		return outcome{}, err
	}
	result, err := play(ctx, d, steps, o.Scale)
	if err := errors.Join(err, d.close()); err != nil {
		return result, err
	}
	paint := painter(o.Color && o.Size != nil)
	for _, l := range summary(result, columns) {
		if _, err := fmt.Fprintln(out, paint(l)); err != nil {
			return result, err
		}
	}
	return result, nil
}

// play plays the steps until they or ctx end.
func play(ctx context.Context, d display, steps []step, scale float64) (outcome, error) {
	start := time.Now()
	l, err := newLab()
	if err != nil {
		return outcome{}, err
	}
	defer l.close()

	ctx, end := context.WithCancel(ctx)
	defer end()
	parts, ctx := errgroup.WithContext(ctx)
	updates := make(chan func(*show))
	tell := func(update func(*show)) {
		select {
		case updates <- update:
		case <-ctx.Done():
		}
	}
	events := l.manager.Subscribe()
	defer events.Close()
	l.start(ctx, parts)
	parts.Go(func() error {
		for {
			e, err := events.Next(ctx)
			if err != nil {
				return nil // it is over
			}
			tell(func(s *show) { s.event(e) })
		}
	})
	parts.Go(func() error {
		defer end()
		direct := &director{lab: l, scale: scale, tell: tell}
		if err := direct.begin(ctx); err != nil {
			return ignoreEnd(ctx, err)
		}
		parts.Go(func() error { return l.sender.Run(ctx) })
		return direct.run(ctx, steps)
	})

	s := &show{start: start, display: d, lab: l, view: view{planned: duration(steps, scale)}}
	err = s.run(ctx, updates)
	end()
	return s.outcome, errors.Join(parts.Wait(), err)
}

// ignoreEnd returns err unless ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
