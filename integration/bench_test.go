package integration

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// Benchmarks measure ssmd beside the least that can be done, and end with a
// table: see docs/benchmarks.md. Each is made of starts and rounds. In a start
// all contenders begin anew, as a process keeps for its life what luck it had
// with memory; in a round each of them is measured once, in turn, so that
// whatever disturbs the machine disturbs all alike.

// contender is a process that keeps channels on eth0 of a namespace of its
// own, and tells when it has joined and left them.
type contender struct {
	*program
	near  *testnet.Namespace
	out   *os.File
	lines *bufio.Reader
}

const kindBare = "bare" // testdata/bare.c

var buildBare = buildOnce("bare", func(path string) *exec.Cmd {
	return exec.Command("cc", "-O2", "-o", path, "testdata/bare.c")
})

// bareCalls says what makes the bare calls here.
func bareCalls() string {
	if _, err := exec.LookPath("cc"); err != nil {
		return kindGo
	}
	return kindBare
}

// contenderCommand is a contender of a kind; the words are those of bare.c.
func contenderCommand(b *testing.B, kind string, words ...string) *exec.Cmd {
	b.Helper()
	if kind == kindBare {
		kind = bareCalls()
	}
	if kind != kindBare {
		cmd := exec.Command("/proc/self/exe", words...)
		cmd.Env = append(os.Environ(), contendVariable+"="+kind)
		return cmd
	}
	path, err := buildBare()
	ok(b, err)
	return exec.Command(path, words...)
}

// startContender starts one in a namespace, and waits until it is ready.
func startContender(b *testing.B, near *testnet.Namespace, kind string, words ...string) *contender {
	b.Helper()
	cmd := contenderCommand(b, kind, words...)
	out, err := cmd.StdoutPipe()
	ok(b, err)
	c := &contender{program: launch(b, near, cmd), near: near, out: out.(*os.File), lines: bufio.NewReader(out)}
	c.expect("ready")
	return c
}

// next waits for the contender's next word.
func (c *contender) next() string {
	c.b.Helper()
	ok(c.b, c.out.SetReadDeadline(time.Now().Add(longest)))
	line, err := c.lines.ReadString('\n')
	if err != nil {
		c.fail("wait for its next word", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// expect waits for the contender to say just this.
func (c *contender) expect(word string) {
	c.b.Helper()
	if said := c.next(); said != word {
		c.fail("wait for "+word, fmt.Errorf("it said %q", said))
	}
}

// ask sends a signal and times how long it takes until the contender answers.
func (c *contender) ask(s syscall.Signal, word string) time.Duration {
	c.b.Helper()
	start := time.Now()
	c.signal(s)
	c.expect(word)
	return time.Since(start)
}

// quit sends SIGTERM and times how long it takes until the process is gone.
func (p *program) quit() time.Duration {
	p.b.Helper()
	start := time.Now()
	p.signal(unix.SIGTERM)
	p.exited()
	return time.Since(start)
}

// addPair makes eth0 with its other end in the same namespace: no interface is
// made and removed more quickly. It is down.
func addPair(b *testing.B, near *testnet.Namespace, name, peer string) netlink.Link {
	b.Helper()
	pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: peer}
	pair.Name = name
	ok(b, near.Netlink.LinkAdd(pair))
	ok(b, near.Set(peer, testnet.Up))
	link, err := near.Netlink.LinkByName(name)
	ok(b, err)
	return link
}

// addEth0 makes eth0, up.
func addEth0(b *testing.B, near *testnet.Namespace) netlink.Link {
	b.Helper()
	link := addPair(b, near, "eth0", "peer0")
	ok(b, near.Netlink.LinkSetUp(link))
	return link
}

// calm is how long after the creation of an interface it is set up: whatever a
// contender does about the creation is over then.
const calm = 2 * time.Millisecond

// joined waits for the contender's word for it.
func (c *contender) joined() { c.b.Helper(); c.expect("joined") }

// life gives eth0 one life, and times from setting it up until joined returns.
// It is over when the contender has left.
func (c *contender) life(joined func()) time.Duration {
	c.b.Helper()
	link := addPair(c.b, c.near, "eth0", "peer0")
	time.Sleep(calm)
	start := time.Now()
	ok(c.b, c.near.Netlink.LinkSetUp(link))
	joined()
	took := time.Since(start)
	ok(c.b, c.near.Netlink.LinkDel(link))
	for c.next() != "left" {
	}
	return took
}

// subject is what is measured once in each round of a start.
type subject struct {
	round func() time.Duration
	end   func()
}

// measure makes so many starts as the benchmark is to have iterations, and in
// each as many rounds of every subject. It returns what each of them took, in
// seconds. Each subject is the first in turn.
func measure(b *testing.B, rounds int, starts ...func() subject) []series {
	b.Helper()
	results := make([]series, len(starts))
	for n := 0; b.Loop(); n++ {
		progress("%s: start %d, %d rounds", b.Name(), n+1, rounds)
		subjects := make([]subject, len(starts))
		for i := range starts {
			at := (i + n) % len(starts)
			subjects[at] = starts[at]()
			results[at] = append(results[at], nil)
		}
		for range rounds {
			for i := range subjects {
				at := (i + n) % len(starts)
				results[at][n] = append(results[at][n], subjects[at].round().Seconds())
			}
		}
		for _, s := range subjects {
			s.end()
		}
	}
	b.ReportMetric(0, "ns/op") // says nothing: most of it is making and deleting interfaces
	return results
}
