package handoff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

// ErrNoDaemon is wrapped where no daemon listens.
var ErrNoDaemon = errors.New("no daemon listens")

// patience bounds how long the daemon may take for an answer.
const patience = 15 * time.Second

// received is a message from the daemon: an event, unless one of the others is
// there.
type received struct {
	membership.Event
	Answer  *membership.Status `json:"-"`
	Refused *control.Problem   `json:"-"`
}

// receive waits for a message.
func receive(c *net.UnixConn, buffer []byte) (received, error) {
	n, err := c.Read(buffer)
	if err != nil {
		return received{}, err
	}
	return decode(buffer[:n])
}

func decode(data []byte) (received, error) {
	var kind struct {
		Type string `json:"type"`
	}
	err := json.Unmarshal(data, &kind)
	var m received
	switch {
	case err != nil:
	case kind.Type == TypeAnswer:
		var a Answer
		err = json.Unmarshal(data, &a)
		m.Answer = &a.Membership
	case kind.Type == TypeRefused:
		r := Refused{Problem: new(control.Problem)}
		err = json.Unmarshal(data, &r)
		if m.Refused = r.Problem; m.Refused == nil {
			m.Refused = &control.Problem{Title: "refused without a reason"}
		}
	default:
		err = json.Unmarshal(data, &m.Event)
	}
	if err != nil {
		return m, fmt.Errorf("read a message of the daemon: %w", err)
	}
	return m, nil
}

// connect hands a socket over, and returns the connection with the answer. A
// refusal is a *control.Problem.
func connect(ctx context.Context, path string, socket syscall.Conn, entry []byte) (*net.UnixConn, membership.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unixpacket", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, membership.Status{}, fmt.Errorf("hand over to %s: %w: %w", path, ErrNoDaemon, bare(err))
	}
	if err != nil {
		return nil, membership.Status{}, fmt.Errorf("hand over to %s: %w", path, bare(err))
	}
	conn := c.(*net.UnixConn)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	status, err := exchange(conn, socket, entry)
	if !stop() && err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, status, fmt.Errorf("hand over to %s: %w", path, err)
	}
	return conn, status, conn.SetDeadline(time.Time{})
}

// exchange sends the first request and takes the answer.
func exchange(conn *net.UnixConn, socket syscall.Conn, entry []byte) (membership.Status, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return membership.Status{}, err
	}
	var sendErr error
	if err := raw.Control(func(fd uintptr) {
		_, _, sendErr = conn.WriteMsgUnix(entry, unix.UnixRights(int(fd)), nil)
	}); err != nil {
		return membership.Status{}, net.ErrClosed // in whichever words
	}
	// Who was refused before he said anything hears why all the same.
	m, err := receive(conn, make([]byte, MaxMessage))
	switch {
	case err != nil && sendErr != nil:
		return membership.Status{}, sendErr
	case err != nil:
		return membership.Status{}, err
	case m.Refused != nil:
		return membership.Status{}, m.Refused
	case m.Answer == nil:
		return membership.Status{}, fmt.Errorf("the daemon said %q, want an answer", m.Type)
	}
	return *m.Answer, nil
}

// passes reports whether an error of connect may be gone with the next try.
func passes(err error) bool {
	if p, ok := errors.AsType[*control.Problem](err); ok {
		return p.Status == http.StatusServiceUnavailable
	}
	return errors.Is(err, ErrNoDaemon) || errors.Is(err, io.EOF) ||
		errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EAGAIN) ||
		errors.Is(err, context.DeadlineExceeded)
}

// bare drops what net puts around an errno.
func bare(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}
