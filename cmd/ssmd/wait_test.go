package main

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/ssmd-project/ssmd/control"
)

func TestPassing(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"no daemon yet":        {&control.DialError{Socket: "s", Err: syscall.ENOENT}, true},
		"killed":               {&control.DialError{Socket: "s", Err: syscall.ECONNREFUSED}, true},
		"may not connect":      {&control.DialError{Socket: "s", Err: syscall.EACCES}, false},
		"ended":                {io.EOF, true},
		"crashed":              {io.ErrUnexpectedEOF, true},
		"stopped":              {control.ErrNoAnswer, true},
		"ending":               {&control.Problem{Type: control.TypeStopped, Status: 503}, true},
		"too many readers":     {&control.Problem{Type: control.TypeBusy, Status: 503}, true},
		"no such membership":   {&control.Problem{Type: control.TypeNoMembership, Status: 404}, false},
		"something else broke": {&control.Problem{Type: control.TypeBlank, Status: 500}, false},
	} {
		if got := passing(test.err); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestInterruptedWait holds that a wait that is cancelled is no timeout.
func TestInterruptedWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := runWait(ctx, waitOptions{client: control.NewClient("/no/such/s"), name: "x"})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}
