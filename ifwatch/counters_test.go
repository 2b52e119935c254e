package ifwatch

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCounters(t *testing.T) {
	var c Counters
	for _, decoded := range []any{link{}, link{}, link{}, linkGone{}, addressEvent{}, addressEvent{}, addressEvent{gone: true}} {
		c.count(decoded)
	}
	c.Overruns, c.Dumps, c.Undecodable = 5, 6, 7
	want := Counters{Links: 3, LinkRemovals: 1, Addresses: 2, AddressRemovals: 1, Overruns: 5, Dumps: 6, Undecodable: 7}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if n := c.Events(); n != 7 {
		t.Errorf("%d events, want 7", n)
	}
	want = Counters{Links: 6, LinkRemovals: 2, Addresses: 4, AddressRemovals: 2, Overruns: 10, Dumps: 12, Undecodable: 14}
	if diff := cmp.Diff(want, c.Plus(c)); diff != "" {
		t.Errorf("twice: -want +got:\n%s", diff)
	}
}
