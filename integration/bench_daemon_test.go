package integration

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/testnet"
)

// buildSSMD builds the program as it is released.
var buildSSMD = buildOnce("ssmd", func(path string) *exec.Cmd {
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/ssmd-project/ssmd/cmd/ssmd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	return build
})

// served is `ssmd run` on a file, in a namespace.
type served struct {
	*program
	near    *testnet.Namespace
	dir     string
	client  *control.Client
	readyIn time.Duration // from its start to its word that all is joined
}

// oneMembership is a file with so many channels in one membership.
func oneMembership(channels int) string {
	return fmt.Sprintf(`memberships:
  - name: feed
    groups: 232.1.0.0-%s
    sources: 10.1.0.1
    interface: eth0
`, benchChannels(channels)[channels-1].Group)
}

// manyMemberships is a file with so many memberships of one channel.
func manyMemberships(count int) string {
	var file strings.Builder
	file.WriteString("memberships:\n")
	for n, c := range benchChannels(count) {
		fmt.Fprintf(&file, "  - name: feed-%d\n    channels: %s\n    interface: eth0\n", n, c)
	}
	return file.String()
}

// serve starts the daemon on a file, and waits until it has joined what it can,
// by what it tells a service manager: nobody asks it meanwhile.
func serve(b *testing.B, near *testnet.Namespace, file string) *served {
	b.Helper()
	path, err := buildSSMD()
	ok(b, err)
	dir := newBenchDir(b)
	ok(b, os.WriteFile(filepath.Join(dir, "ssmd.yaml"), []byte(file), 0o600))
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	ok(b, err)
	b.Cleanup(func() { _ = manager.Close() })
	ready := make(chan time.Time, 1)
	go awaitReady(manager, ready)

	cmd := exec.Command(path, runArgs(dir)...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+manager.LocalAddr().String())
	start := time.Now()
	s := &served{program: launch(b, near, cmd), near: near, dir: dir, client: control.NewClient(filepath.Join(dir, "control.sock"))}
	select {
	case at := <-ready:
		s.readyIn = at.Sub(start)
	case <-s.ended:
		s.fail("wait until it is ready", os.ErrProcessDone)
	case <-time.After(longest):
		s.fail("wait until it is ready", os.ErrDeadlineExceeded)
	}
	return s
}

// awaitReady reads, until the socket is closed, what a service manager is told.
func awaitReady(manager *net.UnixConn, ready chan<- time.Time) {
	message := make([]byte, 4096)
	for {
		n, err := manager.Read(message)
		if err != nil {
			return
		}
		if bytes.Contains(message[:n], []byte("READY=1")) {
			select {
			case ready <- time.Now():
			default: // it says so after each reload too
			}
		}
	}
}

// holds checks that the kernel has so many groups on eth0, beside its own.
func holds(b *testing.B, near *testnet.Namespace, want int) {
	b.Helper()
	index, err := near.Index("eth0")
	ok(b, err)
	all, err := testnet.Groups(near)
	ok(b, err)
	got := 0
	for group := range all[index] {
		if group.As16()[12] == 232 || group.Is6() && group.As16()[1] == 0x3e {
			got++
		}
	}
	if got != want {
		b.Fatalf("the kernel has %d groups on eth0, want %d", got, want)
	}
}

// context ends with the patience for one answer.
func (s *served) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	s.b.Cleanup(cancel)
	return ctx
}

// namespaceWithEth0 makes a namespace in which eth0 is up.
func namespaceWithEth0(b *testing.B) *testnet.Namespace {
	b.Helper()
	near := newNamespace(b)
	addEth0(b, near)
	return near
}

// starting measures from the daemon's start to all joined.
func starting(b *testing.B, file string, groups int) func() subject {
	return func() subject {
		near := namespaceWithEth0(b)
		return subject{
			round: func() time.Duration {
				s := serve(b, near, file)
				holds(b, near, groups)
				s.quit()
				return s.readyIn
			},
			end: near.Close,
		}
	}
}

// startingBare is the bare program's start.
func startingBare(b *testing.B, l load) func() subject {
	return func() subject {
		near := namespaceWithEth0(b)
		return subject{
			round: func() time.Duration {
				start := time.Now()
				c := startContender(b, near, kindBare, l.args("eth0")...)
				took := time.Since(start)
				c.quit()
				return took
			},
			end: near.Close,
		}
	}
}

// BenchmarkStart measures from the start of `ssmd run` to all channels being
// joined.
func BenchmarkStart(b *testing.B) {
	const count = 10_000
	for _, r := range []struct {
		name, what, file string
		goal             goal
	}{
		{"channels", "start of `ssmd run`: 10,000 channels in one membership, to all joined", oneMembership(count), goal{"0.2 s", 0.2}},
		{"memberships", "the same with 10,000 memberships of one channel", manyMemberships(count), goal{"0.4 s", 0.4}},
	} {
		b.Run(r.name, func(b *testing.B) {
			took := measure(b, 2, starting(b, r.file, count), startingBare(b, v4Load(count)))
			absolute(b, placeStart, r.what, took[0], took[1], seconds, r.goal)
		})
	}
}
