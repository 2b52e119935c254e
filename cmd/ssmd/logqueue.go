package main

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// logLines is how many lines a queue holds before it drops new ones.
const logLines = 4096

// logQueue stands between whoever logs and a slow reader of the log: Write
// never waits. Lines that do not fit are dropped and counted.
type logQueue struct {
	lines    chan []byte
	dropped  atomic.Uint64
	stopping sync.Once
	stopped  chan struct{}
	written  chan struct{}
}

func newLogQueue() *logQueue {
	return &logQueue{lines: make(chan []byte, logLines), stopped: make(chan struct{}), written: make(chan struct{})}
}

// Write takes a line, or drops it. It returns no error.
func (q *logQueue) Write(line []byte) (int, error) {
	select {
	case q.lines <- slices.Clone(line):
	default:
		q.dropped.Add(1)
	}
	return len(line), nil
}

// writeTo writes the lines to w until stop, and then what is left. Errors of w
// are dropped: there is nowhere to tell them.
func (q *logQueue) writeTo(w io.Writer, settings *logSettings) {
	defer close(q.written)
	log := newLogger(settings, w)
	write := func(line []byte) {
		_, _ = w.Write(line)
		if n := q.dropped.Swap(0); n > 0 {
			log.Warn("the reader of this log was too slow: lines were dropped", "lines", n)
		}
	}
	for {
		select {
		case line := <-q.lines:
			write(line)
		case <-q.stopped:
			for {
				select {
				case line := <-q.lines:
					write(line)
				default:
					return
				}
			}
		}
	}
}

// stop waits until everything is written, but no longer than patience. It may be
// called again.
func (q *logQueue) stop(patience time.Duration) {
	q.stopping.Do(func() { close(q.stopped) })
	select {
	case <-q.written:
	case <-time.After(patience):
	}
}
