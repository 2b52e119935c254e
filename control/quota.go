package control

import (
	"context"
	"fmt"
	"sync"
)

// bounds say how many of something there may be at a time.
type bounds struct {
	all    int // in all
	others int // of all users together but root and the daemon's own
	each   int // of each of these users
}

// quota keeps count against bounds. What others may have is less than all, so
// that they cannot keep root and the daemon's own user out.
type quota struct {
	bounds
	what  string // in the plural
	slots chan struct{}

	mu     sync.Mutex
	others int
	by     map[uint32]int // of others, by user; no zeros
}

func newQuota(what string, b bounds) *quota {
	return &quota{bounds: b, what: what, slots: make(chan struct{}, b.all), by: make(map[uint32]int)}
}

// share is what somebody got of a quota.
type share int

const (
	none share = iota // nothing is left
	over              // more than a user may have, which counts all the same
	fair
)

// told is how many more than a user may have are still over: enough to be told,
// and too few to be in the way of other users.
const told = 2

// take takes one for somebody, if there is one.
func (q *quota) take(p peer) share {
	if p.privileged() {
		select {
		case q.slots <- struct{}{}:
			return fair
		default:
			return none
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.others >= q.bounds.others || q.by[p.uid] >= q.each+told {
		return none
	}
	select {
	case q.slots <- struct{}{}:
	default:
		return none
	}
	q.others++
	q.by[p.uid]++
	if q.by[p.uid] > q.each {
		return over
	}
	return fair
}

// wait takes one for root or the daemon's own user, as soon as there is one. It
// reports false where ctx ended before.
func (q *quota) wait(ctx context.Context) bool {
	select {
	case q.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// taken returns how many are taken.
func (q *quota) taken() int { return len(q.slots) }

// give gives back what somebody took.
func (q *quota) give(p peer) {
	if !p.privileged() {
		q.mu.Lock()
		q.others--
		if q.by[p.uid]--; q.by[p.uid] == 0 {
			delete(q.by, p.uid)
		}
		q.mu.Unlock()
	}
	<-q.slots
}

// exceeded is the problem of whoever wants one too many.
func (q *quota) exceeded(p peer) *Problem {
	limit := fmt.Sprintf("%d %s, of which others than root and the daemon's own user may have %d, and each of them %d", q.all, q.what, q.bounds.others, q.each)
	return busy("Too many "+q.what, fmt.Sprintf("%s has to wait: there may be %s", p, limit))
}
