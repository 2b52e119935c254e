package statuspage

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

// Manager is what is asked of a membership.Manager. Its methods are called
// concurrently.
type Manager interface {
	Status(ctx context.Context) ([]membership.Status, error)
	StatusOf(ctx context.Context, name string) (membership.Status, error)
	Explain(ctx context.Context, name string) (membership.Explanation, error)
	Lives(ctx context.Context) ([]membership.InterfaceLife, error)
}

// Subscription is what is needed of a membership.Subscription.
type Subscription interface {
	Next(ctx context.Context) (membership.Event, error)
	Finish()
	Close()
}

// Rates are how the streams of a monitored membership come in.
type Rates struct {
	Datagrams float64 `json:"datagrams"`         // a second
	Bytes     float64 `json:"bytes"`             // a second, of payload
	Stalled   int     `json:"stalled"`           // streams of which nothing comes
	Unheard   int     `json:"unheard,omitempty"` // streams that cannot be counted
}

// Options configure a Board. Version and Rates may be left out.
type Options struct {
	Manager Manager
	// Past returns the manager's events that are kept, and those that follow.
	Past func() (Subscription, error)
	// Rates returns those of a membership, and false where it is not
	// monitored; nil: none is. It is called often, and must not wait long.
	Rates   func(name string) (Rates, bool)
	Version string    // of the program
	Started time.Time // the daemon, which tells one run from another
	// Host is what http.listen names, empty for every address. Whoever asks
	// for another name than this and the machine's own is refused.
	Host   string
	Logger *slog.Logger
}

// pause bounds how often the manager is asked, and for how long it may take.
type pause struct {
	events  time.Duration // after an event, for more to come
	share   int           // a step waits at least so many times as long as the last whole one took
	longest time.Duration // between two whole looks, unless the share makes it more
	rest    time.Duration // from the last reader on until nothing is followed any more
	answer  time.Duration // for the manager's answer
}

var defaultPause = pause{events: 100 * time.Millisecond, share: 20, longest: 2 * time.Second, rest: 10 * time.Second, answer: 5 * time.Second}

// Board holds what there is to be told. Run has to run for it to be read; its
// handler may be used at any time.
type Board struct {
	options Options
	pause   pause
	limits  limits
	streams chan struct{} // a place for each
	asking  chan struct{} // likewise of explanations

	wanted chan struct{} // somebody reads
	ended  chan struct{} // closed by Run at its end

	mu      sync.Mutex
	readers map[*reader]struct{}
	table   *table // nil: nothing is followed
	epoch   string // of the table: numbers of another mean nothing
	epochs  int
}

// reader is somebody who is told of changes.
type reader struct {
	wake chan struct{}
}

// New returns a board. It starts nothing: Run does.
func New(o Options) *Board {
	return &Board{
		options: o, pause: defaultPause, limits: defaultLimits,
		streams: make(chan struct{}, defaultLimits.streams), asking: make(chan struct{}, defaultLimits.asking),
		wanted: make(chan struct{}, 1), ended: make(chan struct{}),
		readers: make(map[*reader]struct{}),
	}
}

// Run follows the manager while anybody reads, until ctx or the manager ends,
// and returns nil then. Readers come to an end with it.
func (b *Board) Run(ctx context.Context) error {
	defer close(b.ended)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wanted:
		}
		if more := b.follow(ctx); !more {
			return nil
		}
	}
}

// open adds a reader.
func (b *Board) open() *reader {
	r := &reader{wake: make(chan struct{}, 1)}
	b.mu.Lock()
	b.readers[r] = struct{}{}
	b.mu.Unlock()
	signal(b.wanted)
	return r
}

func (b *Board) close(r *reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.readers, r)
}

func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// begin makes room for a new table.
func (b *Board) begin() *table {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epochs++
	b.epoch = strconv.FormatInt(b.options.Started.UnixNano(), 36) + "." + strconv.Itoa(b.epochs)
	return newTable()
}

// publish changes the table and wakes the readers.
func (b *Board) publish(t *table, change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, fresh := t.version, b.table == nil
	change()
	b.table = t
	if t.version == before && !fresh {
		return
	}
	for r := range b.readers {
		signal(r.wake)
	}
}

// rest drops the table where nobody reads.
func (b *Board) rest() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.readers) > 0 {
		return false
	}
	b.table = nil
	return true
}
