package membership

import (
	"errors"
	"fmt"
	"net"
)

// What a [Status] or an [Event] wraps in its Err, beside an errno of the kernel:
// unix.EMFILE and unix.ENFILE where no descriptor is left, unix.ENOBUFS and
// unix.ENOMEM where a limit is reached, unix.EPERM where a socket that is bound
// to a device may not be bound to the next one, unix.ENODEV while an interface
// is about to go.
var (
	// ErrSocketClosed says that the caller closed its socket, which has ended
	// the membership. net.ErrClosed is wrapped beside it.
	ErrSocketClosed = errors.New("the caller closed its socket")

	// ErrSocketUnusable says that nothing of the channels can ever be received
	// on the caller's socket, which has ended the membership.
	ErrSocketUnusable = errors.New("the caller's socket cannot be used")
)

// socketError is what has ended a membership where its caller's socket answered
// with an error.
func socketError(err error) error {
	if isClosed(err) {
		return fmt.Errorf("%w: %w", ErrSocketClosed, net.ErrClosed)
	}
	return fmt.Errorf("%w: %w", ErrSocketUnusable, err)
}

// endForSocket ends a member whose caller's socket answered with an error.
func (m *member) endForSocket(err error) {
	m.endedErr = socketError(err)
	m.ended = m.endedErr.Error()
	if isClosed(err) {
		m.ended = ErrSocketClosed.Error() // the other says no more
	}
}

// err is why channels of a member are not joined, or it has ended.
func (m *member) err() error {
	if m.ended != "" {
		return m.endedErr
	}
	for _, a := range m.attachments {
		if t := a.count(); t.first != nil {
			return t.first.refusal()
		}
	}
	return nil
}

// refusal is why a channel is not joined.
func (e *entry) refusal() error { return fmt.Errorf("join %s: %w", e.channel, e.err) }

// detachError is why an attachment has ended, where an error of its socket is.
func detachError(m *member, cause Cause) error {
	if cause == CauseSocket {
		return m.endedErr
	}
	return nil
}
