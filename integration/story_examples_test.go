package integration

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pion/rtp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// TestExamples runs the programs in examples/ through a re-creation of their
// interface.
func TestExamples(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	if out, err := exec.Command("go", "build", "-o", dir, modulePath+"/examples/...").CombinedOutput(); err != nil {
		t.Fatalf("build examples: %v\n%s", err, out)
	}
	for _, f := range []family{v4, v6} {
		for name, story := range map[string]func(*example){
			"embed":      storyEmbed,
			"events":     storyEvents,
			"own-socket": storyPrintsDatagrams,
			"receive":    storyPrintsDatagrams,
			"relay":      storyRelay,
			"rtp":        storyRTP,
		} {
			t.Run(name+" "+f.name, func(t *testing.T) {
				t.Parallel()
				story(&example{lab: newLab(t, f), path: filepath.Join(dir, name)})
			})
		}
	}
}

// example is one of the programs, in a lab's near side.
type example struct {
	*lab
	path string
	said output
	from int // what was said before counts no more
}

// output is what a program has said so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) since(from int) (text string, length int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.text.String()
	return all[from:], len(all)
}

// run starts the program. In the end Ctrl-C ends it; where it does not ask for
// that signal SIGTERM does, since a script's background ignores the other.
func (x *example) run(arguments ...string) {
	x.t.Helper()
	cmd := exec.Command(x.path, arguments...)
	cmd.Stdout, cmd.Stderr = &x.said, &x.said
	ok(x.t, x.Near.Start(cmd))
	end, deaf := syscall.SIGINT, filepath.Base(x.path) == "own-socket"
	if deaf {
		end = syscall.SIGTERM
	}
	x.t.Cleanup(func() {
		_ = cmd.Process.Signal(end)
		err := cmd.Wait()
		_, killed := err.(*exec.ExitError)
		if said, _ := x.said.since(0); err != nil && !(killed && deaf) {
			x.t.Errorf("%v: %s", err, said)
		}
	})
}

// says waits for words that were not said before, or before the interface was made
// anew.
func (x *example) says(words string) {
	x.t.Helper()
	eventually(x.t, func() error { return x.hasSaid(words) })
}

func (x *example) hasSaid(words string) error {
	said, _ := x.said.since(x.from)
	at := strings.Index(said, words)
	if at < 0 {
		return fmt.Errorf("said %q, want %q", said, words)
	}
	x.from += at + len(words)
	return nil
}

func (x *example) again() {
	x.t.Helper()
	_, x.from = x.said.since(0)
	ok(x.t, x.Recreate("eth0", testnet.Veth{}))
}

func storyPrintsDatagrams(x *example) {
	x.run(x.channel.String(), fmt.Sprint(port), "eth0")
	x.says("16 bytes from ")
	x.again()
	x.says("16 bytes from ")
	x.wantUsers(1)
}

func storyEmbed(x *example) {
	r := x.fed()
	x.run(x.channel.String(), "eth0")
	x.hears(r)
	x.again()
	x.hears(r)
}

func storyEvents(x *example) {
	x.run(x.channel.String(), "eth0")
	x.says("attached")
	x.again()
	x.says("joined")
}

func storyRelay(x *example) {
	other := netip.AddrPortFrom(x.spare(1).group, port)
	newSender(x.t, x.Network, other)
	target := nearAddress(x.family)
	first := newReceiver(x.t, x.Near, testnet.ReceiverConfig{Listen: netip.AddrPortFrom(target, 6001)})
	second := newReceiver(x.t, x.Near, testnet.ReceiverConfig{Listen: netip.AddrPortFrom(target, 6002)})
	x.run("eth0", fmt.Sprint(port), fmt.Sprintf("%s=%s", x.channel, netip.AddrPortFrom(target, 6001)), fmt.Sprintf("%s=%s", x.spare(1), netip.AddrPortFrom(target, 6002)))
	x.hears(first)
	x.hears(second)
	x.again()
	x.hears(first)
	x.hears(second)
}

// storyRTP sends a stream whose numbers wrap, and then skips some.
func storyRTP(x *example) {
	stream := rtpStream{example: x, next: 65400}
	x.run(x.channel.String(), fmt.Sprint(rtpPort), "eth0")
	stream.sendUntil(1, "stream 0000abcd of payload type 96 begins at ")
	for range 200 {
		stream.send(1)
	}
	if said, _ := x.said.since(0); strings.Contains(said, "lost") {
		x.t.Errorf("nothing is lost, but it said %s", said)
	}
	stream.sendUntil(8, "lost 7 packets before ")
	x.again()
	stream.sendUntil(1, "reattached")
	stream.sendUntil(3, "lost 2 packets before ")
}

const rtpPort = 5004

// rtpStream is sent from the far side, through each life of its interface.
type rtpStream struct {
	*example
	next uint16
	conn *net.UDPConn
}

// sendUntil sends every number of so many until the program says something.
func (s *rtpStream) sendUntil(step uint16, words string) {
	s.t.Helper()
	eventually(s.t, func() error {
		s.send(step)
		return s.hasSaid(words)
	})
}

// send sends one packet, and opens the socket anew where it could not.
func (s *rtpStream) send(step uint16) {
	s.t.Helper()
	if s.conn == nil {
		s.open()
	}
	s.next += step
	b, err := (&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: s.next, SSRC: 0xabcd}, Payload: []byte("x")}).Marshal()
	ok(s.t, err)
	if _, err := s.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(s.channel.group, rtpPort)); err != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

func (s *rtpStream) open() {
	s.t.Helper()
	index, err := s.Far.Index("far0")
	ok(s.t, err)
	ok(s.t, s.Far.Do(func() (err error) {
		s.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.channel.source, 0)))
		return err
	}))
	conn := s.conn
	s.t.Cleanup(func() { _ = conn.Close() })
	if s.name == v4.name {
		err = ipv4.NewPacketConn(conn).SetMulticastInterface(&net.Interface{Index: index})
	} else {
		err = ipv6.NewPacketConn(conn).SetMulticastInterface(&net.Interface{Index: index})
	}
	ok(s.t, err)
}
