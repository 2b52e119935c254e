package filewatch

import "time"

// A change comes in steps: a file is made, written, closed, renamed.
const (
	quietTime   = 250 * time.Millisecond // nothing happens for so long: it is over
	writingTime = 2 * time.Second        // so long a writer may pause before it closes the file
	longestTime = 10 * time.Second       // and so long it may take altogether
)

// quiet tells when a change is over. The zero value knows of none.
type quiet struct {
	first, last time.Time
	writing     map[string]time.Time // files that are open, and until when that is waited for
}

// writes notes that a file is being written.
func (q *quiet) writes(file string, now time.Time) {
	q.happens(now)
	if q.writing == nil {
		q.writing = make(map[string]time.Time)
	}
	q.writing[file] = now.Add(writingTime)
}

// settles notes that a file is whole, or gone.
func (q *quiet) settles(file string, now time.Time) {
	q.happens(now)
	delete(q.writing, file)
}

func (q *quiet) happens(now time.Time) {
	if q.first.IsZero() {
		q.first = now
	}
	q.last = now
}

// over returns when the change is over if nothing more happens, zero where
// there was none.
func (q *quiet) over() time.Time {
	if q.first.IsZero() {
		return time.Time{}
	}
	over := q.last.Add(quietTime)
	for _, until := range q.writing {
		if until.After(over) {
			over = until
		}
	}
	if latest := q.first.Add(longestTime); latest.Before(over) {
		return latest
	}
	return over
}
