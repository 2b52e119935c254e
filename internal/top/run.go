package top

import (
	"context"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Options say where it is shown. In and Out are needed.
type Options struct {
	In, Out *os.File // a terminal
	Color   bool
}

// Suits reports whether files are a terminal on which Run can show anything.
func Suits(in, out *os.File, getenv func(string) string) bool {
	return getenv("TERM") != "dumb" && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd()))
}

// agesEvery is how often the picture is drawn where nothing changes: times grow.
const agesEvery = time.Second

// Run shows the source's memberships until ctx ends or a key says so, and
// returns nil then. Where the source is lost it says so, and tries again. The
// terminal is left as it was in any case.
func Run(ctx context.Context, source Source, o Options) error {
	return run(ctx, source, o, defaultPace)
}

func run(ctx context.Context, source Source, o Options, p pace) (err error) {
	t := &terminal{in: o.In, out: o.Out, color: o.Color}
	if err := t.open(); err != nil {
		return err
	}
	defer func() {
		if left := t.close(); err == nil {
			err = left
		}
	}()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)

	updates := make(chan func(*model))
	tell := func(update func(*model)) {
		select {
		case updates <- update:
		case <-ctx.Done():
		}
	}
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error {
		(&follower{source: source, pace: p, tell: tell}).run(ctx)
		return nil
	})
	parts.Go(func() error {
		defer stop() // without keys nobody could end it
		return t.read(ctx, func(k key) {
			tell(func(m *model) {
				if m.press(k) {
					stop()
				}
			})
		})
	})
	parts.Go(func() error {
		defer stop()
		return own(ctx, t, updates, resized)
	})
	return parts.Wait()
}

// own changes the model and shows it.
func own(ctx context.Context, t *terminal, updates <-chan func(*model), resized <-chan os.Signal) error {
	const soon = 30 * time.Millisecond // what comes at once is shown at once
	m := &model{}
	ages, draw := time.NewTicker(agesEvery), time.NewTimer(0)
	defer ages.Stop()
	defer draw.Stop()
	drawn := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case update := <-updates:
			update(m)
		case <-resized:
		case <-ages.C:
		case <-draw.C:
			columns, rows := t.size()
			if err := t.show(m.frame(time.Now(), columns, rows)); err != nil {
				return err
			}
			drawn = time.Now()
			continue
		}
		draw.Reset(max(0, time.Until(drawn.Add(soon))))
	}
}
