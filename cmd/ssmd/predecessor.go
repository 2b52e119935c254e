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
	"github.com/ssmd-project/ssmd/internal/service"
	"github.com/ssmd-project/ssmd/internal/web"
)

// takeOver gets what a daemon that runs has joined, and its listeners. One that
// ends meanwhile, however it does, is waited for.
func (d *daemon) takeOver(ctx context.Context) error {
	for until := time.Now().Add(handoverPatience); ; {
		err := d.tryTakeOver(ctx)
		ends := isLost(err) || errors.Is(err, control.ErrInUse)
		if !ends || time.Now().After(until) || !pause(ctx, takeOverPace) {
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
		d.closeHTTP()
		_ = d.listener.Close()
		return err
	}
	if err := d.listener.Own(); err != nil {
		d.log.Warn("the lock of the control socket does not say whose it is", "error", err)
	}
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
	if d.http, err = takeHTTP(ctx, parcel, d.config.HTTP.Listen); err != nil {
		return err
	}
	var files []*os.File
	for _, l := range parcel.Take(controlFiles) {
		files = append(files, l.File)
	}
	c := d.config.Control
	if d.listener, err = control.Inherit(c.Socket, files, d.access.Mode(), c.Group); err != nil {
		d.closeHTTP()
	}
	return err
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
	d.listener, err = d.listenControl()
	if err != nil {
		d.closeHTTP()
	}
	return err
}

func (d *daemon) listenControl() (*control.Listener, error) {
	c := d.config.Control
	var activated *control.Listener
	for _, socket := range d.passed.Sockets {
		if address := socket.Addr().String(); activated != nil || address != c.Socket {
			_ = socket.Close()
			d.log.Warn("the service manager passed a socket that nobody knows", "socket", address, "want", "ListenStream="+c.Socket)
			continue
		}
		activated = control.API.Activated(socket)
	}
	if activated != nil {
		return activated, nil
	}
	return control.Listen(c.Socket, d.access.Mode(), c.Group)
}

// closeHTTP ends listening where nobody was served.
func (d *daemon) closeHTTP() {
	if d.http != nil {
		_ = d.http.Close()
	}
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
