package membership

import (
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// become has the interface be up or down.
func (m *managed) become(change func(*ifwatch.Interface)) {
	i := eth1(1)
	change(&i)
	m.watcher.say(ifwatch.Changes{Changes: []ifwatch.Change{{Index: 1, Now: &i, Read: time.Now()}}})
}

// What was read from the kernel counts before what has become due: an
// interface that is down by then has not settled.
func TestManagerLooksBeforeItJoins(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		ctx := t.Context()
		m.begin(1)
		for range 20 { // which of the two is taken first is chance
			m.ok(m.Put(ctx, settling(feed("a", "eth1", one), time.Second)))
			m.own(func() {
				time.Sleep(2 * time.Second)
				m.become(func(i *ifwatch.Interface) { i.Up = false })
			})
			status, err := m.StatusOf(ctx, "a")
			m.ok(err)
			if status.State != StateWaiting || status.Counters.Attaches != 0 {
				t.Fatalf("%+v", status)
			}
			m.become(func(*ifwatch.Interface) {})
			m.ok(m.Delete(ctx, "a"))
		}
	})
}
