package integration

import (
	"fmt"
	"testing"
	"time"
)

// restoring has a contender of a kind restore a load on eth0 in each round.
func restoring(b *testing.B, kind string, words ...string) func() subject {
	return func() subject {
		near := newNamespace(b)
		c := startContender(b, near, kind, words...)
		return subject{
			round: func() time.Duration { return c.life(c.joined) },
			end:   func() { c.end(); near.Close() },
		}
	}
}

// BenchmarkRestore measures from the interface being set up to all channels
// being joined. The contenders say so on a pipe.
func BenchmarkRestore(b *testing.B) {
	for _, r := range []struct {
		name   string
		load   load
		rounds int
		most   float64
	}{
		{"10000", v4Load(10000), 10, 1.15},
		{"50000", v4Load(50000), 4, 1.15},
		{"v6-5000", load{6, 5000, 1}, 5, 1.1},
		{"v6-5000-of-64-sources", load{6, 5000, 64}, 10, 1.1},
	} {
		b.Run(r.name, func(b *testing.B) {
			words := r.load.args("eth0")
			starts := []func() subject{restoring(b, kindLibrary, words...), restoring(b, kindBare, words...), restoring(b, kindGo, words...), restoring(b, kindXNet, words...)}
			filter := r.load.sources > 1 && bareCalls() == kindBare
			if filter {
				starts = append(starts, restoring(b, kindBare, append(words, "filter")...))
			}
			took := measure(b, r.rounds, starts...)
			what := fmt.Sprintf("restore %s after a re-creation", r.load)
			compare(b, placeRestore, what, took[0], took[1], 0.5, atMost(r.most))
			compare(b, placeRestore, "— the bare calls in Go, in the place of ssmd", took[2], took[1], 0.5, goal{})
			compare(b, placeRestore, "— golang.org/x/net in a loop, in the place of ssmd", took[3], took[1], 0.5, goal{})
			if filter {
				compare(b, placeRestore, "— the same with two calls a group, in the place of ssmd", took[4], took[1], 0.5, goal{})
			}
		})
	}
}

// String says the load as it stands in the table.
func (l load) String() string {
	text := fmt.Sprintf("%s v%d channels", grouped(l.count), l.family)
	if l.sources > 1 {
		text += fmt.Sprintf(", %d sources a group,", l.sources)
	}
	return text
}

// grouped writes a number below a million with its thousands apart.
func grouped(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
