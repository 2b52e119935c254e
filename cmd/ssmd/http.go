package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/ssmd-project/ssmd/internal/metrics"
	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/internal/statuspage"
	"github.com/ssmd-project/ssmd/internal/web"
	"github.com/ssmd-project/ssmd/membership"
)

var (
	errStarting = errors.New("starting: the first joins are not made yet")
	errEnding   = errors.New("ending")
)

// listenHTTP returns nil where there is no address to listen on.
func listenHTTP(ctx context.Context, address string) (*web.Listener, error) {
	if address == "" {
		return nil, nil
	}
	return web.Listen(ctx, address)
}

// newWebServer returns the server of metrics and health. The daemon is ready
// once the first joins are made, until ending is cancelled.
func (w *worker) newWebServer(ending context.Context) *web.Server {
	v := buildVersion()
	registry := metrics.NewRegistry(metrics.Options{
		Source:  w.manager,
		Streams: w.monitor,
		Reload: func() metrics.Reload {
			last := w.reloader.LastReload()
			return metrics.Reload{Successful: last.Successful, LastSuccess: last.LastSuccess}
		},
		Handoffs: func() metrics.Handoffs { return metrics.Handoffs(w.handoffs.Totals()) },
		Hooks:    w.hooks.Counts,
		Build:    metrics.Build{Version: v.Version, Revision: v.Revision, Go: v.Go},
	})
	return web.NewServer(web.Options{
		Metrics: metrics.Handler(registry, w.log),
		Alive: func(ctx context.Context) error {
			_, err := w.manager.Totals(ctx)
			return err
		},
		Ready: func() error {
			switch {
			case ending.Err() != nil:
				return errEnding
			case !w.joined.Load():
				return errStarting
			}
			return nil
		},
		Page:   page(w.board),
		Logger: w.log,
	})
}

// newBoard returns what the status page shows, nil where there is none.
func (d daemon) newBoard(manager *membership.Manager, streams *monitor.Monitor) *statuspage.Board {
	if d.http == nil || !d.config.HTTP.Status {
		return nil
	}
	return statuspage.New(statuspage.Options{
		Manager: manager,
		Rates:   (&rates{ask: streams.Status}).of,
		Past:    func() (statuspage.Subscription, error) { return manager.SubscribeSince(membership.Since{}) },
		Version: buildVersion().Version, Started: d.started, Host: d.http.Host(), Logger: d.log,
	})
}

func page(b *statuspage.Board) http.Handler {
	if b == nil {
		return nil
	}
	return b.Handler()
}
