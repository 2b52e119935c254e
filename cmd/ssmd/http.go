package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/metrics"
	"github.com/ssmd-project/ssmd/internal/web"
	"github.com/ssmd-project/ssmd/membership"
)

var (
	errStarting = errors.New("starting: the first joins are not made yet")
	errEnding   = errors.New("ending: every group is being left")
)

// listenHTTP returns nil where there is no address to listen on.
func listenHTTP(ctx context.Context, address string) (*web.Listener, error) {
	if address == "" {
		return nil, nil
	}
	return web.Listen(ctx, address)
}

// newWebServer returns the server of metrics and health. The daemon is ready
// once joined says so, until ending is cancelled.
func (d daemon) newWebServer(ending context.Context, manager *membership.Manager, lastReload func() control.ReloadStatus, joined *atomic.Bool) *web.Server {
	v := buildVersion()
	registry := metrics.NewRegistry(metrics.Options{
		Source: manager,
		Reload: func() metrics.Reload {
			last := lastReload()
			return metrics.Reload{Successful: last.Successful, LastSuccess: last.LastSuccess}
		},
		Build: metrics.Build{Version: v.Version, Revision: v.Revision, Go: v.Go},
	})
	return web.NewServer(web.Options{
		Metrics: metrics.Handler(registry, d.log),
		Alive: func(ctx context.Context) error {
			_, err := manager.Totals(ctx)
			return err
		},
		Ready: func() error {
			switch {
			case ending.Err() != nil:
				return errEnding
			case !joined.Load():
				return errStarting
			}
			return nil
		},
		Logger: d.log,
	})
}
