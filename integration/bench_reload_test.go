package integration

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// editing is a daemon with many memberships, of whose file one is changed at a
// time.
type editing struct {
	*served
	count, edits int
}

// edit gives the first membership another channel in the file, which no other
// one has, and returns it.
func (e *editing) edit() {
	e.b.Helper()
	e.edits++
	old := benchChannels(1)[0].String()
	changed := strings.Replace(manyMemberships(e.count), old, e.channel(), 1)
	ok(e.b, os.WriteFile(filepath.Join(e.dir, "ssmd.yaml"), []byte(changed), 0o600))
}

func (e *editing) channel() string {
	return fmt.Sprintf("%s@%s", testnet.Source4, benchChannels(e.count + e.edits)[e.count+e.edits-1].Group)
}

// reload has the daemon read the file anew, and checks what came of it.
func (e *editing) reload() time.Duration {
	e.b.Helper()
	start := time.Now()
	done, err := e.client.Reload(e.context())
	took := time.Since(start)
	ok(e.b, err)
	if len(done.Changed) != 1 || len(done.Added)+len(done.Removed) != 0 {
		e.b.Fatalf("the reload did %+v", done)
	}
	holds(e.b, e.near, e.count)
	return took
}

// watched is longer than the daemon takes to see by itself that the file was
// written, and to find nothing new in it.
const watched = 700 * time.Millisecond

// BenchmarkReload measures from the request to reload until its answer, with
// one of 10,000 memberships changed.
func BenchmarkReload(b *testing.B) {
	const count = 10_000
	calls, reason := "", ""
	took := measure(b, 4, func() subject {
		near := namespaceWithEth0(b)
		e := &editing{served: serve(b, near, manyMemberships(count)), count: count}
		if calls == "" && reason == "" {
			calls, reason = e.countCalls()
			time.Sleep(watched)
		}
		return subject{
			round: func() time.Duration {
				e.edit()
				took := e.reload()
				time.Sleep(watched)
				return took
			},
			end: func() { e.end(); near.Close() },
		}
	})
	absolute(b, placeReload, "reload with one of 10,000 memberships changed", took[0], nil, seconds, goal{"50 ms", 50e-3})
	record(row{place: placeReload, what: "— system calls on sockets that it took", ssmd: calls, more: reason, target: "2"})
}

// countCalls traces a reload, and returns the system calls on sockets of UDP
// that it took, or why nobody knows.
func (e *editing) countCalls() (calls, reason string) {
	e.b.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		return "", "there is no strace"
	}
	trace := filepath.Join(newBenchDir(e.b), "trace") // the daemon watches its own
	tracer := launch(e.b, e.near, exec.Command(path, "-f", "-yy", "-e", "trace=socket,setsockopt,close", "-o", trace, "-p", fmt.Sprint(e.cmd.Process.Pid)))
	defer tracer.end()
	attached := func() error {
		said, err := os.ReadFile(tracer.said)
		if err == nil && !strings.Contains(string(said), " attached") {
			err = errors.New("strace is not attached")
		}
		return err
	}
	if err := testnet.Eventually(patience(e.b), attached); err != nil {
		return "", err.Error()
	}
	e.edit()
	e.reload()
	tracer.signal(unix.SIGINT) // it lets go of the daemon, and writes what it has
	<-tracer.ended
	text, err := os.ReadFile(trace)
	ok(e.b, err)
	return callsIn(string(text))
}

// socketCall finds the name of a call on a UDP socket, and its option, in what
// strace wrote.
var socketCall = regexp.MustCompile(`\b(socket)\(AF_INET|\b(setsockopt)\(\d+<UDP[^,]*, \w+, (\w+)|\b(close)\(\d+<UDP`)

// callsIn counts the system calls on UDP sockets, and says which they are.
func callsIn(trace string) (calls, which string) {
	number, kinds := 0, map[string]int{}
	for line := range strings.Lines(trace) {
		if found := socketCall.FindStringSubmatch(line); found != nil {
			number++
			kinds[strings.TrimSpace(strings.Join(found[1:], " "))]++
		}
	}
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		list = append(list, fmt.Sprintf("%d %s", kinds[kind], strings.Join(strings.Fields(kind), " ")))
	}
	return fmt.Sprint(number), strings.Join(list, ", ")
}
