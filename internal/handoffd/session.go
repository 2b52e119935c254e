package handoffd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/internal/mailbox"
	"github.com/ssmd-project/ssmd/internal/pause"
	"github.com/ssmd-project/ssmd/membership"
)

// session is one connection. Its owner is the goroutine that reads from it; the
// one that writes has the mailbox.
type session struct {
	*Server
	conn    *control.Visitor
	process string // its command
	box     *mailbox.Mailbox

	name   string
	socket *descriptor
	kept   Kept

	ending chan struct{} // closed once nothing is read any more
	gone   chan struct{} // closed once the name is free again
	mu     sync.Mutex
	over   bool      // it is closed
	until  time.Time // messages may be taken, zero for no end
}

// serve keeps what the client hands over, until it hangs up, somebody else ends
// it, or the daemon does.
func (s *session) serve(ctx context.Context) {
	answer, problem := s.first(ctx)
	if problem != nil {
		s.refuse(problem)
		return
	}
	if answer == nil {
		return // it went away
	}
	s.now.Add(1)
	s.total.Add(1)
	log := s.options.Logger.With("membership", s.name)
	log.Info("a socket was handed over", "command", s.process, "pid", s.conn.PID, "user", s.conn.User)
	replies := make(chan []byte)
	done := make(chan struct{}) // the writer is
	go func() {
		defer close(done)
		s.write(answer, replies, log)
	}()
	s.follow(ctx, replies, done)
	s.end(ctx)
	s.now.Add(-1)
	s.finish(handoff.CauseRemoved, "the connection ended") // for the writer
	s.hurry()
	close(replies)
	<-done
	log.Info("a hand-over ended", "pid", s.conn.PID)
}

// first takes the first request, and returns the answer, or nil where the client
// is gone.
func (s *session) first(ctx context.Context) ([]byte, *control.Problem) {
	s.readUntil(time.Now().Add(s.limits.first))
	m, err := receive(s.conn.UnixConn)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		return nil, control.ProblemOf(membership.ErrStopped)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, badRequest(408, "Too late", fmt.Sprintf("no request came within %s", s.limits.first))
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, badRequest(400, "Unreadable request", err.Error())
	}
	if m.truncated || m.missing && len(m.fds) < 2 {
		closeAll(m.fds)
		return nil, m.problem()
	}
	socket, problem := takeDescriptor(m.fds)
	if problem != nil {
		return nil, problem
	}
	s.socket = socket
	wish, err := s.parse(m.body)
	if err == nil {
		err = s.add(ctx, wish)
	}
	if err != nil {
		socket.close()
		return nil, s.problemOf(err)
	}
	s.readUntil(time.Time{})
	answer, err := s.answer(ctx)
	if err != nil {
		s.end(ctx)
		return nil, s.problemOf(err)
	}
	return answer, nil
}

// problem says why a message is no request.
func (m message) problem() *control.Problem {
	if m.truncated {
		return badRequest(413, "Too long", fmt.Sprintf("a request of more than %d bytes", handoff.MaxMessage))
	}
	return &control.Problem{Type: control.TypeBusy, Title: "No descriptor left", Status: 503, Detail: "the socket could not be taken: the daemon has as many open files as it may have"}
}

func badRequest(status int, title, detail string) *control.Problem {
	return &control.Problem{Type: control.TypeBlank, Title: title, Status: status, Detail: detail}
}

func (s *session) problemOf(err error) *control.Problem {
	switch {
	case errors.Is(err, ErrNameInUse):
		return &control.Problem{Type: handoff.ProblemNameInUse, Title: "Name in use", Status: 409, Detail: err.Error()}
	case isEnd(err):
		return control.ProblemOf(membership.ErrStopped)
	case errors.Is(err, context.DeadlineExceeded):
		return &control.Problem{Type: control.TypeBusy, Title: "Busy", Status: 503, Detail: fmt.Sprintf("the manager gave no answer within %s", s.limits.answer)}
	}
	return control.ProblemOf(err)
}

// add has the membership kept, under a name that is free.
func (s *session) add(ctx context.Context, wish membership.Membership) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.answer)
	defer cancel()
	why := fmt.Sprintf("was handed over by process %d (%s) of %s: it ends with its connection, or by ssmd leave", s.conn.PID, s.process, s.conn.User)
	try := func(name string) error {
		for other := s.route(name, s); other != nil; other = s.route(name, s) {
			if !other.goes(ctx) {
				return fmt.Errorf("membership %q: %w", name, ErrNameInUse)
			}
		}
		s.name, wish.Name = name, name
		s.kept, err = s.options.Keeper.Add(ctx, wish, why, s.lost)
		if err != nil {
			s.unroute(name, s)
			return err
		}
		s.box.Begin(s.kept.Since())
		return nil
	}
	if wish.Name != "" {
		return s.stoppedOr(ctx, try(wish.Name))
	}
	for n := 1; ; n++ {
		err := try(fmt.Sprintf("%s-%d-%d", s.process, s.conn.PID, n))
		if !errors.Is(err, ErrNameInUse) || ctx.Err() != nil {
			return err
		}
	}
}

// stoppedOr returns an error, or that the manager has stopped: a daemon that ends
// lets go of no name, and the next one will have it.
func (s *session) stoppedOr(ctx context.Context, err error) error {
	if errors.Is(err, ErrNameInUse) {
		if _, asked := s.options.Keeper.StatusOf(ctx, s.name); isEnd(asked) {
			return membership.ErrStopped
		}
	}
	return err
}

// isEnd reports whether an error says that the daemon ends.
func isEnd(err error) bool {
	return errors.Is(err, membership.ErrStopped) || errors.Is(err, context.Canceled)
}

// goes waits until a client that hung up is gone, and reports false where it did
// not: who comes again at once, as a restarted program, has its name again.
func (s *session) goes(ctx context.Context) bool {
	if !hungUp(s.conn.UnixConn) {
		return false
	}
	select {
	case <-s.gone:
		return true
	case <-ctx.Done():
		return false
	}
}

// lost takes note that somebody else ended the membership.
func (s *session) lost(note string, last uint64) { s.tell(s, notice{note, last}) }

// finish has this be the last message, unless there is one already, and nothing
// be read any more.
func (s *session) finish(cause membership.Cause, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	close(s.ending)
	s.box.Finish(handoff.Ended("", cause, reason))
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // or it is closed
}

// readUntil sets until when to wait for requests, if any is waited for.
func (s *session) readUntil(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		_ = s.conn.SetReadDeadline(t) // its errors are those of what follows
	}
}

// end gives the socket back: what is joined is left before it is closed, unless
// the daemon ends. Where the manager gives no answer, the port is free first.
func (s *session) end(ctx context.Context) {
	defer close(s.gone)
	defer s.unroute(s.name, s)
	defer s.socket.close()
	if ctx.Err() != nil {
		return
	}
	quick, cancel := context.WithTimeout(ctx, s.limits.answer)
	defer cancel()
	err := s.kept.Remove(quick)
	if err == nil || ctx.Err() != nil {
		return
	}
	s.options.Logger.Warn("leave what was handed over: the socket is closed first", "membership", s.name, "error", err)
	s.socket.close()
	if err := s.kept.Remove(ctx); err != nil && ctx.Err() == nil {
		s.options.Logger.Warn("remove what was handed over", "membership", s.name, "error", err)
	}
}

// answer says how the membership stands.
func (s *session) answer(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.answer)
	defer cancel()
	status, err := s.options.Keeper.StatusOf(ctx, s.name)
	if err != nil {
		return nil, err
	}
	return encode(handoff.Answer{Type: handoff.TypeAnswer, Membership: status}), nil
}

// follow takes further requests, until there are no more.
func (s *session) follow(ctx context.Context, replies chan<- []byte, done <-chan struct{}) {
	for {
		m, err := receive(s.conn.UnixConn)
		if err != nil {
			return
		}
		answer, err := s.change(ctx, m)
		if err != nil {
			answer = encode(handoff.Refused{Type: handoff.TypeRefused, Problem: s.problemOf(err)})
		}
		select {
		case replies <- answer:
		case <-done: // nobody listens
		case <-s.ending:
		}
		pause.For(ctx, s.limits.pace)
	}
}

// change takes a request for other channels or rules.
func (s *session) change(ctx context.Context, m message) ([]byte, error) {
	closeAll(m.fds)
	switch {
	case m.truncated:
		return nil, m.problem()
	case len(m.fds) > 0 || m.missing:
		return nil, &control.Problem{Type: handoff.ProblemDescriptor, Title: "Unsuitable descriptor", Status: 400,
			Detail: "a descriptor came with a further request, want none: another socket needs another connection"}
	}
	wish, err := s.parse(m.body)
	if err != nil {
		return nil, err
	}
	if wish.Name != "" && wish.Name != s.name {
		return nil, invalid("name", fmt.Sprintf("%q, want %q as before, or none", wish.Name, s.name))
	}
	wish.Name = s.name
	ctx, cancel := context.WithTimeout(ctx, s.limits.answer)
	defer cancel()
	if err := s.kept.Put(ctx, wish); err != nil {
		return nil, err
	}
	return s.answer(ctx)
}
