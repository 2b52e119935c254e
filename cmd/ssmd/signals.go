package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// onSignals returns a context that the first SIGTERM or SIGINT ends. A second
// one calls exit at once, whatever still goes on. SIGHUP calls reload, which does
// not wait. stop gives the signals back.
func onSignals(ctx context.Context, log *slog.Logger, reload func(), exit func(int)) (_ context.Context, stop func()) {
	ctx, end := context.WithCancel(ctx)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	var handler sync.WaitGroup
	handler.Go(func() { handleSignals(signals, end, reload, log, exit) })
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		handler.Wait()
		end()
	}
}

// hangups receives SIGHUP from now on. Until something reloads at it, it is to end
// nothing.
func hangups() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

func handleSignals(signals <-chan os.Signal, end, reload func(), log *slog.Logger, exit func(int)) {
	ending := false
	for s := range signals {
		switch {
		case s == syscall.SIGHUP:
			reload()
		case ending:
			log.Warn("ended at once, by a second signal: the kernel leaves the groups", "signal", s.String())
			exit(exitFailed)
		default:
			ending = true
			log.Info("ending", "signal", s.String())
			end()
		}
	}
}
