package membership

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// manyChannels6 are channels of one source of IPv6.
func manyChannels6(count int) []Channel {
	var all []Channel
	for i := range count {
		all = append(all, channel(fmt.Sprintf("2001:db8::1@ff3e::8000:%x", i+1)))
	}
	return all
}

// What waits for its turn, and then need not be joined any more, does not keep the
// rest from being told of.
func TestPaceOfWhatIsGivenUp(t *testing.T) {
	rest := manyChannels(1, 2)
	for name, giveUp := range map[string]func(*story){
		"its protocol dies":   func(s *story) { s.endIPv6(1); s.deliver() },
		"a reload removes it": func(s *story) { s.put(feed("a", "eth1", rest...)) },
	} {
		s := paced(t, 20, 1)
		s.put(feed("a", "eth1", append(slices.Clone(rest), manyChannels6(20)...)...))
		for range 8 {
			s.turn()
		}
		giveUp(s)
		s.later(time.Minute)
		if heard := s.heard(); !slices.Contains(heard, "attached a eth1 request") {
			t.Errorf("%s: heard %q", name, heard)
		}
	}
}

// An end in the middle is told as one.
func TestPaceEndsInTheMiddle(t *testing.T) {
	for name, end := range map[string]func(*keeper, time.Time){
		"shutdown":              func(k *keeper, now time.Time) { k.shutdown(now) },
		"the namespace is gone": func(k *keeper, now time.Time) { k.vanish("gone", now) },
	} {
		s := paced(t, 1, 1)
		s.put(feed("a", "eth1", manyChannels(1, 50)...))
		s.events = nil
		end(s.keeper, s.now)
		if !slices.ContainsFunc(s.events, func(e Event) bool {
			return e.Type == EventAttached && strings.Contains(e.Reason, "it ends before all of its channels were joined")
		}) {
			t.Errorf("%s: %v", name, s.events)
		}
	}
}
