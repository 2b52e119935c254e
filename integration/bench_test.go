package integration

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// benchChannels are the channels that testdata/bare.c joins.
func benchChannels(count int) []membership.Channel {
	channels := make([]membership.Channel, count)
	for i := range channels {
		group := netip.AddrFrom4([4]byte{232, byte(1 + i>>16), byte(i >> 8), byte(i)})
		channels[i] = membership.Channel{Source: testnet.Source4, Group: group}
	}
	return channels
}

// contender keeps channels on eth0 of a namespace and tells when it joined
// them all.
type contender struct {
	near   *testnet.Namespace
	pid    int
	joined func()
	began  time.Time
	took   []time.Duration
}

// startBare compiles and starts the bare program.
func startBare(b *testing.B, count int) *contender {
	b.Helper()
	compiler, err := exec.LookPath("cc")
	needs(b, "C compiler", err)
	program := filepath.Join(b.TempDir(), "bare")
	if out, err := exec.Command(compiler, "-O2", "-o", program, "testdata/bare.c").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return startContender(b, exec.Command(program, "eth0", strconv.Itoa(count)))
}

// keepVariable makes the test program be an application that keeps so many
// channels on eth0, and says so as the bare program does.
const keepVariable = "SSMD_TEST_KEEP"

func startSSMD(b *testing.B, count int) *contender {
	b.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", keepVariable, count))
	return startContender(b, cmd)
}

func keep(text string) int {
	count, err := strconv.Atoi(text)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx := context.Background()
	m := membership.New(membership.Options{})
	events := m.Subscribe()
	go func() { _ = m.Run(ctx) }()
	if err := m.Put(ctx, onEth0("bench", benchChannels(count)...)); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready")
	for {
		e, err := events.Next(ctx)
		if err != nil {
			return 1
		}
		if e.Type == membership.EventAttached || e.Type == membership.EventReattached {
			fmt.Println("joined")
		}
	}
}

// startContender starts a program that says when it is ready, and then each
// time that it has joined its channels.
func startContender(b *testing.B, cmd *exec.Cmd) *contender {
	b.Helper()
	near := newNamespace(b)
	out, err := cmd.StdoutPipe()
	ok(b, err)
	ok(b, near.Start(cmd))
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	line := func() {
		_, err := lines.ReadString('\n')
		ok(b, err)
	}
	line()
	return &contender{near: near, pid: cmd.Process.Pid, joined: line}
}

// calm is how long after the creation of an interface it is set up: whatever a
// contender does about the creation is over then.
const calm = 2 * time.Millisecond

// round creates eth0, times from setting it up until the channels are joined,
// and deletes it.
func (c *contender) round(b *testing.B) {
	b.Helper()
	pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "peer0"}
	pair.Name = "eth0"
	ok(b, c.near.Netlink.LinkAdd(pair))
	ok(b, c.near.Set("peer0", testnet.Up))
	link, err := c.near.Netlink.LinkByName("eth0")
	ok(b, err)
	time.Sleep(calm)
	c.began = time.Now()
	ok(b, c.near.Netlink.LinkSetUp(link))
	c.joined()
	ok(b, c.near.Netlink.LinkDel(link))
	ok(b, testnet.Eventually(b.Context(), func() error { return c.empty() }))
}

// empty returns an error until the last round's sockets are closed.
func (c *contender) empty() error {
	groups, err := testnet.Groups(c.near)
	if err == nil && len(groups) > 1 { // lo has its own
		err = fmt.Errorf("%d interfaces still have groups", len(groups))
	}
	return err
}

func (c *contender) quantile(q float64) time.Duration {
	slices.Sort(c.took)
	return c.took[min(int(q*float64(len(c.took))), len(c.took)-1)]
}

// BenchmarkReattachOne measures from the interface being up to the kernel's
// own word that the one channel is joined, in turn with a bare program that
// does nothing else.
func BenchmarkReattachOne(b *testing.B) {
	bare, ssmd := startBare(b, 1), startSSMD(b, 1)
	for _, c := range []*contender{bare, ssmd} {
		monitor := newMonitor(b, c.near, unix.RTNLGRP_IPV4_MCADDR)
		said := c.joined
		c.joined = func() {
			monitor.until("the join", func(e event) bool {
				return e.kind == unix.RTM_NEWMULTICAST && e.group() == benchChannels(1)[0].Group
			})
			c.took = append(c.took, time.Since(c.began))
			said()
		}
	}
	compare(b, bare, ssmd)
}

// BenchmarkReattachMany measures from the interface being up to all channels
// being joined, in turn with the bare program. Both say so on a pipe.
func BenchmarkReattachMany(b *testing.B) {
	for _, count := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("channels=%d", count), func(b *testing.B) {
			bare, ssmd := startBare(b, count), startSSMD(b, count)
			for _, c := range []*contender{bare, ssmd} {
				said := c.joined
				c.joined = func() {
					said()
					c.took = append(c.took, time.Since(c.began))
				}
			}
			compare(b, bare, ssmd)
		})
	}
}

func compare(b *testing.B, bare, ssmd *contender) {
	for b.Loop() {
		bare.round(b)
		ssmd.round(b)
	}
	for _, q := range []float64{0.5, 0.99} {
		report := func(value float64, unit string) { b.ReportMetric(value, fmt.Sprintf("%s-p%.0f", unit, 100*q)) }
		report(float64(ssmd.quantile(q).Microseconds()), "ssmd-µs")
		report(float64(bare.quantile(q).Microseconds()), "bare-µs")
		report(float64(ssmd.quantile(q))/float64(bare.quantile(q)), "ratio")
	}
	b.ReportMetric(0, "ns/op") // says nothing: most of it is making and deleting interfaces
}

// BenchmarkIdle counts how often a program that keeps 10,000 channels wakes
// while nothing happens.
func BenchmarkIdle(b *testing.B) {
	ssmd := startSSMD(b, 10000)
	pair := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "peer0"}
	pair.Name = "eth0"
	ok(b, ssmd.near.Add(pair, testnet.Up))
	ssmd.joined()
	time.Sleep(5 * time.Second) // the runtime gives memory back, and settles
	before := ssmd.switches(b)
	seconds := 0
	for b.Loop() {
		time.Sleep(time.Second)
		seconds++
	}
	b.ReportMetric(float64(ssmd.switches(b)-before)/float64(seconds), "wakeups/s")
	b.ReportMetric(0, "ns/op")
}

// switches returns how often the program's threads have gone to sleep so far.
func (c *contender) switches(b *testing.B) (total int) {
	b.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.pid))
	ok(b, err)
	if len(tasks) == 0 {
		b.Fatal("the program is gone")
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		ok(b, err)
		for line := range strings.Lines(string(text)) {
			if value, found := strings.CutPrefix(line, "voluntary_ctxt_switches:"); found {
				n, err := strconv.Atoi(strings.TrimSpace(value))
				ok(b, err)
				total += n
			}
		}
	}
	return total
}
