package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

type waitOptions struct {
	client  *control.Client
	name    string
	state   membership.State
	timeout time.Duration // 0: no limit
}

func newWaitCommand() *cobra.Command {
	var o waitOptions
	var state string
	c := client(&cobra.Command{
		Use:               "wait NAME",
		Short:             "Wait until a membership is in a state",
		Long:              "Wait until a membership is in a state, and for the daemon itself if need be.\nThe exit code is 3 where that does not come in time.",
		Example:           "  ssmd wait feed-a --state joined --timeout 10s",
		Args:              oneName,
		ValidArgsFunction: completeName,
		RunE: func(c *cobra.Command, args []string) error {
			o.client, o.name, o.state = newClient(c), args[0], membership.State(state)
			if !slices.Contains(membership.States(), o.state) {
				return wrongWords(c, "--state: unknown state %q, want one of %s", state, stateNames())
			}
			if o.timeout < 0 {
				return wrongWords(c, "--timeout: %s is negative, want for example 10s, or 0 for no limit", o.timeout)
			}
			return runWait(c.Context(), o)
		},
	})
	c.Flags().StringVar(&state, "state", string(membership.StateJoined), "the `state` to wait for: "+stateNames())
	c.Flags().DurationVar(&o.timeout, "timeout", 10*time.Second, "how long to wait; 0: without a limit")
	return c
}

func stateNames() string {
	var names []string
	for _, s := range membership.States() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// errInTime is the cause of a context's end where the timeout is over.
var errInTime = errors.New("timeout")

// runWait returns nil as soon as the membership was seen in the state.
func runWait(parent context.Context, o waitOptions) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	if o.timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(parent, o.timeout, errInTime)
		defer cancel()
	}
	const shortest, longest = 10 * time.Millisecond, 250 * time.Millisecond
	pause := shortest
	for {
		err := waitConnected(ctx, o)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return notInTime(parent, ctx, o)
		case !passing(err):
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
	}
}

// passing reports whether an error may pass by itself: where there is no daemon
// yet, or one that has just ended, is stopped or has too much to do.
func passing(err error) bool {
	if problem, ok := errors.AsType[*control.Problem](err); ok {
		return problem.Status == http.StatusServiceUnavailable
	}
	_, unreachable := errors.AsType[*control.DialError](err)
	return !unreachable || errors.Is(err, control.ErrNoDaemon)
}

// waitConnected waits with one daemon. It follows the events first and asks
// for the state then, so that no change falls in between.
func waitConnected(ctx context.Context, o waitOptions) error {
	stream, err := o.client.Events(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	for ask := true; ; {
		if ask {
			status, err := o.client.Membership(ctx, o.name)
			if err != nil {
				return err
			}
			if status.State == o.state {
				return nil
			}
		}
		event, err := stream.Next()
		if err != nil {
			return err
		}
		if event.Type == membership.EventState && event.Membership == o.name && event.State == o.state {
			return nil
		}
		// Only where events were lost, or all may be different now, must
		// the state be asked for again.
		ask = event.Type == membership.EventMissed || event.Type == membership.EventReloaded
	}
}

// notInTime says how the membership stands at the end. If it came to the state
// in the very last moment, that counts.
func notInTime(parent, ctx context.Context, o waitOptions) error {
	if !errors.Is(context.Cause(ctx), errInTime) {
		return context.Cause(ctx)
	}
	last, cancel := context.WithTimeout(parent, time.Second)
	defer cancel()
	status, err := o.client.Membership(last, o.name)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("the daemon does not answer: is it stopped?")
	}
	if err != nil {
		return &exitError{Code: exitNotJoined, Err: fmt.Errorf("%s is not %s after %s: %w", o.name, o.state, o.timeout, err)}
	}
	if status.State == o.state {
		return nil
	}
	return &exitError{Code: exitNotJoined, Err: fmt.Errorf("%s is not %s after %s but %s: %s", o.name, o.state, o.timeout, status.State, status.Reason)}
}
