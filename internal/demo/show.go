package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

// kind is what an entry of the log tells of.
type kind string

const (
	kindStep     kind = "now"
	kindTraffic  kind = "traffic"
	kindRefused  kind = "refused"
	kindHeard    kind = "heard"
	kindAttached kind = "attached" // and further types of membership.Event
	kindDetached kind = "detached"
	kindRejoined kind = "reattached"
)

// entry is one line of the log.
type entry struct {
	at   time.Duration
	kind kind
	text string
}

// sample is what was sent and received until a moment.
type sample struct {
	at       time.Duration
	sent     uint64 // of each channel
	received [2]uint64
}

// span is one life of eth0.
type span struct {
	from, to time.Duration // to 0: it lives
	index    int
	refused  bool
}

// view is all that is to be seen.
type view struct {
	elapsed, planned time.Duration
	now              string // what is being done
	samples          []sample
	lives            []span
	tallies          [2]tally
	log              []entry
}

// display shows a view.
type display interface {
	// open begins.
	open() error
	// show shows the view as it is now. The last fresh entries of its log
	// are new.
	show(v view, fresh int) error
	// close leaves the terminal as it was.
	close() error
}

// show owns what is shown. One goroutine runs it, others send it updates.
type show struct {
	view    view
	ledger  ledger
	outcome outcome

	start   time.Time
	display display
	lab     *lab
}

// frameEvery is the time between two samples, and between two pictures.
const frameEvery = 50 * time.Millisecond

// run shows what the updates make of the view until ctx ends.
func (s *show) run(ctx context.Context, updates <-chan func(*show)) error {
	tick := time.NewTicker(frameEvery)
	defer tick.Stop()
	for {
		before := len(s.view.log)
		select {
		case <-ctx.Done():
			return s.finish()
		case update := <-updates:
			update(s)
		case <-tick.C:
		}
		s.measure()
		if err := s.display.show(s.view, len(s.view.log)-before); err != nil {
			return err
		}
	}
}

// finish shows the last picture.
func (s *show) finish() error {
	s.measure()
	s.outcome.tallies = s.view.tallies
	s.view.now = ""
	if !s.outcome.finished {
		s.view.now = "interrupted"
	}
	return s.display.show(s.view, 0)
}

// measure takes a sample.
func (s *show) measure() {
	r := s.lab.read()
	at := s.since()
	s.view.elapsed = at
	s.view.tallies = s.ledger.totals(r)
	s.view.samples = append(s.view.samples,
		sample{at, r[held].sent, [2]uint64{r[plain].received, r[held].received}})
}

func (s *show) since() time.Duration { return time.Since(s.start) }

func (s *show) note(k kind, text string) {
	s.view.log = append(s.view.log, entry{s.since(), k, text})
}

func (s *show) doing(text string) {
	s.view.now = text
	s.note(kindStep, text)
}

func (s *show) traffic(sent, plainRate, heldRate float64) {
	s.note(kindTraffic, fmt.Sprintf("sender %3.0f/s   plain receiver %3.0f/s   held by ssmd %3.0f/s", sent, plainRate, heldRate))
}

func (s *show) born(index int, refused bool) {
	s.view.lives = append(s.view.lives, span{from: s.since(), index: index, refused: refused})
}

func (s *show) died() {
	if n := len(s.view.lives); n > 0 {
		s.view.lives[n-1].to = s.since()
	}
}

func (s *show) refused(r recreation) {
	s.outcome.recreations = append(s.outcome.recreations, r)
	s.note(kindRefused, r.reason)
}

func (s *show) recovered(r recreation) {
	s.outcome.recreations = append(s.outcome.recreations, r)
	s.note(kindHeard, fmt.Sprintf("datagram %s after eth0 was up (ssmd's part: %s)", milliseconds(r.again), milliseconds(r.join)))
}

// event notes what the manager tells, unless another entry says it too.
func (s *show) event(e membership.Event) {
	attachments := e.State == membership.StateJoined || e.State == membership.StateDetached
	if e.Type == membership.EventReloaded || attachments {
		return
	}
	text := e.Reason
	if e.Missed > 0 {
		text = fmt.Sprintf("%d events", e.Missed)
	}
	k := kind(e.Type)
	if e.State != "" {
		k = kind(e.State)
	}
	s.view.log = append(s.view.log, entry{max(0, e.Time.Sub(s.start)), k, strings.TrimSpace(text)})
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
}
