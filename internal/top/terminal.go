package top

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearRight  = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// terminal is what keys come from and the picture goes to.
type terminal struct {
	in, out *os.File
	color   bool
	was     *term.State
}

// open has the terminal give each key at once, and shows another screen.
func (t *terminal) open() (err error) {
	if t.was, err = term.MakeRaw(int(t.in.Fd())); err != nil {
		return err
	}
	_, err = t.out.WriteString(enterScreen)
	return err
}

// close leaves the terminal as it was.
func (t *terminal) close() error {
	_, err := t.out.WriteString(leaveScreen)
	return errors.Join(err, term.Restore(int(t.in.Fd()), t.was))
}

func (t *terminal) size() (columns, rows int) {
	columns, rows, err := term.GetSize(int(t.out.Fd()))
	if err != nil || columns <= 0 || rows <= 0 {
		return 80, 24
	}
	return columns, rows
}

// show writes the picture over the one before, at once.
func (t *terminal) show(picture []line) error {
	var b strings.Builder
	b.WriteString(toTop)
	for i, l := range picture {
		if i > 0 {
			b.WriteString("\r\n")
		}
		if t.color && l.ink != plain {
			b.WriteString("\x1b[" + string(l.ink) + "m" + l.text + "\x1b[0m")
		} else {
			b.WriteString(l.text)
		}
		b.WriteString(clearRight)
	}
	b.WriteString(clearBelow)
	_, err := t.out.WriteString(b.String())
	return err
}

// read gives keys until ctx or the terminal ends. It leaves nothing that reads.
func (t *terminal) read(ctx context.Context, press func(key)) error {
	wake, end, err := os.Pipe()
	if err != nil {
		return err
	}
	defer wake.Close()
	stop := context.AfterFunc(ctx, func() { _ = end.Close() })
	defer func() {
		if stop() {
			_ = end.Close()
		}
	}()
	buffer := make([]byte, 256)
	for {
		fds := []unix.PollFd{{Fd: int32(t.in.Fd()), Events: unix.POLLIN}, {Fd: int32(wake.Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if fds[0].Revents == 0 {
			continue
		}
		n, err := unix.Read(int(t.in.Fd()), buffer)
		if n <= 0 {
			return err // the terminal is gone
		}
		for _, k := range decode(buffer[:n]) {
			press(k)
		}
	}
}
