package membership

import "testing"

// On a caller's socket too, only what differs is touched.
func TestStoryChangedOnACallersSocket(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	other := channel("10.0.0.9@232.0.0.1") // another source of the group of one
	s.put(on(feed("a", "eth1", one), s.caller))
	s.wantKernel("1 joins, 0 leaves")
	for _, step := range []struct {
		channels []Channel
		want     string
	}{
		{channels: []Channel{one, other}, want: "1 joins, 0 leaves"},
		{channels: []Channel{other, one}, want: "0 joins, 0 leaves"},
		{channels: []Channel{one, two}, want: "1 joins, 1 leaves"},
		{channels: []Channel{other, two}, want: "1 joins, 1 leaves"},
		{channels: []Channel{one}, want: "1 joins, 2 leaves"},
	} {
		s.put(on(feed("a", "eth1", step.channels...), s.caller))
		s.wantKernel(step.want)
		for _, c := range step.channels {
			if !s.hears(1, c) {
				t.Errorf("%s is not heard", c)
			}
		}
		s.sound()
	}
	s.wantCounters("a", Counters{Attaches: 1})
}
