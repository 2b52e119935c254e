package handoffd

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
)

// write tells the client what there is to tell, up to the last message. Where
// it does not listen (shutdown(2)) it is told nothing; where it takes nothing for
// too long it is taken for dead.
func (s *session) write(answer []byte, replies <-chan []byte, log *slog.Logger) {
	defer s.box.Mute()
	err := s.send(answer)
	for last := false; err == nil && !last; {
		select {
		case reply, more := <-replies:
			if !more {
				replies = nil
				continue
			}
			err = s.send(reply)
		case <-s.box.Wake():
			e, found, isLast := s.box.Take()
			if isLast {
				e.Membership, last = s.name, true
			}
			if found {
				err = s.send(encode(e))
			}
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		log.Warn("an application takes no message: its connection is closed", "pid", s.conn.PID, "waited", s.limits.write)
		s.finish(handoff.CauseRemoved, "no message was taken")
	}
}

func (s *session) send(data []byte) error {
	s.mu.Lock()
	until := s.until
	if until.IsZero() {
		until = time.Now().Add(s.limits.write)
	}
	_ = s.conn.SetWriteDeadline(until)
	s.mu.Unlock()
	_, err := s.conn.Write(data)
	return err
}

// hurry bounds how long the rest may take.
func (s *session) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Now().Add(s.limits.grace)
	_ = s.conn.SetWriteDeadline(s.until)
}

// refuse says why nothing is taken, and waits for the client to hang up: one
// that is closed on with something unread would not hear it. Of many at a time
// the most are closed on without a word.
func (s *session) refuse(p *control.Problem) {
	s.refused.Add(1)
	if now, told := time.Now().UnixNano(), s.told.Load(); now-told >= int64(s.limits.quiet) && s.told.CompareAndSwap(told, now) {
		s.options.Logger.Warn("a hand-over was refused", "command", s.process, "pid", s.conn.PID, "user", s.conn.User, "reason", p.Error())
	}
	if !s.telling.TryAcquire(1) {
		return
	}
	defer s.telling.Release(1)
	_ = s.conn.SetDeadline(time.Now().Add(s.limits.grace))
	if _, err := s.conn.Write(encode(handoff.Refused{Type: handoff.TypeRefused, Problem: p})); err != nil {
		return
	}
	_ = s.conn.CloseWrite()
	for {
		m, err := receive(s.conn.UnixConn)
		if err != nil {
			return
		}
		closeAll(m.fds)
	}
}
