package membership

import (
	"fmt"
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// BenchmarkUnrelatedEvent is what an event of an interface costs that nobody
// wants, with as many different selectors.
func BenchmarkUnrelatedEvent(b *testing.B) {
	for _, kind := range []string{"eth%d", "eth%d*", "*%d"} {
		for _, rules := range []int{1, 100, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", kind, rules), func(b *testing.B) {
				w := newWorld()
				for n := range rules {
					w.put(feed(fmt.Sprint("m", n), fmt.Sprintf(kind, 100+n), one))
				}
				other := ifwatch.Interface{Index: 1, ID: 1, Name: "wan", VLANID: -1, MTU: 1500, IPv4: ifwatch.Protocol{Alive: true}}
				b.ReportAllocs()
				for n := 0; b.Loop(); n++ {
					other.MTU = 1400 + n%2
					w.keeper.observe(ifwatch.Changes{Changes: []ifwatch.Change{{Index: 1, Now: &other, Read: w.now}}}, w.now)
				}
			})
		}
	}
}

// What an event costs where very many interfaces are none of ours.
func BenchmarkManyInterfaces(b *testing.B) {
	for _, others := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			w := newWorld()
			w.put(feed("m", "eth1", one))
			w.create(1, "")
			w.deliver()
			other := ifwatch.Interface{VLANID: -1, MTU: 1500, IPv4: ifwatch.Protocol{Alive: true}}
			for n := range others {
				other.Index, other.ID, other.Name = 2+n, ifwatch.ID(100+n), fmt.Sprint("veth", n)
				w.keeper.observe(ifwatch.Changes{Changes: []ifwatch.Change{{Index: other.Index, Now: &other, Read: w.now}}}, w.now)
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				other.MTU = 1400 + n%2
				changes := []ifwatch.Change{{Index: other.Index, Now: &other, Read: w.now}}
				w.keeper.hasMuchToDo(changes, w.keeper.nextWake(), w.now)
				w.keeper.observe(ifwatch.Changes{Changes: changes}, w.now)
				w.keeper.nextWake()
			}
		})
	}
}
