package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/handover"
	"github.com/ssmd-project/ssmd/internal/pause"
	"github.com/ssmd-project/ssmd/internal/service"
	"github.com/ssmd-project/ssmd/internal/web"
)

// takeOver gets what a daemon that runs has joined, and its listeners. One that
// ends meanwhile, however it does, is waited for.
func (d *daemon) takeOver(ctx context.Context) error {
	for until := time.Now().Add(handoverPatience); ; {
		err := d.tryTakeOver(ctx)
		ends := isLost(err) || errors.Is(err, control.ErrInUse)
		if !ends || time.Now().After(until) || !pause.For(ctx, takeOverPace) {
			return err
		}
	}
}

// takeOverPace is the time between two tries.
const takeOverPace = 50 * time.Millisecond

// isLost reports whether the other daemon hung up without a word.
func isLost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// tryTakeOver tries it once. Until everything is in good hands the other daemon
// goes on as before, whatever fails here.
func (d *daemon) tryTakeOver(ctx context.Context) error {
	conn, err := control.NewClient(d.config.Control.Socket).TakeOver(ctx)
	if errors.Is(err, control.ErrNoDaemon) {
		d.log.Info("nothing to take over: no daemon runs", "control", d.config.Control.Socket)
		return d.listen(ctx)
	}
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(handoverPatience)); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	parcel, err := handover.Receive(conn)
	if err != nil {
		return err
	}
	defer parcel.Close()
	if err := d.prepare(ctx, &parcel); err != nil {
		return fmt.Errorf("nothing was taken over: %w", err)
	}
	slow := time.AfterFunc(handoverPatience, func() {
		d.log.Warn("the daemon that is taken over does not say that it holds nothing any more: waiting for that, or for its end")
	})
	defer slow.Stop()
	if err := parcel.Accept(conn); err != nil {
		d.closeListeners()
		return err
	}
	d.own()
	d.inherited = parcel.Handed()
	// It ends once its state is saved, and the directory free.
	_ = conn.SetReadDeadline(time.Now().Add(handoverPatience)) // its errors are those of what follows
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		d.log.Warn("the daemon that was taken over does not end: state_dir may be in use", "waited", handoverPatience)
	}
	return nil
}

// prepare gets everything ready that could fail, so that nothing does once the
// other daemon has nothing any more.
func (d *daemon) prepare(ctx context.Context, parcel *handover.Parcel) (err error) {
	defer func() {
		if err != nil {
			d.closeListeners()
		}
	}()
	if d.http, err = takeHTTP(ctx, parcel, d.config.HTTP.Listen); err != nil {
		return err
	}
	if err := d.takeHandoff(parcel); err != nil {
		return err
	}
	files, _ := filesOf(parcel.Take(controlFiles))
	c := d.config.Control
	d.listener, err = control.Inherit(c.Socket, files, d.access.Mode(), c.Group)
	return err
}

// takeHandoff takes the socket of applications of the other daemon, also where
// another one is wanted: then it goes once that one has ended.
func (d *daemon) takeHandoff(parcel *handover.Parcel) (err error) {
	c := d.config.Handoff
	files, path := filesOf(parcel.Take(handoffFiles))
	switch {
	case len(files) > 0 && path == c.Socket:
		d.handoff, err = control.Handoff.Inherit(path, files, d.handoffAccess.Mode(), c.Group)
		return err
	case len(files) > 0:
		if d.unwanted, err = control.Handoff.Inherit(path, files, 0o600, ""); err != nil {
			d.log.Warn("the socket of applications of the other daemon is left as it is", "error", err)
		}
	}
	d.handoff, err = d.listenHandoff()
	return err
}

// filesOf returns the files of a listener, and where it was.
func filesOf(listeners []handover.Listener) (files []*os.File, address string) {
	for _, l := range listeners {
		files, address = append(files, l.File), l.Address
	}
	return files, address
}

// own makes everything that was taken over this daemon's.
func (d *daemon) own() {
	for _, l := range []*control.Listener{d.listener, d.handoff, d.unwanted} {
		if l == nil {
			continue
		}
		if err := l.Own(); err != nil {
			d.log.Warn("the lock of a socket does not say whose it is", "error", err)
		}
	}
	if d.unwanted != nil {
		_ = d.unwanted.Close()
		d.unwanted = nil
	}
}

// takeHTTP returns the listener of the other daemon where it is the same that is
// wanted.
func takeHTTP(ctx context.Context, parcel *handover.Parcel, address string) (*web.Listener, error) {
	for _, l := range parcel.Take(httpFile) {
		defer l.File.Close()
		if l.Address == address {
			return web.Inherit(l.File, address)
		}
	}
	return listenHTTP(ctx, address)
}

// listen begins to listen, on what the service manager passed where it did.
func (d *daemon) listen(ctx context.Context) (err error) {
	if d.http, err = listenHTTP(ctx, d.config.HTTP.Listen); err != nil {
		return err
	}
	if d.listener, err = d.listenControl(); err == nil {
		d.handoff, err = d.listenHandoff()
	}
	if err != nil {
		d.closeListeners()
	}
	for _, socket := range d.passed.Sockets {
		_ = socket.Close()
		d.log.Warn("the service manager passed a socket that nobody knows", "socket", socket.Addr().String(), "want", d.wantedSockets())
	}
	return err
}

// wantedSockets says what a service manager may pass.
func (d *daemon) wantedSockets() string {
	want := "ListenStream=" + d.config.Control.Socket
	if d.config.Handoff.Socket != "" {
		want += " or ListenSequentialPacket=" + d.config.Handoff.Socket
	}
	return want
}

func (d *daemon) listenControl() (*control.Listener, error) {
	c := d.config.Control
	if socket := d.passed.Take(control.API.Network(), c.Socket); socket != nil {
		return control.API.Activated(socket), nil
	}
	return control.Listen(c.Socket, d.access.Mode(), c.Group)
}

// closeListeners ends listening where nobody was served.
func (d *daemon) closeListeners() {
	if d.http != nil {
		_ = d.http.Close()
	}
	for _, l := range []*control.Listener{d.listener, d.handoff, d.unwanted} {
		if l != nil {
			_ = l.Close()
		}
	}
	d.http, d.listener, d.handoff, d.unwanted = nil, nil, nil, nil
}

// restore takes what an earlier run had the service manager keep.
func (d *daemon) restore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handoverPatience)
	defer cancel()
	stored, err := handover.Restore(ctx, d.notifier, d.passed.Stored)
	if err != nil {
		d.log.Warn("not all that the service manager kept can be taken back", "error", err)
	}
	if stored == nil {
		return
	}
	d.log.Info("taken back from the service manager", "descriptors", len(stored.Descriptors))
	if d.inherited != nil { // from a daemon that ran meanwhile
		(&handover.Parcel{Handover: *stored}).Close()
		return
	}
	d.inherited = stored
}

// attach gets what the service manager passed, and a way to tell it something.
func (d *daemon) attach() {
	var err error
	if d.notifier, err = service.NewNotifier(); err != nil {
		d.log.Warn("the service manager does not hear of us", "error", err)
	}
	d.passed = service.Start(handover.Names()...)
}
