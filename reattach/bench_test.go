package reattach

import (
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// BenchmarkJudge is what each change of an interface costs for each rule that
// it may concern.
func BenchmarkJudge(b *testing.B) {
	eth0 := ifwatch.Interface{ID: 2, Index: 2, Name: "eth0", Kind: "veth", MAC: "02:00:00:00:00:01", VLANID: -1, MTU: 1500,
		Up: true, Carrier: true, Multicast: true, IPv4: ifwatch.Protocol{Alive: true}, IPv6: ifwatch.Protocol{Alive: true}}
	lost := eth0
	lost.ID = 1
	rules := Rules{Selector: ByName("eth0")}
	families := []ifwatch.Family{ifwatch.IPv4}
	b.Run("match", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rules.Selector.Match(eth0)
		}
	})
	b.Run("judge", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rules.Judge(families, []ifwatch.Interface{lost}, eth0)
		}
	})
	b.Run("other", func(b *testing.B) {
		b.ReportAllocs()
		other := eth0
		other.Name = "eth1"
		for b.Loop() {
			rules.Selector.Match(other)
		}
	})
}
