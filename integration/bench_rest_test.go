package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// settled is how long after its start a daemon is looked at: by then the
// runtime has given back what the start needed.
const settled = 5 * time.Second

// onlyOnce runs something in the first iteration only: what it measures is the
// same in each start.
func onlyOnce(b *testing.B, f func()) {
	b.Helper()
	first := sync.OnceFunc(func() { progress("%s", b.Name()); f() })
	for b.Loop() {
		first()
	}
	b.ReportMetric(0, "ns/op")
}

func megabytes(v float64) string { return threeDigits(v/1e6) + " MB" }

// BenchmarkMemory looks at what daemons have in memory some seconds after all
// is joined, and one of them again after its interface was created anew.
func BenchmarkMemory(b *testing.B) {
	cases := []struct {
		what, file string
		goal       goal
	}{
		{"resident memory: one membership of one channel", oneMembership(1), goal{}},
		{"10,000 channels in one membership", oneMembership(10_000), goal{"20 MB", 20e6}},
		{"100,000 channels in one membership", oneMembership(100_000), goal{"60 MB", 60e6}},
		{"10,000 memberships of one channel", manyMemberships(10_000), goal{"40 MB", 40e6}},
	}
	onlyOnce(b, func() {
		daemons := make([]*served, len(cases))
		for i, c := range cases {
			daemons[i] = serve(b, namespaceWithEth0(b), c.file)
		}
		look := func(s *served, what string, g goal) {
			resident, anonymous := s.memory()
			record(row{placeMemory, what, megabytes(resident), "", megabytes(anonymous) + " of it in no file", g.judge(resident)})
		}
		time.Sleep(settled)
		for i, c := range cases {
			look(daemons[i], c.what, c.goal)
		}
		last := daemons[len(daemons)-1]
		lost, err := last.near.Netlink.LinkByName("eth0")
		ok(b, err)
		ok(b, last.near.Netlink.LinkDel(lost))
		addEth0(b, last.near)
		time.Sleep(settled)
		holds(b, last.near, 10_000)
		look(last, "— the same after the interface was created anew", goal{})
		for _, s := range daemons {
			s.end()
		}
	})
}

// running measures a command from its start to its end; what it prints goes
// nowhere.
func running(b *testing.B, near *testnet.Namespace, cmd *exec.Cmd) time.Duration {
	b.Helper()
	nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	ok(b, err)
	defer nowhere.Close()
	cmd.Stdout = nowhere
	start := time.Now()
	launch(b, near, cmd).exited()
	return time.Since(start)
}

// BenchmarkStatus measures a client that asks for the status of 10,000
// memberships, and of one of them, beside the same program when it asks nothing.
func BenchmarkStatus(b *testing.B) {
	path, err := buildSSMD()
	ok(b, err)
	file := manyMemberships(10_000)
	var s *served // of this start
	daemon := func() *served {
		if s == nil {
			s = serve(b, namespaceWithEth0(b), file)
		}
		return s
	}
	end := func() {
		if s != nil {
			s.end()
			s.near.Close()
			s = nil
		}
	}
	command := func(words ...string) func() subject {
		return func() subject {
			return subject{end: end, round: func() time.Duration {
				cmd := exec.Command(path, words...)
				cmd.Env = append(os.Environ(), "SSMD_CONTROL_SOCKET="+filepath.Join(daemon().dir, "control.sock"))
				return running(b, s.near, cmd)
			}}
		}
	}
	asked := func() subject {
		return subject{end: end, round: func() time.Duration {
			daemon()
			start := time.Now()
			_, err := s.client.Membership(s.context(), "feed-7")
			ok(b, err)
			return time.Since(start)
		}}
	}
	version := func() subject {
		near := newNamespace(b)
		return subject{end: near.Close, round: func() time.Duration { return running(b, near, exec.Command(path, "version")) }}
	}
	took := measure(b, 10, asked, command("status", "--json"), command("status", "--json", "feed-7"), version)
	absolute(b, placeStatus, "`ssmd status --json` of 10,000 memberships, from its start to its end; bare: `ssmd version`", took[1], took[3], seconds, goal{"50 ms", 50e-3})
	absolute(b, placeStatus, "`ssmd status --json NAME` of one of them; bare: `ssmd version`", took[2], took[3], seconds, goal{"1 ms", 1e-3})
	absolute(b, placeStatus, "— of one of them, by the control API", took[0], nil, seconds, goal{"1 ms", 1e-3})
}

// calmed is how long after its start a daemon is as it will be for good: the
// runtime gives back memory bit by bit.
const calmed = 4 * settled

// idleVariable is how long BenchmarkIdle looks on, as 1m.
const idleVariable = "SSMD_BENCH_IDLE"

// BenchmarkIdle looks at a daemon with 10,000 channels while nothing happens:
// one that never audits, and one that does so each second.
func BenchmarkIdle(b *testing.B) {
	window := 20 * time.Second
	if text := os.Getenv(idleVariable); text != "" {
		var err error
		window, err = time.ParseDuration(text)
		ok(b, err)
	}
	const channels = 10_000
	onlyOnce(b, func() {
		quiet := serve(b, namespaceWithEth0(b), "audit: 0\n"+oneMembership(channels))
		auditing := serve(b, namespaceWithEth0(b), "audit: 1s\n"+oneMembership(channels))
		time.Sleep(calmed)
		ours, audits := quiet.watch(), auditing.watch()
		time.Sleep(window)
		cpu, wakeups := ours()
		auditCPU, auditWakeups := audits()
		quiet.end()
		auditing.end()
		record(row{placeIdle, fmt.Sprintf("idle for %v, with 10,000 channels, between audits", window), seconds(cpu), "",
			fmt.Sprintf("%v wake-ups", wakeups), goal{"0", 0}.judge(cpu + wakeups)})
		each := window.Seconds()
		record(row{placeIdle, "— an audit of them, every 30 s by default", seconds(auditCPU / each), "", threeDigits(auditWakeups/each) + " wake-ups", ""})
	})
}

// watch returns a function that tells what the program did since.
func (p *program) watch() func() (cpu, wakeups float64) {
	p.b.Helper()
	cpu, wakeups := p.cpu(), p.wakeups()
	return func() (float64, float64) { return (p.cpu() - cpu).Seconds(), p.wakeups() - wakeups }
}

// BenchmarkScrape measures an answer to Prometheus of a daemon with 10,000
// memberships, and how long that holds the manager up.
func BenchmarkScrape(b *testing.B) {
	const count = 10_000
	file := withMetrics(manyMemberships(count))
	scraping := func() subject {
		s := serve(b, namespaceWithEth0(b), file)
		return subject{
			round: func() time.Duration {
				start := time.Now()
				s.scrape()
				return time.Since(start)
			},
			end: func() { s.end(); s.near.Close() },
		}
	}
	counting := func() subject {
		near := namespaceWithEth0(b)
		ctx, cancel := context.WithCancel(context.Background())
		b.Cleanup(cancel)
		m, ended := membership.New(membership.Options{Watch: ifwatch.Options{Within: near.Do}}), make(chan error)
		go func() { ended <- m.Run(ctx) }()
		wishes := make([]membership.Membership, count)
		for n, c := range benchChannels(count) {
			wishes[n] = onEth0(fmt.Sprintf("feed-%d", n), c)
		}
		ok(b, m.Apply(ctx, wishes))
		return subject{
			round: func() time.Duration {
				start := time.Now()
				n, err := m.Totals(ctx)
				took := time.Since(start)
				ok(b, err)
				if n.Channels != count {
					b.Fatalf("%d channels are joined, want %d", n.Channels, count)
				}
				return took
			},
			end: func() { cancel(); ok(b, <-ended); near.Close() },
		}
	}
	took := measure(b, 50, scraping, counting)
	absolute(b, placeScrape, "a scrape of the metrics, with 10,000 memberships", took[0], nil, seconds, goal{})
	absolute(b, placeScrape, "— of that the manager's part", took[1], nil, seconds, goal{})
}
